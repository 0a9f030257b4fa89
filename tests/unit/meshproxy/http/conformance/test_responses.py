"""Responses: every framing, answers without a body, interim ones, switches of protocol, early ends."""

from __future__ import annotations

import pytest

from meshproxy.errors import LocalProtocolError
from meshproxy.http.events import END, Framing
from tests.unit.meshproxy.http.conformance.exchange import (
    SIZES,
    TIMES,
    awaiting,
    messages,
    receive,
    refusal,
)

OK = b"HTTP/1.1 200 OK\r\n"
FIXED = OK + b"Content-Length: 5\r\n\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"

WHOLE = {
    "fixed length": (b"GET", FIXED + b"hello", [[200, FIXED[:-2], b"hello", (), True]]),
    "a length of zero": (
        b"GET",
        OK + b"Content-Length: 0\r\n\r\n",
        [[200, OK + b"Content-Length: 0\r\n", b"", (), True]],
    ),
    "chunked": (b"GET", CHUNKED + b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n", [[200, OK, b"hello", (), True]]),
    "chunked with trailers": (
        b"GET",
        CHUNKED + b"5;x\r\nhello\r\n0\r\nA: b\r\n\r\n",
        [[200, OK, b"hello", ((b"a", b"b"),), True]],
    ),
    "an answer to HEAD, by length": (b"HEAD", FIXED, [[200, FIXED[:-2], b"", (), True]]),
    "an answer to HEAD, chunked": (b"HEAD", CHUNKED, [[200, OK, b"", (), True]]),
    "an answer to HEAD, without framing": (b"HEAD", OK + b"\r\n", [[200, OK, b"", (), True]]),
    "204": (
        b"GET",
        b"HTTP/1.1 204 No Content\r\n\r\n",
        [[204, b"HTTP/1.1 204 No Content\r\n", b"", (), True]],
    ),
    "204 loses a length of zero": (
        b"GET",
        b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n",
        [[204, b"HTTP/1.1 204 No Content\r\n", b"", (), True]],
    ),
    "304 keeps its length": (
        b"GET",
        b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
        [[304, b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n", b"", (), True]],
    ),
    "100 before the answer": (
        b"POST",
        CONTINUE + FIXED + b"hello",
        [[100, b"HTTP/1.1 100 Continue\r\n", b"", (), True], [200, FIXED[:-2], b"hello", (), True]],
    ),
    "103 twice before the answer": (
        b"GET",
        HINTS + HINTS + CHUNKED + b"0\r\n\r\n",
        [[103, HINTS[:-2], b"", (), True]] * 2 + [[200, OK, b"", (), True]],
    ),
    "without a reason": (
        b"GET",
        b"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n",
        [[200, b"HTTP/1.1 200 \r\nContent-Length: 0\r\n", b"", (), True]],
    ),
    "a refused CONNECT": (
        b"CONNECT",
        b"HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno",
        [[403, b"HTTP/1.1 403 No\r\nContent-Length: 2\r\n", b"no", (), True]],
    ),
    "hop-by-hop and mesh fields stay here": (
        b"GET",
        OK + b"Connection: x-hop\r\nX-Hop: 1\r\nKeep-Alive: 5\r\nx-envoy-peer-metadata: m\r\nA:b\r\n"
        b"Content-Length: 0\r\n\r\n",
        [[200, OK + b"A: b\r\nContent-Length: 0\r\n", b"", (), True]],
    ),
}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("method", "data", "expected"), WHOLE.values(), ids=WHOLE)
def test_a_whole_response_however_it_is_cut(codec, method, data, expected, size):
    reader = codec.response_reader()
    for _ in range(TIMES):
        reader.expect(method)
        assert not reader.is_idle
        assert messages(receive(reader, data, size)) == expected
        assert reader.is_idle
        assert reader.receive_eof() == []


UNTIL_CLOSE = [
    OK + b"\r\n",
    b"HTTP/1.0 200 OK\r\n\r\n",
    b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\n",
    OK + b"Connection: close\r\n\r\n",
]


@pytest.mark.parametrize("head", UNTIL_CLOSE)
@pytest.mark.parametrize("size", SIZES)
def test_a_body_until_close_ends_with_its_connection(codec, head, size):
    for _ in range(TIMES):
        reader = awaiting(codec)
        [message] = messages(receive(reader, head + b"any\r\n\r\n0\r\n\r\n", size))
        assert message[2:] == [b"any\r\n\r\n0\r\n\r\n", (), False]
        assert reader.receive_eof() == [END]
        assert reader.receive_eof() == []


def test_a_body_until_close_may_be_empty(codec):
    for _ in range(TIMES):
        reader = awaiting(codec)
        [start] = reader.receive(OK + b"\r\n")
        assert (start.framing, start.end_stream) == (Framing.UNTIL_CLOSE, False)
        assert reader.receive_eof() == [END]


def test_the_framing_depends_on_the_request(codec):
    for _ in range(TIMES):
        for method, framing in ((b"GET", Framing.LENGTH), (b"HEAD", Framing.NONE), (b"GET", Framing.LENGTH)):
            [start] = awaiting(codec, method).receive(FIXED)
            assert start.framing is framing
            assert start.end_stream is (method == b"HEAD")
            assert start.head.content_length == 5


KEEP_ALIVE = [
    (FIXED, True),
    (OK + b"Connection: Close\r\nContent-Length: 0\r\n\r\n", False),
    (b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", False),
    (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n", True),
]


@pytest.mark.parametrize(("data", "expected"), KEEP_ALIVE)
def test_whether_the_connection_may_go_on(codec, data, expected):
    for _ in range(TIMES):
        [start] = awaiting(codec).receive(data)
        assert start.head.keep_alive is expected


def test_interim_responses_do_not_end_the_waiting(codec):
    for _ in range(TIMES):
        reader = awaiting(codec)
        assert [message[0] for message in messages(reader.receive(CONTINUE + HINTS))] == [100, 103]
        assert not reader.is_idle
        assert refusal(reader.receive_eof) == (400, "eof_in_head")


def test_interim_responses_are_limited(codec):
    for _ in range(TIMES):
        assert len(awaiting(codec).receive(CONTINUE * 16)) == 16
        assert refusal(awaiting(codec).receive, CONTINUE * 17) == (400, "too_many_interim")
        assert refusal(receive, awaiting(codec), HINTS * 17, 7) == (400, "too_many_interim")


SWITCHING = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("method", "head"), [(b"GET", SWITCHING), (b"CONNECT", OK + b"\r\n")])
def test_behind_a_switch_of_protocols_nothing_is_parsed(codec, method, head, size):
    for _ in range(TIMES):
        reader = awaiting(codec, method)
        [message] = messages(receive(reader, head + b"HTTP/1.1 \x00\n", size))
        assert message[4] is True
        assert reader.receive(b"") == []
        assert reader.receive(b"raw") == []
        assert reader.buffered == 14
        assert not reader.is_idle
        assert reader.receive_eof() == []
        assert reader.take_remainder() == b"HTTP/1.1 \x00\nraw"
        assert reader.take_remainder() == b""


def test_after_the_switch_bytes_pass_unread_until_the_end(codec):
    reader = awaiting(codec)
    assert len(reader.receive(SWITCHING + b"first")) == 1
    assert reader.switch() == b"first"
    for data in (b"HTTP/1.1 \x00\n", b"\x81\x00"):
        assert reader.receive(data) == [data]
        assert reader.receive(b"") == []
    assert not reader.is_idle
    assert reader.buffered == 0
    assert reader.receive_eof() == [END]


def test_within_a_message_nothing_is_switched(codec):
    reader = awaiting(codec)
    with pytest.raises(LocalProtocolError):
        reader.switch()
    reader.receive(FIXED)
    with pytest.raises(LocalProtocolError):
        reader.switch()


def test_a_switch_tells_to_what(codec):
    [start] = awaiting(codec).receive(SWITCHING)
    assert (start.head.status, start.head.upgrade, start.framing) == (101, b"websocket", Framing.NONE)
    [first, second] = awaiting(codec).receive(CONTINUE + SWITCHING)
    assert (first.head.status, second.head.status) == (100, 101)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "eof_before_head"),
        (b"HTTP", "eof_in_head"),
        (FIXED[:-1], "eof_in_head"),
        (CONTINUE, "eof_in_head"),
        (FIXED, "eof_in_body"),
        (FIXED + b"hell", "eof_in_body"),
        (CHUNKED, "eof_in_body"),
        (CHUNKED + b"5\r\nhello\r\n", "eof_in_body"),
        (CHUNKED + b"5\r\nhello\r\n0\r\n", "eof_in_body"),
    ],
)
@pytest.mark.parametrize("size", [1, 1000])
def test_an_end_within_a_response_is_never_a_clean_one(codec, data, reason, size):
    for _ in range(TIMES):
        reader = awaiting(codec)
        receive(reader, data, size)
        assert refusal(reader.receive_eof) == (400, reason)
        assert refusal(reader.receive, b"x") == (400, reason)


