"""The rules a server is held to, by sections of RFC 9113 and RFC 7541, in the order in which h2spec asks."""

from __future__ import annotations

import hpack
import pytest

from meshproxy.http.h2 import frame as frames
from meshproxy.http.h2.error import (
    COMPRESSION_ERROR,
    FLOW_CONTROL_ERROR,
    FRAME_SIZE_ERROR,
    PROTOCOL_ERROR,
    REFUSED_STREAM,
    STREAM_CLOSED,
    ConnectionFault,
    StreamFault,
)
from meshproxy.http.h2.frame import ACK, END_HEADERS, END_STREAM, HAS_PRIORITY, PADDED, frame
from meshproxy.http.h2.hpack import Block, Fields, block_bytes
from meshproxy.http.h2.message import messages_of, read_trailers
from meshproxy.http.h2.settings import H2Limits
from meshproxy.http.head_memory import HeadMemory
from meshproxy.http.limits import HeadLimits
from tests.unit.meshproxy.http.h2.recording import REQUEST, Recording, server

BLOCK = block_bytes(REQUEST)
TRAILER = block_bytes(((b"x-t", b"1"),))
PRIORITY_3 = b"\0\0\0\x03\x0f"
"""Depends on stream 3."""


def head(stream_id: int = 1, flags: int = END_STREAM, more: bytes = b"") -> bytes:
    return frame(frames.HEADERS, END_HEADERS | flags, stream_id, BLOCK + more)


def answered(session: Recording) -> list[int]:
    """Answer every request; the streams that had one."""
    open_now = list(session.streams.values())
    for stream in open_now:
        session.send_head(stream, block_bytes(((b":status", b"200"),)), end=True)
    return [stream.id for stream in open_now]


WELCOME = [
    ("generic 3.1 DATA", head(flags=0) + frame(frames.DATA, END_STREAM, 1, b"test")),
    ("generic 3.1 DATA in several frames", head(flags=0) + frame(0, 0, 1, b"x") * 3 + frame(0, 1, 1, b"")),
    ("generic 3.1 DATA with padding", head(flags=0) + frame(0, PADDED | END_STREAM, 1, b"\x02xx\0\0")),
    ("generic 3.2 CONTINUATION", frame(1, 1, 1, BLOCK[:3]) + frame(9, END_HEADERS, 1, BLOCK[3:])),
    ("generic 3.2 trailers", head(flags=0) + frame(0, 0, 1, b"x") + frame(1, 5, 1, TRAILER)),
    ("generic 3.2 padding", frame(1, END_HEADERS | END_STREAM | PADDED, 1, b"\x03" + BLOCK + bytes(3))),
    ("generic 3.2 priority", frame(1, END_HEADERS | END_STREAM | HAS_PRIORITY, 1, PRIORITY_3 + BLOCK)),
    ("generic 3.3 PRIORITY on idle", frame(frames.PRIORITY, 0, 1, PRIORITY_3) + head()),
    ("generic 3.3 exclusive", frame(frames.PRIORITY, 0, 1, b"\x80" + PRIORITY_3[1:]) + head()),
    ("generic 3.3 on idle 7", frame(frames.PRIORITY, 0, 7, PRIORITY_3) + head()),
    ("generic 3.5 SETTINGS", frames.settings({1: 4096, 3: 100, 4: 65_535, 5: 16_384, 6: 100}) + head()),
    ("generic 3.7 PING", frame(frames.PING, 0, 0, b"h2spec\0\0") + head()),
    ("generic 3.8 GOAWAY", frames.goaway(0, 0) + head()),
    ("generic 3.9 WINDOW_UPDATE", frames.window_update(0, 1) + head(flags=0) + frames.window_update(1, 1)),
    ("generic 5 hpack, every representation", head(more=b"\x40\x01a\x01b\x00\x01c\x01d\x10\x01e\x01f\xbe")),
    ("4.1 unknown type", frame(0xFF, 0, 0, bytes(8)) + head()),
    ("4.1 unknown flag", frame(frames.PING, 0x16, 0, bytes(8)) + head()),
    ("4.1 reserved bit", frame(frames.PING, 0, 0x80000000, bytes(8)) + head()),
    ("4.2 a frame of 16384", head(flags=0) + frame(0, END_STREAM, 1, bytes(16_384))),
    ("5.5 unknown extension", frame(0x16, 0, 0, bytes(8)) + head()),
    ("6.5.2 unknown setting", frames.settings({0xFF: 1}) + head()),
    ("6.7 PING with ACK", frame(frames.PING, ACK, 0, bytes(8)) + head()),
    ("6.9.2 a negative window", frames.settings({4: 0}) + head() + frames.settings({4: 1})),
    ("7 unknown code in GOAWAY", frames.goaway(0, 0xFF) + head()),
    ("7 unknown code in RST_STREAM", head(flags=0) + frames.rst_stream(1, 0xFF) + head(3)),
    (
        "5.1 PRIORITY on a closed stream",
        head() + frames.rst_stream(1, 8) + frame(2, 0, 1, PRIORITY_3) + head(3),
    ),
    (
        "5.1 WINDOW_UPDATE on a closed one",
        head() + frames.rst_stream(1, 8) + frames.window_update(1, 1) + head(3),
    ),
    ("5.1 RST_STREAM on a closed one", head() + frames.rst_stream(1, 8) * 2 + head(3)),
]


