"""The steps of a case: what a client does, and what it and the upstreams must see.

A step says twice what happened: `wrong` is what is not as the Gateway API (or Envoy's documentation) has it,
`facts` are everything that can be seen, for the comparison of one data plane with the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from tests.parity.client import Connection
from tests.parity.script import Seen, chunked

Facts = dict[str, object]
POLL = 0.05
"""Seconds between two looks at what other processes do."""


@dataclass(frozen=True)
class Request:
    path: str = "/"
    method: str = "GET"
    headers: tuple[tuple[str, str], ...] = ()
    to: str = ""
    """Service of the case; empty is the first."""
    host: str = ""
    """Empty: `<service>.shop:8080`; `$vip` is the Service's address, `$a` that of the endpoint `a`."""
    body: bytes = b""
    source: str = ""
    """The client's address; empty is that of most."""
    address: str = ""
    """Where to; empty is the Service's ClusterIP, `$a` the endpoint `a`."""
    port: int = 0
    """0: 8080 in the mesh; at a gateway 80, or 443 with `tls`."""
    tls: bool = False
    """Over TLS, asking for the Host's name."""
    proves_itself: bool = False
    """With a client certificate."""
    version: str = "1.1"
    """`1.1`, or `2` by prior knowledge."""
    trailers: tuple[tuple[str, str], ...] = ()

    def encoded(self, host: str) -> bytes:
        """`host` is what stands for `self.host`."""
        fields = [("Host", host), *self.headers]
        if self.trailers:
            fields.append(("Transfer-Encoding", "chunked"))
        elif self.body and self.version == "1.1":
            fields.append(("Content-Length", str(len(self.body))))
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields)
        body = chunked(self.body, self.trailers) if self.trailers else self.body
        return f"{self.method} {self.path} HTTP/1.1\r\n{lines}\r\n".encode() + body


class Bench(Protocol):
    """One case on one data plane."""

    async def connect(self, request: Request) -> Connection: ...

    def encoded(self, request: Request) -> bytes: ...

    def take(self) -> list[Seen]:
        """What the upstreams got since it was asked last."""
        ...

    def count(self) -> int:
        """How many requests `take` would give."""
        ...

    async def until_arrived(self, count: int) -> None:
        """Until the upstreams have got that many since `take`."""
        ...

    def accepted(self) -> int:
        """How many connections the upstreams have taken so far."""
        ...

    def open(self) -> int:
        """How many of them are open."""
        ...

    def release(self) -> None:
        """Let all held answers go."""
        ...

    def mend(self, endpoint: str) -> None:
        """From now on it answers 200."""
        ...

    async def apply(self, resources: str) -> None: ...

    async def delete(self, kind: str, name: str) -> None: ...

    async def set_ready(self, service: str, ready: Sequence[bool]) -> None: ...

    async def greeting(self, service: str, address: str, port: int, hello: bytes) -> str:
        """The first line of a TCP connection; empty when it was refused or ended."""
        ...


@dataclass
class Result:
    facts: Facts = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)

    def expect(self, what: str, found: object, wanted: object) -> None:
        if found != wanted:
            self.wrong.append(f"{what}: {found!r}, not {wanted!r}")


class Step(Protocol):
    async def run(self, bench: Bench) -> Result: ...


@dataclass(frozen=True)
class Apply:
    """Create or change resources, and wait until they are in force."""

    resources: str

    async def run(self, bench: Bench) -> Result:
        await bench.apply(self.resources)
        return Result()


@dataclass(frozen=True)
class Delete:
    kind: str
    name: str

    async def run(self, bench: Bench) -> Result:
        await bench.delete(self.kind, self.name)
        return Result()


@dataclass(frozen=True)
class SetReady:
    """Which endpoints of a Service are ready from now on."""

    service: str
    ready: tuple[bool, ...]

    async def run(self, bench: Bench) -> Result:
        await bench.set_ready(self.service, self.ready)
        return Result()