def test_bytes_nobody_asked_for(codec):
    reader = codec.response_reader()
    assert reader.receive(b"") == []
    assert reader.is_idle
    assert refusal(reader.receive, FIXED) == (400, "unexpected_bytes")
    for _ in range(TIMES):
        reader = awaiting(codec)
        assert reader.receive(FIXED + b"helloHTTP/1.1 200")[1:] == [b"hello", END]
        assert not reader.is_idle
        assert reader.buffered == 12
        with pytest.raises(LocalProtocolError):
            reader.expect(b"GET")
        assert refusal(reader.receive, b"x") == (400, "unexpected_bytes")


def test_expect_twice_is_our_bug(codec):
    with pytest.raises(LocalProtocolError):
        awaiting(codec).expect(b"GET")


def test_limits(make_codec):
    def refused(data, **limits):
        return refusal(awaiting(make_codec(**limits)).receive, data)

    assert refused(FIXED, max_head_bytes=30) == (431, "head_too_large")
    assert refused(FIXED[:-1], max_head_bytes=30) == (431, "head_too_large")
    assert refused(OK + b"A: b\r\n" * 4 + b"\r\n", max_fields=3) == (431, "too_many_fields")
    assert refused(CHUNKED + b"0\r\nA: " + b"b" * 99, max_trailer_bytes=50) == (431, "trailers_too_large")


def test_a_bad_body_is_refused_behind_its_head(codec):
    for _ in range(TIMES):
        reader = awaiting(codec)
        assert len(reader.receive(CHUNKED)) == 1
        assert refusal(reader.receive, b"5\r\nhello!") == (400, "bad_chunk")