@pytest.mark.parametrize(("rule", "data"), WELCOME, ids=[rule for rule, _ in WELCOME])
def test_what_is_allowed_is_served(rule: str, data: bytes) -> None:
    session = server()
    session.receive(data)
    assert len(answered(session)) == 1, rule


CONNECTION = [
    ("4.2 HEADERS too large", frame(1, 5, 1, bytes(16_385)), FRAME_SIZE_ERROR),
    ("4.2 DATA too large", head(flags=0) + frame(0, 1, 1, bytes(16_385)), FRAME_SIZE_ERROR),
    ("4.3 invalid block", frame(1, 5, 1, b"\x40"), COMPRESSION_ERROR),
    ("4.3 PRIORITY in a block", frame(1, 1, 1, BLOCK) + frame(2, 0, 1, PRIORITY_3), PROTOCOL_ERROR),
    ("4.3 HEADERS in a block", frame(1, 1, 1, BLOCK) + head(3), PROTOCOL_ERROR),
    ("5.1 idle: DATA", frame(0, 1, 1, b"test"), PROTOCOL_ERROR),
    ("5.1 idle: RST_STREAM", frames.rst_stream(1, 8), PROTOCOL_ERROR),
    ("5.1 idle: WINDOW_UPDATE", frames.window_update(1, 100), PROTOCOL_ERROR),
    ("5.1 idle: CONTINUATION", frame(9, END_HEADERS, 1, BLOCK), PROTOCOL_ERROR),
    ("5.1 half-closed: CONTINUATION", head() + frame(9, END_HEADERS, 1, BLOCK), PROTOCOL_ERROR),
    ("5.1 closed by RST: HEADERS", head(flags=0) + frames.rst_stream(1, 8) + head(), STREAM_CLOSED),
    (
        "5.1 closed by RST: CONTINUATION",
        head() + frames.rst_stream(1, 8) + frame(9, 4, 1, BLOCK),
        PROTOCOL_ERROR,
    ),
    ("5.1.1 even stream", head(2), PROTOCOL_ERROR),
    ("5.1.1 smaller stream", head(5) + head(3), STREAM_CLOSED),
    ("5.5 unknown frame in a block", frame(1, 1, 1, BLOCK) + frame(0x16, 0, 0, bytes(8)), PROTOCOL_ERROR),
    ("6.1 DATA on 0", frame(0, 1, 0, b"test"), PROTOCOL_ERROR),
    ("6.1 too much padding", head(flags=0) + frame(0, PADDED, 1, b"\x06Test"), PROTOCOL_ERROR),
    (
        "6.1 the same on a closed stream",
        head(flags=0) + frames.rst_stream(1, 8) + frame(0, PADDED, 1, b"\x06Test"),
        PROTOCOL_ERROR,
    ),
    ("6.2 other frame in a block", frame(1, 1, 1, BLOCK) + frames.settings({}), PROTOCOL_ERROR),
    ("6.2 HEADERS on 0", head(0), PROTOCOL_ERROR),
    ("6.2 too much padding", frame(1, 5 | PADDED, 1, bytes((len(BLOCK) + 1,)) + BLOCK), PROTOCOL_ERROR),
    (
        "5.3.1 HEADERS on itself, unfinished",
        frame(1, HAS_PRIORITY, 1, b"\0\0\0\x01\0" + BLOCK),
        PROTOCOL_ERROR,
    ),
    ("6.3 PRIORITY on 0", frame(2, 0, 0, PRIORITY_3), PROTOCOL_ERROR),
    ("6.4 RST_STREAM on 0", frames.rst_stream(0, 8), PROTOCOL_ERROR),
    ("6.4 RST_STREAM of 3 bytes", head(flags=0) + frame(3, 0, 1, bytes(3)), FRAME_SIZE_ERROR),
    ("6.5 SETTINGS ACK with content", frame(4, ACK, 0, b"\0"), FRAME_SIZE_ERROR),
    ("6.5 SETTINGS on a stream", frame(4, 0, 1, bytes(6)), PROTOCOL_ERROR),
    ("6.5 SETTINGS of 3 bytes", frame(4, 0, 0, bytes(3)), FRAME_SIZE_ERROR),
    ("6.5.2 ENABLE_PUSH 2", frames.settings({2: 2}), PROTOCOL_ERROR),
    ("6.5.2 INITIAL_WINDOW_SIZE", frames.settings({4: 2**31}), FLOW_CONTROL_ERROR),
    ("6.5.2 MAX_FRAME_SIZE low", frames.settings({5: 16_383}), PROTOCOL_ERROR),
    ("6.5.2 MAX_FRAME_SIZE high", frames.settings({5: 2**24}), PROTOCOL_ERROR),
    ("6.7 PING on a stream", frame(6, 0, 1, bytes(8)), PROTOCOL_ERROR),
    ("6.7 PING of 6 bytes", frame(6, 0, 0, bytes(6)), FRAME_SIZE_ERROR),
    ("6.8 GOAWAY on a stream", frame(7, 0, 1, bytes(8)), PROTOCOL_ERROR),
    ("6.9 WINDOW_UPDATE 0", frames.window_update(0, 0), PROTOCOL_ERROR),
    ("6.9 WINDOW_UPDATE of 3 bytes", frame(8, 0, 0, bytes(3)), FRAME_SIZE_ERROR),
    ("6.9.1 window overflow", frames.window_update(0, 2**31 - 1) * 2, FLOW_CONTROL_ERROR),
    ("6.10 CONTINUATION on 0", frame(1, 1, 1, BLOCK) + frame(9, 4, 0, BLOCK), PROTOCOL_ERROR),
    ("6.10 after END_HEADERS", head() + frame(9, 4, 1, BLOCK), PROTOCOL_ERROR),
    ("6.10 after CONTINUATION", frame(1, 1, 1, BLOCK[:1]) + frame(9, 4, 1, BLOCK[1:]) * 2, PROTOCOL_ERROR),
    ("6.10 after DATA", head(flags=0) + frame(0, 0, 1, b"x") + frame(9, 4, 1, BLOCK), PROTOCOL_ERROR),
    ("8.4 PUSH_PROMISE", frame(5, END_HEADERS, 1, bytes(4) + BLOCK), PROTOCOL_ERROR),
    ("7541 2.3.3 index 70", head(more=b"\xc6"), COMPRESSION_ERROR),
    ("7541 2.3.3 name index 70", head(more=b"\x7f\x07\x01x"), COMPRESSION_ERROR),
    ("7541 4.2 size update at the end", head(more=b"\x21"), COMPRESSION_ERROR),
    (
        "7541 5.2 padding over 7 bits",
        head(more=b"\x00\x85\xf2\xb2\x4a\x84\xff\x84\x49\x50\x9f\xff"),
        COMPRESSION_ERROR,
    ),
    (
        "7541 5.2 padding of zeros",
        head(more=b"\x00\x85\xf2\xb2\x4a\x87\xff\x83\x49\x50\x90"),
        COMPRESSION_ERROR,
    ),
    (
        "7541 5.2 EOS",
        head(more=b"\x00\x85\xf2\xb2\x4a\x84\xff\x87\x49\x51\xff\xff\xff\xfa\x7f"),
        COMPRESSION_ERROR,
    ),
    ("7541 6.1 index 0", head(more=b"\x80"), COMPRESSION_ERROR),
    ("7541 6.3 size beyond what was announced", frame(1, 5, 1, b"\x3f\xe2\x1f" + BLOCK), COMPRESSION_ERROR),
]


