"""The requests that are sent and the answers that are expected (pure)."""

from __future__ import annotations

import random
from dataclasses import dataclass

SERVICE_PORT = 8080
NAMESPACE = "bench"

SMALL_BODY = b"0123456789abcdef" * 4
"""64 bytes."""


@dataclass(frozen=True, slots=True)
class Shape:
    """One kind of request."""

    key: str
    title: str
    path: str
    method: str = "GET"
    headers: tuple[tuple[str, str], ...] = ()
    request_body: bytes = b""
    response_body: bytes = SMALL_BODY
    unique: bool = False
    """Every request has a path, a traceparent and a host of its own."""
    small: bool = True
    """Counts for the worst of the small bodies."""
    response_headers: tuple[tuple[str, str | None], ...] = ()
    """What the judge looks for in the answer; None: not there."""

    def request(self, host: str, number: int = 0) -> bytes:
        """The bytes of request `number`; not unique ones are all the same."""
        path = f"{self.path}/{number:08x}" if self.unique else self.path
        lines = [f"{self.method} {path} HTTP/1.1", f"Host: {host}", *(f"{k}: {v}" for k, v in self.headers)]
        if self.unique:
            lines.append(f"traceparent: 00-{number:032x}-{number:016x}-01")
        if self.request_body:
            lines.append(f"Content-Length: {len(self.request_body)}")
        return "\r\n".join([*lines, "", ""]).encode() + self.request_body


def service_name(index: int) -> str:
    return f"svc-{index:03d}"


def host_name(index: int) -> str:
    """As an application in another namespace writes it."""
    return f"{service_name(index)}.{NAMESPACE}:{SERVICE_PORT}"


def _letters(count: int, seed: int) -> str:
    rng = random.Random(seed)
    return "".join(rng.choices("abcdefghijklmnopqrstuvwxyz0123456789", k=count))


def _body(count: int, seed: int) -> bytes:
    return random.Random(seed).randbytes(count)


def _many_headers() -> tuple[tuple[str, str], ...]:
    """What a browser behind a login sends: about 4 KiB, half of it cookies."""
    cookies = "; ".join(f"session{number}={_letters(96, number)}" for number in range(20))
    plain = tuple((f"x-app-header-{number}", _letters(90, 100 + number)) for number in range(18))
    return (
        ("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"),
        ("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
        *plain,
        ("Cookie", cookies),
    )


GRPC_MESSAGE = b"\0" + len(SMALL_BODY).to_bytes(4, "big") + SMALL_BODY
"""A message of gRPC with the small body."""
RESPONSE_16K = _body(16 * 1024, 1)
RESPONSE_1M = _body(1024 * 1024, 2)

SHAPES = (
    Shape("get_64", "GET 64 B", "/small"),
    Shape("get_unique", "GET, every head unique, 100 hosts", "/small", unique=True),
    Shape("get_16k", "GET 16 KiB", "/16k", response_body=RESPONSE_16K),
    Shape("post_4k", "POST 4 KiB", "/post", method="POST", request_body=_letters(4096, 3).encode()),
    Shape("get_4k_headers", "GET, 4 KiB of headers and cookies", "/small", headers=_many_headers()),
    Shape("get_1m", "GET 1 MiB", "/1m", response_body=RESPONSE_1M, small=False),
)
"""In the order they are run."""

SMALL = SHAPES[0]

GRPC_UNARY = Shape(
    "grpc_unary",
    "gRPC, unary, 64 B both ways",
    "/grpc",
    method="POST",
    headers=(("content-type", "application/grpc"), ("te", "trailers")),
    request_body=GRPC_MESSAGE,
    response_body=GRPC_MESSAGE,
)
HTTP2_SHAPES = (Shape("h2_get_64", "HTTP/2, GET 64 B", "/small"), GRPC_UNARY)

GRPC_STREAM_BYTES = 1 << 30
"""Of messages in the answer that `GRPC_STREAM` gets."""
GRPC_STREAM_MESSAGE = b"\0" + len(RESPONSE_16K).to_bytes(4, "big") + RESPONSE_16K
GRPC_STREAM = Shape(
    "grpc_stream",
    "gRPC, server streaming, 1 GiB in messages of 16 KiB",
    "/grpc_stream",
    headers=(("content-type", "application/grpc"), ("te", "trailers")),
    small=False,
)
HELD = Shape("held", "GET, an answer that takes minutes", "/held", response_body=RESPONSE_16K, small=False)
