"""Requests: every framing, what is forwarded, pipelining, keep-alive, early ends."""

from __future__ import annotations

import pytest

from meshproxy.errors import LocalProtocolError
from meshproxy.http.events import END, Framing, Request
from tests.fuzz.reading import pieces
from tests.unit.meshproxy.http.conformance.exchange import (
    SIZES,
    TIMES,
    messages,
    receive_requests,
    refusal,
)

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"
LENGTH_HEAD = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n"
CHUNKED_HEAD = b"POST / HTTP/1.1\r\nHost: a\r\n"
CHUNKED = CHUNKED_HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
GET_HEAD = b"GET / HTTP/1.1\r\nHost: a\r\n"
ROOT, POSTED = (b"GET", b"/"), (b"POST", b"/")

WHOLE = {
    "without a body": (GET, [[ROOT, GET_HEAD, b"", (), True]]),
    "a length of zero": (
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
        [[POSTED, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n", b"", (), True]],
    ),
    "fixed length": (POST, [[POSTED, LENGTH_HEAD, b"hello", (), True]]),
    "get with a body": (
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi",
        [[ROOT, GET_HEAD + b"Content-Length: 2\r\n", b"hi", (), True]],
    ),
    "chunked": (
        CHUNKED + b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
        [[POSTED, CHUNKED_HEAD, b"hello", (), True]],
    ),
    "chunked and empty": (CHUNKED + b"0\r\n\r\n", [[POSTED, CHUNKED_HEAD, b"", (), True]]),
    "chunk extensions are dropped": (
        CHUNKED + b'5;a=b;c="d"\r\nhello\r\n0;e\r\n\r\n',
        [[POSTED, CHUNKED_HEAD, b"hello", (), True]],
    ),
    "chunked with trailers": (
        CHUNKED + b"5\r\nhello\r\n0\r\nA: b\r\nX-C:  d \r\n\r\n",
        [[POSTED, CHUNKED_HEAD, b"hello", ((b"a", b"b"), (b"x-c", b"d")), True]],
    ),
    "trailers of the mesh are dropped": (
        CHUNKED + b"0\r\nx-request-id: 1\r\nX-Forwarded-Client-Cert: c\r\n\r\n",
        [[POSTED, CHUNKED_HEAD, b"", (), True]],
    ),
    "pipelined, of every framing": (
        GET + POST + CHUNKED + b"5\r\nhello\r\n0\r\n\r\n" + GET,
        [
            [ROOT, GET_HEAD, b"", (), True],
            [POSTED, LENGTH_HEAD, b"hello", (), True],
            [POSTED, CHUNKED_HEAD, b"hello", (), True],
            [ROOT, GET_HEAD, b"", (), True],
        ],
    ),
    "an empty line before each": (b"\r\n" + GET + b"\r\n" + GET, [[ROOT, GET_HEAD, b"", (), True]] * 2),
    "absolute form": (
        b"GET http://A:80/b?c HTTP/1.1\r\nHost: a\r\n\r\n",
        [[(b"GET", b"/b?c"), b"GET /b?c HTTP/1.1\r\nHost: a\r\n", b"", (), True]],
    ),
    "asterisk form": (
        b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
        [[(b"OPTIONS", b"*"), b"OPTIONS * HTTP/1.1\r\nHost: a\r\n", b"", (), True]],
    ),
    "authority form": (
        b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n",
        [[(b"CONNECT", b"a:1"), b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n", b"", (), True]],
    ),
    "HTTP/1.0 without host": (
        b"GET / HTTP/1.0\r\n\r\n",
        [[ROOT, b"GET / HTTP/1.1\r\nhost: \r\n", b"", (), True]],
    ),
    "hop-by-hop and mesh fields stay here": (
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: x-hop, te\r\nX-Hop: 1\r\nTE: trailers\r\n"
        b"Keep-Alive: 5\r\nProxy-Connection: a\r\nX-Forwarded-Client-Cert: c\r\nx-envoy-peer-metadata: m\r\n"
        b"x-request-id: 1\r\nA:b\r\n\r\n",
        [[ROOT, GET_HEAD + b"A: b\r\n", b"", (), True]],
    ),
}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("data", "expected"), WHOLE.values(), ids=WHOLE)
def test_a_whole_exchange_however_it_is_cut(codec, data, expected, size):
    for _ in range(TIMES):
        reader = codec.request_reader()
        assert messages(receive_requests(reader, pieces(data, size))) == expected
        assert reader.is_idle
        assert reader.buffered == 0
        assert reader.receive_eof() == []


@pytest.mark.parametrize("cut", range(len(CHUNKED) + 27))
def test_chunks_and_trailers_cut_anywhere(codec, cut):
    data = CHUNKED + b"5;x\r\nhello\r\n0\r\nA: b\r\n\r\n" + GET
    events = receive_requests(codec.request_reader(), [data[:cut], data[cut:]])
    assert messages(events) == [
        [POSTED, CHUNKED_HEAD, b"hello", ((b"a", b"b"),), True],
        [ROOT, GET_HEAD, b"", (), True],
    ]


def test_events_as_they_come(codec):
    for _ in range(TIMES):
        reader = codec.request_reader()
        [start] = reader.receive(POST[:-5])
        assert isinstance(start, Request)
        assert start.head.framing is Framing.LENGTH
        assert not start.head.end_stream
        assert not reader.is_complete
        assert reader.receive(b"") == []
        assert reader.receive(b"he") == [b"he"]
        assert reader.receive(b"llo") == [b"llo", END]
        assert reader.is_complete
        assert not reader.is_idle


def test_a_request_without_a_body_has_no_end_event(codec):
    for _ in range(TIMES):
        [start] = codec.request_reader().receive(GET)
        assert start.head.end_stream
        assert start.head.framing is Framing.NONE


def test_pipelined_bytes_wait_until_the_next_is_asked_for(codec):
    for _ in range(TIMES):
        reader = codec.request_reader()
        assert len(messages(reader.receive(POST + GET + GET[:5]))) == 1
        assert reader.buffered == len(GET) + 5
        assert reader.receive(GET[5:]) == []
        assert reader.buffered == 2 * len(GET)
        assert len(reader.start_next()) == 1
        assert len(reader.start_next()) == 1
        assert reader.start_next() == []
        assert reader.is_idle


KEEP_ALIVE = [
    (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", True),
    (b"GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\n\r\n", True),
    (b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Close\r\n\r\n", False),
    (b"GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\nConnection: x, close\r\n\r\n", False),
    (b"GET / HTTP/1.0\r\nHost: a\r\n\r\n", False),
    (b"GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n", True),
    (b"GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive, close\r\n\r\n", False),
    (b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", False),
]


@pytest.mark.parametrize(("data", "expected"), KEEP_ALIVE)
def test_whether_the_connection_may_go_on(codec, data, expected):
    for _ in range(TIMES):
        [start] = codec.request_reader().receive(data)
        assert start.head.keep_alive is expected


def test_upgrade_and_expectation(codec):
    for _ in range(TIMES):
        asked = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
        [start] = codec.request_reader().receive(asked)
        assert start.head.upgrade == b"websocket"
        assert b"pgrade" not in start.head.forward
        expecting = b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n"
        [start] = codec.request_reader().receive(expecting)
        assert start.head.expect_continue
        assert b"Expect: 100-continue\r\n" in start.head.forward


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (b"", b""),
        (b"x-request-id: 0af76519-16cd-43dd-8448-eb211c80319c\r\n", b"0af76519-16cd-43dd-8448-eb211c80319c"),
        (b"x-request-id: 1\r\nA: b\r\n", b"1"),
        (b"x-request-id: 1\r\nA: b\r\nX-Request-ID: 2\r\n", b"2"),
        (b"x-request-id: a b\r\n", b"a b"),
        (b"x-request-id:\r\n", b""),
    ],
)
def test_the_request_id_is_no_part_of_the_head(codec, lines, expected):
    for _ in range(TIMES):
        [start] = codec.request_reader().receive(b"GET / HTTP/1.1\r\nHost: a\r\n" + lines + b"\r\n")
        assert start.request_id == expected
        assert b"equest-" not in start.head.forward
        assert all(name != b"x-request-id" for name, _ in start.head.headers)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"G", "eof_in_head"),
        (GET[:-1], "eof_in_head"),
        (POST[:-5], "eof_in_body"),
        (POST[:-1], "eof_in_body"),
        (CHUNKED + b"5\r\nhel", "eof_in_body"),
        (CHUNKED + b"5\r\nhello\r\n", "eof_in_body"),
        (CHUNKED + b"0\r\n", "eof_in_body"),
        (CHUNKED + b"0\r\nA: b\r\n", "eof_in_body"),
    ],
)
@pytest.mark.parametrize("size", [1, 1000])
def test_an_end_within_a_request_is_refused(codec, data, reason, size):
    for _ in range(TIMES):
        reader = codec.request_reader()
        receive_requests(reader, pieces(data, size))
        assert refusal(reader.receive_eof) == (400, reason)


def test_an_end_behind_pipelined_requests_waits_for_them(codec):
    for _ in range(TIMES):
        reader = codec.request_reader()
        reader.receive(GET + GET + GET[:5])
        assert reader.receive_eof() == []
        assert len(reader.start_next()) == 1
        assert refusal(reader.start_next) == (400, "eof_in_head")


def test_limits(make_codec):
    def refused(data, **limits):
        return refusal(make_codec(**limits).request_reader().receive, data)

    long_target = b"GET /" + b"a" * 100 + b" HTTP/1.1\r\nHost: a\r\n\r\n"
    many = b"GET / HTTP/1.1\r\nHost: a\r\n" + b"A: b\r\n" * 3 + b"\r\n"
    assert refused(GET, max_head_bytes=20) == (431, "head_too_large")
    assert refused(GET[:22], max_head_bytes=20) == (431, "head_too_large")
    assert refused(long_target, max_target_bytes=50) == (414, "target_too_long")
    assert refused(long_target[:90], max_target_bytes=50, max_head_bytes=90) == (414, "target_too_long")
    assert refused(many, max_fields=3) == (431, "too_many_fields")
    assert refused(CHUNKED + b"5;" + b"a" * 99, max_chunk_line=50) == (400, "chunk_line_too_long")
    assert refused(CHUNKED + b"1;aa\r\nx\r\n" * 9, max_chunk_extension_bytes=20) == (
        400,
        "chunk_extensions_too_large",
    )
    assert refused(CHUNKED + b"0\r\nA: " + b"b" * 99, max_trailer_bytes=50) == (431, "trailers_too_large")
    assert refused(CHUNKED + b"0\r\n" + b"A: b\r\n" * 4 + b"\r\n", max_fields=3) == (431, "too_many_fields")
    assert len(make_codec(max_head_bytes=len(GET)).request_reader().receive(GET)) == 1
    large = b"GET / HTTP/1.1\r\nHost: a\r\nA: " + b"b" * 60_000 + b"\r\n\r\n"
    assert len(make_codec().request_reader().receive(large)) == 1


def test_after_a_refusal_everything_is_refused_the_same_way(codec):
    reader = codec.request_reader()
    for call in ((reader.receive, b"\x00"), (reader.receive, GET), (reader.receive_eof,)):
        assert refusal(*call) == (400, "bad_request_line")
    for _ in range(TIMES):
        reader = codec.request_reader()
        reader.receive(CHUNKED)
        assert refusal(reader.receive, b"x\r\n") == (400, "bad_chunk")
        assert refusal(reader.receive, GET) == (400, "bad_chunk")


def test_start_next_too_early_is_our_bug(codec):
    with pytest.raises(LocalProtocolError):
        codec.request_reader().start_next()


def test_behind_a_request_bytes_may_be_switched_to_another_protocol(codec):
    for _ in range(TIMES):
        reader = codec.request_reader()
        assert len(reader.receive(GET + b"early")) == 1
        reader.receive(b" bird")
        assert reader.switch() == b"early bird"
        for data in (b"GET / HTTP/9.9\n\n", b"\x81\x00"):
            assert reader.receive(data) == [data]
            assert reader.receive(b"") == []
        assert not reader.is_idle
        assert not reader.is_complete
        assert reader.buffered == 0
        assert reader.receive_eof() == [END]


@pytest.mark.parametrize("part", [b"", GET[:-1], POST[:-1]])
def test_within_a_request_nothing_is_switched(codec, part):
    reader = codec.request_reader()
    reader.receive(part)
    with pytest.raises(LocalProtocolError):
        reader.switch()
