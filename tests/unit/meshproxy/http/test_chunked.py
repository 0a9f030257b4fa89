import pytest

from meshproxy.errors import RemoteProtocolError
from meshproxy.http.chunked import ChunkedDecoder
from meshproxy.http.events import END, Trailers
from meshproxy.http.limits import HeadLimits

LIMITS = HeadLimits(max_chunk_line=32, max_chunk_extension_bytes=40, max_trailer_bytes=64, max_fields=3)


def decode(data, step=0):
    """(body, trailers, ended, excess) of `data` fed whole, or `step` bytes at a time."""
    decoder = ChunkedDecoder(LIMITS)
    events = []
    excess = None
    pieces = [data[i : i + step] for i in range(0, len(data), step)] if step else [data]
    for piece in pieces:
        if excess is None:
            excess = decoder.receive(piece, events)
        else:
            excess += piece
    body = b"".join(event for event in events if isinstance(event, bytes))
    trailers = [event.headers for event in events if isinstance(event, Trailers)]
    return body, trailers, END in events, excess


VALID = [
    (b"0\r\n\r\n", b"", [], b""),
    (b"5\r\nhello\r\n0\r\n\r\n", b"hello", [], b""),
    (b"5\r\nhello\r\nA\r\n0123456789\r\n0\r\n\r\nGET", b"hello0123456789", [], b"GET"),
    (b"0000000000000005\r\nhello\r\n000\r\n\r\n", b"hello", [], b""),
    (b'2;a=b\r\nok\r\n0;c="d"\r\n\r\n', b"ok", [], b""),
    (b"2\r\n\r\n\r\n0\r\n\r\n", b"\r\n", [], b""),
    (b"0\r\nA: 1\r\nB: 2\r\n\r\nrest", b"", [((b"a", b"1"), (b"b", b"2"))], b"rest"),
    (b"0\r\nx-request-id: 1\r\n\r\n", b"", [], b""),
]


@pytest.mark.parametrize("step", [0, 1, 2, 3])
@pytest.mark.parametrize(("data", "body", "trailers", "excess"), VALID)
def test_valid_messages_however_they_are_split(data, body, trailers, excess, step):
    assert decode(data, step) == (body, trailers, True, excess)


INVALID = [
    (b"\r\n", "bad_chunk"),
    (b"x\r\n", "bad_chunk"),
    (b" 5\r\nhello", "bad_chunk"),
    (b"5 \r\nhello", "bad_chunk"),
    (b"5 ;a\r\nhello", "bad_chunk"),
    (b"-5\r\nhello", "bad_chunk"),
    (b"+5\r\nhello", "bad_chunk"),
    (b"0x5\r\nhello", "bad_chunk"),
    (b"5_0\r\nhello", "bad_chunk"),
    (b"5\nhello", "bad_chunk"),
    (b"5\n\r\nhello", "bad_chunk"),
    (b"5;a\nb\r\nhello", "bad_chunk"),
    (b"5;a\rb\r\nhello", "bad_chunk"),
    (b"5;\x00\r\nhello", "bad_chunk"),
    (b"8000000000000000\r\n", "bad_chunk"),
    (b"00000000000000005\r\nhello", "bad_chunk"),
    (b"5\r\nhelloX\r\n", "bad_chunk"),
    (b"5\r\nhello\n0\r\n", "bad_chunk"),
    (b"5\r\nhello\rX", "bad_chunk"),
    (b"5\r\nhello0\r\n\r\n", "bad_chunk"),
    (b"5;" + b"a" * 31 + b"\r\n", "chunk_line_too_long"),
    (b"5;" + b"a" * 40, "chunk_line_too_long"),
    ((b"1;" + b"a" * 20 + b"\r\nx\r\n") * 2, "chunk_extensions_too_large"),
    (b"0\r\nno colon\r\n\r\n", "bad_field"),
    (b"0\r\n folded\r\n\r\n", "obs_fold"),
    (b"0\r\nA: b\nC: d\r\n\r\n", "bad_field_value"),
    (b"0\r\nContent-Length: 5\r\n\r\n", "bad_trailer"),
    (b"0\r\nA: " + b"x" * 62 + b"\r\n\r\n", "trailers_too_large"),
    (b"0\r\nA: " + b"x" * 80, "trailers_too_large"),
    (b"0\r\na:\r\nb:\r\nc:\r\nd:\r\n\r\n", "too_many_fields"),
]


@pytest.mark.parametrize("step", [0, 1, 2])
@pytest.mark.parametrize(("data", "reason"), INVALID)
def test_invalid_messages_however_they_are_split(data, reason, step):
    with pytest.raises(RemoteProtocolError) as caught:
        decode(data, step)
    assert caught.value.reason == reason


@pytest.mark.parametrize("cut", range(len(b"5\r\nhello\r\n0\r\nA: 1\r\n\r\n")))
def test_a_message_cut_short_waits(cut):
    assert decode(b"5\r\nhello\r\n0\r\nA: 1\r\n\r\n"[:cut])[2:] == (False, None)


def test_chunks_of_one_read_come_as_one_event():
    events = []
    ChunkedDecoder(LIMITS).receive(b"1\r\na\r\n1\r\nb\r\n1\r\nc\r\n0\r\n\r\n", events)
    assert events == [b"abc", END]
