"""Calls of gRPC as steps: what a client sends, and what servers answer (pure)."""

from __future__ import annotations

from collections.abc import Mapping

from tests.parity.ask import Ask, Forwarded
from tests.parity.script import Answer
from tests.parity.step import Request

TYPE = ("content-type", "application/grpc")
_TE = ("te", "trailers")
MESSAGE = b"\x00\x00\x00\x00\x02hi"
GET = "/shop.v1.Cart/Get"

FINE = Answer(200, (TYPE,), MESSAGE.decode(), trailers=(("grpc-status", "0"), ("x-served", "yes")))
"""One message, then the status."""


def failing(status: int, message: str = "because") -> Answer:
    """An answer that is nothing but its status."""
    return Answer(200, (TYPE, ("grpc-status", str(status)), ("grpc-message", message)))


def failing_late(status: int) -> Answer:
    """A message has gone before the status."""
    return Answer(200, (TYPE,), MESSAGE.decode(), trailers=(("grpc-status", str(status)),))


def calling(path: str = GET, *headers: tuple[str, str], to: str = "", version: str = "2") -> Request:
    fields = (TYPE, _TE, *headers)
    return Request(path, "POST", fields, to=to, body=MESSAGE, version=version)


def call(
    path: str = GET,
    status: int = 0,
    at: str = "",
    *,
    metadata: tuple[tuple[str, str], ...] = (),
    headers: Mapping[str, str | None] | None = None,
    attempts: int | None = None,
    at_least: float = 0.0,
) -> Ask:
    """`at`: the endpoint that gets it; empty: none does, or as many as `attempts` says."""
    forwarded = (Forwarded(at, path, method="POST", version="2"),) if at else ()
    return Ask(
        calling(path, *metadata),
        200,
        headers or {},
        forwarded=forwarded if attempts is None else None,
        attempts=attempts,
        grpc=status,
        at_least=at_least,
    )
