"""Templates of request heads never change what a head means, whatever a peer made them learn."""

import random

import pytest

from meshproxy.errors import RemoteProtocolError
from meshproxy.http.events import RequestHead
from meshproxy.http.head_memory import HeadMemory
from meshproxy.http.limits import HeadLimits
from meshproxy.http.request_head import RequestHeads

LIMITS = HeadLimits(max_fields=5, max_target_bytes=64)

NAMES = (
    *(b"X-Trace", b"x-trace", b"X-Request-Id", b"x-request-id", b"X-REQUEST-ID", b"Cookie", b"Close"),
    *(b"x-envoy-peer-metadata", b"X-Forwarded-Client-Cert", b"x_forwarded_client_cert", b"x-forwarded-for"),
    *(b"Content-Length", b"Transfer-Encoding", b"Connection", b"Keep-Alive", b"Expect", b"Upgrade", b"TE"),
    *(b"x-forwarded-client-cert:By=a", b"Transfer-Encoding:chunked", b"X-Trace:a", b"Host:b", b"TE:a"),
    *(b"x trace", b"", b"\0"),
)
VALUES = (
    *(b"%d", b"%d: %d", b" %d", b"%d ", b"\t%d", b"", b"0", b"chunked", b"close", b"keep-alive", b"x-trace"),
    *(b"close, x-trace", b"cookie", b"100-continue", b"a\rb%d", b"a\nb%d", b"a\0b%d", b"\x80%d", b"a:%d"),
)
SEPARATORS = (b": ", b": ", b": ", b": ", b":", b":  ", b" : ")
LINES = (
    *(b"GET /%d HTTP/1.1", b"POST /a?b=%d HTTP/1.1", b"HEAD / HTTP/1.1", b"GET /%d HTTP/1.0"),
    *(b"GET http://a/%d HTTP/1.1", b"OPTIONS * HTTP/1.1", b"CONNECT a:%d HTTP/1.1", b"get /%d HTTP/1.1"),
    *(b"GET /%d#f HTTP/1.1", b"GET  /%d HTTP/1.1", b"GET /" + b"p" * 64 + b" HTTP/1.1"),
)

FACTS = sorted(name for name in dir(RequestHead) if not name.startswith("_") and name != "copy")


class Peer:
    """Sends heads of a few shapes, each again and again with other numbers, so that names come to vary."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._shapes = [self._shape() for _ in range(4)]

    def _shape(self) -> list[bytes]:
        rng = self._rng
        names = rng.choices(NAMES, k=rng.randrange(6))
        fields = [name + rng.choice(SEPARATORS) + rng.choice(VALUES) for name in names]
        fields.insert(rng.randrange(len(fields) + 1), b"Host: a" if rng.random() < 0.9 else b"\0")
        line = rng.choice(LINES) if rng.random() < 0.3 else LINES[0]
        return [line, *fields]

    def head(self) -> bytes:
        rng = self._rng
        if rng.random() < 0.01:
            self._shapes[rng.randrange(4)] = self._shape()
        lines = [self._filled(line) for line in rng.choice(self._shapes)]
        if rng.random() < 0.1:  # one more or less, of another shape
            lines.insert(rng.randrange(1, len(lines) + 1), self._filled(rng.choice(rng.choice(self._shapes))))
        if rng.random() < 0.05 and len(lines) > 2:
            del lines[rng.randrange(1, len(lines))]
        return b"\r\n".join(lines)

    def _filled(self, line: bytes) -> bytes:
        return line.replace(b"%d", b"%d" % self._rng.randrange(100_000))


def meaning(heads: RequestHeads, block: bytes) -> object:
    """Everything that a head says, or the status it is refused with."""
    try:
        head, request_id, _ = heads.resolve(block + b"\r\n\r\n", len(block), remember=True)
    except RemoteProtocolError as error:
        return error.status
    return request_id, {name: getattr(head, name) for name in FACTS}


@pytest.mark.parametrize("seed", range(12))
def test_a_template_means_what_parsing_line_by_line_means(seed: int) -> None:
    rng = random.Random(seed)
    peer = Peer(rng)
    with_templates, memory = HeadMemory().requests(LIMITS), HeadMemory()
    line_by_line = RequestHeads(
        with_templates.memory.__class__(max_entries=1, max_bytes=1, max_key=1),
        memory.request_lines,
        memory.request_fields,
        LIMITS,
        use_templates=False,
    )
    for _ in range(1500):
        block = peer.head()
        assert meaning(with_templates, block) == meaning(line_by_line, block), block


def test_a_field_that_is_dropped_is_dropped_however_its_line_varies() -> None:
    heads = HeadMemory().requests(HeadLimits())
    for number in range(100):
        block = b"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-Client-Cert:By=a;URI=spiffe://c/admin: %d" % number
        head, _, _ = heads.resolve(block + b"\r\n\r\n", len(block), remember=True)
        assert head.forward == b"GET / HTTP/1.1\r\nHost: a\r\n"