@pytest.mark.parametrize(("rule", "data", "code"), CONNECTION, ids=[rule for rule, _, _ in CONNECTION])
def test_errors_of_the_connection(rule: str, data: bytes, code: int) -> None:
    session = server()
    with pytest.raises(ConnectionFault) as fault:
        session.receive(data)
    assert fault.value.code == code, rule
    assert session.take_output()[-1:] != b""
    assert session.is_closed


STREAM = [
    ("5.1 half-closed: DATA", head() + frame(0, 1, 1, b"test"), STREAM_CLOSED),
    ("5.1 half-closed: HEADERS", head() * 2, STREAM_CLOSED),
    (
        "5.1 closed by RST: DATA",
        head(flags=0) + frames.rst_stream(1, 8) + frame(0, 1, 1, b"x"),
        STREAM_CLOSED,
    ),
    ("5.3.1 HEADERS on itself", frame(1, 5 | HAS_PRIORITY, 1, b"\0\0\0\x01\0" + BLOCK), PROTOCOL_ERROR),
    ("5.3.1 PRIORITY on itself", frame(2, 0, 1, b"\0\0\0\x01\0"), PROTOCOL_ERROR),
    ("6.3 PRIORITY of 4 bytes", head() + frame(2, 0, 1, bytes(4)), FRAME_SIZE_ERROR),
    ("6.9 WINDOW_UPDATE 0", head() + frames.window_update(1, 0), PROTOCOL_ERROR),
    ("6.9.1 window overflow", head() + frames.window_update(1, 2**31 - 1) * 2, FLOW_CONTROL_ERROR),
    ("8.1 trailers that end nothing", head(flags=0) + frame(1, END_HEADERS, 1, TRAILER), PROTOCOL_ERROR),
    ("8.1.1 DATA shorter than content-length", b"5" + b"test", PROTOCOL_ERROR),
    ("8.1.1 DATA longer than content-length", b"3" + b"test", PROTOCOL_ERROR),
]


