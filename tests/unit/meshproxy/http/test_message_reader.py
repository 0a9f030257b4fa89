import pytest

from meshproxy.errors import RemoteProtocolError
from meshproxy.http.bounded_memory import MAX_KEPT_HEAD
from meshproxy.http.events import END
from meshproxy.http.limits import HeadLimits
from meshproxy.http.message_reader import DONE, FAILED, HEAD, UNTIL_CLOSE, MessageReader, RememberingReader
from meshproxy.http.syntax import refuse


def reader(state=HEAD, **limits):
    return MessageReader(HeadLimits(**limits), state)


def body(made, data):
    events = []
    made._read_body(data, events)
    return events


def test_a_body_by_length_in_pieces_and_what_follows():
    made = reader()
    made._begin_body(chunked=False, length=5)
    assert body(made, b"he") == [b"he"]
    assert body(made, b"lloGET") == [b"llo", END]
    assert (made._state, made.buffered) == (DONE, 3)


def test_a_body_by_length_exactly():
    made = reader()
    made._begin_body(chunked=False, length=5)
    assert body(made, b"hello") == [b"hello", END]
    assert made.buffered == 0


def test_a_chunked_body_and_what_follows():
    made = reader()
    made._begin_body(chunked=True, length=0)
    assert body(made, b"5\r\nhel") == [b"hel"]
    assert body(made, b"lo\r\n0\r\n\r\nGET") == [b"lo", END]
    assert (made._state, made.buffered) == (DONE, 3)


def test_a_body_until_close():
    assert body(reader(UNTIL_CLOSE), b"any") == [b"any"]


def test_a_failure_is_raised_again():
    made = reader()
    made._raise_failure()
    made._fail(refuse("x", "y", 431))
    assert made._state == FAILED
    with pytest.raises(RemoteProtocolError) as caught:
        made._raise_failure()
    assert (caught.value.status, caught.value.reason) == (431, "y")


@pytest.mark.parametrize(
    ("data", "status", "reason"),
    [
        (b"GET / HTTP/1.1\r\n" + b"a" * 100, 431, "head_too_large"),
        (b"GET /" + b"a" * 120, 414, "target_too_long"),
        (b"GET / HTTP/1.1\n", 400, "bad_line_ending"),
        (b"GET / HTTP/1.1\r\nA: b\n", 400, "bad_line_ending"),
    ],
)
def test_what_no_further_byte_can_mend_is_refused_early(data, status, reason):
    with pytest.raises(RemoteProtocolError) as caught:
        reader(max_head_bytes=100, max_target_bytes=50)._check_unfinished_head(data)
    assert (caught.value.status, caught.value.reason) == (status, reason)


def test_an_unfinished_head_is_waited_for():
    made = reader()
    for data in (b"", b"GET", b"GET / HTTP/1.1\r", b"GET / HTTP/1.1\r\nA"):
        made._check_unfinished_head(data)


def test_remembering_is_switched_off_after_misses_in_a_row_and_tried_again():
    made = RememberingReader(HeadLimits(), HEAD)
    assert made._memo_end == MAX_KEPT_HEAD - 4
    is_on = []
    for _ in range(16 + 64 + 2):
        made._count_miss()
        is_on.append(made._memo_end > 0)
    assert is_on == [True] * 15 + [False] * 64 + [True] + [False] * 2


def test_a_small_head_limit_bounds_what_is_looked_up():
    assert RememberingReader(HeadLimits(max_head_bytes=100), HEAD)._memo_end == 96
