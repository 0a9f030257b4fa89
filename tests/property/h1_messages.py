"""HTTP/1.1 messages for property tests: valid ones with what a reader should see, and damaged ones."""

from __future__ import annotations

from hypothesis import strategies as st

from meshproxy.http.h1_writer import chunk, last_chunk

_TOKEN = st.text("abcXYZ019!#$%&'*+-.^_`|~", min_size=1, max_size=8).map(str.encode)
_VALUE = st.binary(max_size=12).map(
    lambda raw: bytes(b for b in raw if b == 9 or 0x20 <= b != 0x7F).strip(b" \t")
)
_TARGET = st.text("/abc019?=&%._-~:@!$'()*+,;|{}", max_size=20).map(lambda text: b"/" + text.encode())
_BLANK = st.sampled_from([b"", b" ", b"\t", b"  "])
_SPECIAL_NAMES = frozenset(
    b"host content-length transfer-encoding connection upgrade expect te keep-alive trailer".split()
)
DROPPED = frozenset(
    b"transfer-encoding connection upgrade te keep-alive proxy-connection x-request-id".split()
) | {b"x-envoy-peer-metadata", b"x-forwarded-client-cert"}


@st.composite
def _fields(draw):
    pairs = draw(st.lists(st.tuples(_TOKEN, _VALUE), max_size=5))
    return [(name, value) for name, value in pairs if name.lower() not in _SPECIAL_NAMES]


def _lowered(pairs):
    return tuple((name.lower(), value) for name, value in pairs)


def _serialise(draw, start, pairs):
    lines = [start]
    for name, value in pairs:
        blank = st.sampled_from([b"", b" "]) if name.lower() in _SPECIAL_NAMES else _BLANK
        lines.append(b"%b:%b%b%b" % (name, draw(blank), value, draw(blank)))
    return b"\r\n".join(lines) + b"\r\n\r\n"


@st.composite
def _body(draw):
    """(fields that frame it, bytes on the wire, content, trailers)."""
    content = draw(st.binary(max_size=40))
    kind = draw(st.sampled_from(["none", "length", "chunked"]))
    if kind == "none":
        return [], b"", b"", ()
    if kind == "length":
        return [(b"Content-Length", b"%d" % len(content))], content, content, ()
    pieces, rest = [], content
    while rest:
        size = draw(st.integers(1, len(rest)))
        piece = chunk(rest[:size])
        if draw(st.booleans()):
            piece = piece.replace(b"\r\n", draw(st.sampled_from([b";a=b\r\n", b";q\r\n"])), 1)
        pieces.append(piece)
        rest = rest[size:]
    trailers = tuple((name.lower(), value) for name, value in draw(_fields()))
    name = draw(st.sampled_from([b"Transfer-Encoding", b"transfer-encoding"]))
    wire = b"".join(pieces) + last_chunk(trailers)
    return [(name, draw(st.sampled_from([b"chunked", b"Chunked"])))], wire, content, trailers


@st.composite
def request(draw):
    """(bytes, method, target, headers as a reader should see them, content, trailers)."""
    method = draw(st.sampled_from([b"GET", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"PURGE"]))
    target = draw(_TARGET)
    framing, wire, content, trailers = draw(_body())
    pairs = [(b"Host", b"catalog:8080"), *draw(_fields()), *framing]
    if draw(st.booleans()):
        pairs.append((b"Connection", draw(st.sampled_from([b"close", b"keep-alive", b"te, close"]))))
    if draw(st.booleans()):
        pairs.append((b"x-request-id", draw(st.sampled_from([b"1", b"a b", b"%036d" % 7, b""]))))
    head = _serialise(draw, b"%b %b HTTP/1.1" % (method, target), pairs)
    return (
        head + wire,
        method,
        target,
        tuple((name.lower(), value) for name, value in pairs),
        content,
        trailers,
    )


@st.composite
def response(draw):
    """(bytes, method it answers, status, headers, content, trailers)."""
    method = draw(st.sampled_from([b"GET", b"GET", b"POST", b"HEAD"]))
    status = draw(st.sampled_from([200, 200, 201, 204, 304, 404, 503]))
    framing, wire, content, trailers = draw(_body())
    if status == 204 or not framing:
        framing = [] if status in {204, 304} or method == b"HEAD" else [(b"Content-Length", b"0")]
        wire, content, trailers = b"", b"", ()
    elif status == 304 or method == b"HEAD":
        wire, content, trailers = b"", b"", ()
    pairs = [*draw(_fields()), *framing]
    head = _serialise(
        draw, b"HTTP/1.1 %d %b" % (status, draw(st.sampled_from([b"OK", b"", b"No Way"]))), pairs
    )
    return (
        head + wire,
        method,
        status,
        tuple((name.lower(), value) for name, value in pairs),
        content,
        trailers,
    )


SEEDS = [
    b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"\r\nGET http://a/b?c HTTP/1.1\r\nHost: a\r\nAccept: */*\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhelloGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;a\r\nhello\r\n0\r\nT: 1\r\n\r\n",
    b"GET / HTTP/1.0\r\nConnection: keep-alive, foo\r\nfoo: b\r\nx-request-id: 1\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nx-request-id: 0af76519-16cd-43dd-8448-eb211c80319c\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    b"HTTP/1.1 100 Continue\r\n\r\n"
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    b"HTTP/1.0 200 OK\r\n\r\nuntil close",
]
_PIECES = st.sampled_from(
    [
        *[b"\r\n", b"\n", b"\r", b" ", b"\t", b"\x00", b":", b",", b"#", b"0", b"5", b"\xff", b"\r\n\r\n"],
        *[
            b"Content-Length: 5\r\n",
            b"Transfer-Encoding: chunked\r\n",
            b"Host: b\r\n",
            b"x-request-id: 2\r\n",
        ],
        *[b"HTTP/1.0", b"chunked", b" folded\r\n", b"Connection: close\r\n", b"x-request-id: 2\r\n"],
    ]
)


@st.composite
def mutated(draw):
    data = bytearray(draw(st.sampled_from(SEEDS)))
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, len(data)))
        removed = draw(st.integers(0, 3))
        data[place : place + removed] = draw(_PIECES)
    return bytes(data)


ANY_BYTES = st.one_of(st.binary(max_size=60), mutated(), mutated(), st.sampled_from(SEEDS))