@pytest.mark.parametrize(("rule", "data", "code"), STREAM, ids=[rule for rule, _, _ in STREAM])
def test_errors_of_a_stream(rule: str, data: bytes, code: int) -> None:
    session = server()
    if data[1:] == b"test":
        length = block_bytes(((b"content-length", data[:1]),))
        data = head(flags=0, more=length) + frame(0, 0, 1, b"te") + frame(0, 1, 1, b"st")
    session.receive(data)
    assert frames.rst_stream(1, code) in session.take_output(), rule
    session.receive(head(3))
    assert answered(session) == [3]


def test_streams_beyond_what_was_announced() -> None:
    """Section 5.1.2."""
    session = server(H2Limits(max_concurrent_streams=10))
    session.receive(b"".join(head(2 * n + 1, 0) for n in range(11)))
    assert frames.rst_stream(21, REFUSED_STREAM) in session.take_output()


@pytest.mark.parametrize("sizes", [(0,), (100, 8192), (8192, 4095, 0)])
def test_who_allows_a_smaller_table_is_told_that_none_is_used(sizes: tuple[int, ...]) -> None:
    """Section 4.3.1: their decoders refuse the next block that does not begin with it, and only that one."""
    session = server()
    session.receive(b"".join(frames.settings({1: size}) for size in sizes) + head(1) + head(3))
    session.take_output()
    decoder = hpack.Decoder()
    decoder.max_allowed_table_size = sizes[-1]
    answered(session)
    output = session.take_output()
    first, second = output[9 : 9 + output[2]], output[9 + output[2] + 9 :]
    assert [first, second] == [b"\x20\x88", b"\x88"]
    for block in (first, second):
        assert decoder.decode(block, raw=True) == [(b":status", b"200")]


