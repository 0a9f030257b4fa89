import pytest

from meshproxy.errors import RemoteProtocolError
from meshproxy.http.events import Framing
from meshproxy.http.head_memory import HeadMemory
from meshproxy.http.limits import HeadLimits

OK = b"HTTP/1.1 200 OK"


def heads():
    return HeadMemory().responses(HeadLimits(max_fields=5))


def parse(*lines):
    return heads().parse(b"\r\n".join(lines))


def test_framing_by_length():
    head, framing, end_stream = parse(OK, b"Content-Length: 5", b"X-Request-Id: 1")
    assert (head.status, head.reason, head.version) == (200, b"OK", (1, 1))
    assert (head.content_length, head.chunked, head.keep_alive, head.upgrade) == (5, False, True, b"")
    assert (framing, end_stream) == (Framing.LENGTH, False)
    assert head.headers == ((b"content-length", b"5"), (b"x-request-id", b"1"))
    assert head.forward == b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-Request-Id: 1\r\n"


@pytest.mark.parametrize(
    ("lines", "framing", "end_stream", "length"),
    [
        ((OK, b"Content-Length: 0"), Framing.LENGTH, True, 0),
        ((OK, b"Transfer-Encoding: chunked"), Framing.CHUNKED, False, -1),
        ((OK,), Framing.UNTIL_CLOSE, False, -1),
        ((b"HTTP/1.0 200 OK",), Framing.UNTIL_CLOSE, False, -1),
        ((b"HTTP/1.1 204 No Content",), Framing.NONE, True, -1),
        ((b"HTTP/1.1 304 Not Modified", b"Content-Length: 9"), Framing.NONE, True, 9),
        ((b"HTTP/1.1 304 Not Modified", b"Transfer-Encoding: chunked"), Framing.NONE, True, -1),
        ((b"HTTP/1.1 100 Continue",), Framing.NONE, True, -1),
    ],
)
def test_framing(lines, framing, end_stream, length):
    head, found, ends = parse(*lines)
    assert (found, ends, head.content_length) == (framing, end_stream, length)


@pytest.mark.parametrize(
    ("line", "field", "keep_alive"),
    [
        (OK, b"A: b", True),
        (OK, b"Connection: Close", False),
        (b"HTTP/1.0 200 OK", b"A: b", False),
        (b"HTTP/1.0 200 OK", b"Connection: keep-alive", True),
        (b"HTTP/1.0 200 OK", b"Connection: keep-alive, close", False),
    ],
)
def test_keep_alive(line, field, keep_alive):
    assert parse(line, field)[0].keep_alive is keep_alive


def test_hop_by_hop_fields_and_what_connection_names_are_not_sent_on():
    head, _, _ = parse(
        b"HTTP/1.0 200 OK", b"Connection: foo", b"Foo: 1", b"X-Envoy-Peer-Metadata: e30", b"A: b"
    )
    assert head.forward == b"HTTP/1.1 200 OK\r\nA: b\r\n"
    assert len(head.headers) == 4


def test_a_204_does_not_pass_its_needless_length_on():
    head, _, _ = parse(b"HTTP/1.1 204 No Content", b"Content-Length: 0", b"A: b")
    assert head.forward == b"HTTP/1.1 204 No Content\r\nA: b\r\n"


def test_upgrade():
    head, framing, _ = parse(
        b"HTTP/1.1 101 Switching Protocols", b"Upgrade: websocket", b"Connection: upgrade"
    )
    assert (head.upgrade, framing) == (b"websocket", Framing.NONE)


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ((OK, b"Content-Length: 5", b"Content-Length: 5"), "duplicate_content_length"),
        ((OK, b"Content-Length: 5", b"Transfer-Encoding: chunked"), "length_and_encoding"),
        ((OK, b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"), "bad_transfer_encoding"),
        ((OK, b"Transfer-Encoding: gzip"), "bad_transfer_encoding"),
        ((b"HTTP/1.0 200 OK", b"Transfer-Encoding: chunked"), "transfer_encoding_in_http10"),
        ((b"HTTP/1.1 204 X", b"Transfer-Encoding: chunked"), "body_not_allowed"),
        ((b"HTTP/1.1 204 X", b"Content-Length: 1"), "body_not_allowed"),
        ((b"HTTP/1.1 100 X", b"Transfer-Encoding: chunked"), "body_not_allowed"),
        ((OK, b"Connection: content-length"), "bad_connection"),
        ((OK, *[b"a: b"] * 6), "too_many_fields"),
        ((OK, b" folded"), "obs_fold"),
    ],
)
def test_refusals(lines, reason):
    with pytest.raises(RemoteProtocolError) as caught:
        parse(*lines)
    assert caught.value.reason == reason


def test_a_repeated_head_is_the_same_object_from_the_third_time():
    table = heads()
    data = b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n"
    found = [table.resolve(data, len(data) - 4, remember=True) for _ in range(3)]
    assert [known for _, known in found] == [False, True, True]
    assert found[1][0][0] is found[2][0][0]
    assert not table.resolve(data, len(data) - 4, remember=False)[1]