def test_who_allows_as_much_as_ever_is_told_nothing() -> None:
    session = server()
    session.receive(frames.settings({1: 4096}) + frames.settings({1: 65_536}) + head())
    session.take_output()
    answered(session)
    assert session.take_output().endswith(b"\x88")


def _without(name: bytes) -> Fields:
    return tuple(field for field in REQUEST if field[0] != name)


MALFORMED: list[tuple[str, Fields]] = [
    ("8.2.1 upper case", (*REQUEST, (b"X-TEST", b"ok"))),
    ("8.3 unknown pseudo-field", ((b":test", b"ok"), *REQUEST)),
    ("8.3 a response's pseudo-field", ((b":status", b"200"), *REQUEST)),
    ("8.3 pseudo-field behind a field", (*REQUEST[:-1], (b"x", b"ok"), REQUEST[-1])),
    ("8.2.2 connection", (*REQUEST, (b"connection", b"keep-alive"))),
    ("8.2.2 proxy-connection", (*REQUEST, (b"proxy-connection", b"keep-alive"))),
    ("8.2.2 keep-alive", (*REQUEST, (b"keep-alive", b"timeout=5"))),
    ("8.2.2 upgrade", (*REQUEST, (b"upgrade", b"websocket"))),
    ("8.2.2 transfer-encoding", (*REQUEST, (b"transfer-encoding", b"chunked"))),
    ("8.2.2 te", (*REQUEST, (b"te", b"trailers, deflate;q=0.5"))),
    ("8.3.1 empty :path", (*_without(b":path"), (b":path", b""))),
    ("8.3.1 no :method", _without(b":method")),
    ("8.3.1 no :scheme", _without(b":scheme")),
    ("8.3.1 no :path", _without(b":path")),
    ("8.3.1 nobody named", _without(b":authority")),
    ("8.3.1 two :method", ((b":method", b"GET"), *REQUEST)),
    ("8.3.1 two :scheme", ((b":scheme", b"http"), *REQUEST)),
    ("8.3.1 two :path", ((b":path", b"/"), *REQUEST)),
    ("8.3.1 two :authority", ((b":authority", b"a"), *REQUEST)),
    ("8.3.1 user information", (*_without(b":authority"), (b":authority", b"u@a"))),
    ("8.3.1 another host", (*REQUEST, (b"host", b"b"))),
    ("8.3.1 another port", (*REQUEST, (b"host", b"a:81"))),
    ("8.3.1 the default port of another scheme", (*REQUEST, (b"host", b"a:443"))),
    ("8.3.1 two hosts", (*REQUEST, (b"host", b"a"), (b"host", b"a"))),
    ("8.3.1 a fragment", (*_without(b":path"), (b":path", b"/#a"))),
    ("8.3.1 an absolute URI", (*_without(b":path"), (b":path", b"http://b/"))),
    ("8.1.1 two lengths", (*REQUEST, (b"content-length", b"1"), (b"content-length", b"2"))),
    ("8.1.1 no length", (*REQUEST, (b"content-length", b"+1"))),
]


@pytest.mark.parametrize(("rule", "fields"), MALFORMED, ids=[rule for rule, _ in MALFORMED])
def test_malformed_requests(rule: str, fields: Fields) -> None:
    messages = messages_of(HeadMemory(), HeadLimits())
    for end in (True, False):
        with pytest.raises(StreamFault) as fault:
            messages.request(Block(fields), b"", end=end)
        assert fault.value.code == PROTOCOL_ERROR, rule


@pytest.mark.parametrize("host", [b"A.b", b"a.b:80", b"a.B:80"])
def test_authority_and_host_are_compared_as_what_they_name(host: bytes) -> None:
    """Section 8.3.1, RFC 3986 section 6.2. `:authority` goes on."""
    messages = messages_of(HeadMemory(), HeadLimits())
    fields = (*_without(b":authority"), (b":authority", b"a.b"), (b"host", host))
    request = messages.request(Block(fields), b"", end=True)
    assert request.head.host == "a.b"


def test_pseudo_fields_are_no_trailers() -> None:
    """Section 8.1."""
    for name in (b":method", b":status", b":test"):
        with pytest.raises(StreamFault):
            read_trailers(((name, b"200"),))
