"""Routes and endpoints change all the time under load: what changed holds from its ACK on, and nothing fails.

Weights change, backends come and go (one with its Service), endpoints are withdrawn. A real control plane, a
real sidecar, and clients on kept connections. Each request carries the number of the state that was
acknowledged when it was sent; each server writes down what it was asked. A request may be served by whoever
belongs to that state, or to one that came into force while it was under way; by nobody else, and only once.
`MESHPROXY_ROUTE_FLIPS` sets the number of changes.
"""

import asyncio
import contextlib
import itertools
import logging
import os
import random
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace

import pytest

from tests.contract.one_pod_mesh import POD_IP, Mesh, create, running_mesh
from tests.unit.control_plane import manifest_builder as build

pytestmark = pytest.mark.privileged

_log = logging.getLogger(__name__)

FLIPS = int(os.environ.get("MESHPROXY_ROUTE_FLIPS", "200"))
CLIENTS = 8
VIPS = {"flip": "10.96.0.30", "red": "10.96.0.31", "blue": "10.96.0.32", "green": "10.96.0.33"}
PLAIN_IPS = {"blue-a": "10.244.0.22", "blue-b": "10.244.0.23", "green-a": "10.244.0.24"}
ADDRESSES = {"v1-1": POD_IP, **PLAIN_IPS}
"""`v1-1`, which serves `red`, is behind mutual TLS and its own sidecar; the others are plain."""
PORT = 8081
ACK_TIMEOUT = 60.0


@dataclass(frozen=True)
class State:
    """What the objects say: weights (None: the backend is not named), and who serves `blue`."""

    red: int | None
    blue: int | None
    ready: tuple[str, ...]
    has_green: bool = False
    """There is a Service `green`, which takes a share of its own."""

    @property
    def servers(self) -> frozenset[str]:
        """Who may be asked."""
        green = ("green-a",) if self.has_green else ()
        return frozenset((("v1-1",) if self.red else ()) + (self.ready if self.blue else ()) + green)


WEIGHTS = ((100, 0), (0, 100), (50, 50), (90, 10), (1, None), (None, 1))
READY = (("blue-a",), ("blue-b",), ("blue-a", "blue-b"))


@dataclass
class Ledger:
    """What was asked of whom, and what was in force."""

    states: list[State]
    """Those acknowledged, in their order; the last one may not be yet."""
    acknowledged: int = 0
    served: Counter[int] = field(default_factory=Counter)
    by_server: Counter[str] = field(default_factory=Counter)
    astray: list[str] = field(default_factory=list)

    def on_request(self, server: str, number: int, sent_under: int) -> None:
        self.served[number] += 1
        self.by_server[server] += 1
        if not any(server in state.servers for state in self.states[sent_under:]):
            self.astray.append(
                f"request {number} was sent under {self.states[sent_under]}, number {sent_under}, to {server}"
            )


class Client:
    """An application: one request after the other on a kept connection."""

    def __init__(self, mesh: Mesh, ledger: Ledger, numbers: "itertools.count[int]") -> None:
        self._mesh = mesh
        self._ledger = ledger
        self._numbers = numbers
        self.answered: list[int] = []
        self.statuses: Counter[int] = Counter()
        self.connections = 0
        self.stop = False

    async def run(self) -> None:
        while not self.stop:
            self.connections += 1
            sock = await asyncio.to_thread(self._mesh.network.connect, VIPS["flip"], 8080)
            sock.setblocking(False)
            reader, writer = await asyncio.open_connection(sock=sock)
            while not self.stop and await self._ask(reader, writer):
                pass
            writer.close()

    async def _ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """False: the connection is to be closed."""
        number = next(self._numbers)
        body = b"x" * 10 if number % 2 else b""
        fields = (number, self._ledger.acknowledged, len(body))
        head = b"%b / HTTP/1.1\r\nhost: flip.shop:8080\r\n" % (b"POST" if body else b"GET")
        head += b"x-number: %d\r\nx-state: %d\r\ncontent-length: %d\r\n\r\n" % fields
        writer.write(head + body)
        answer = (await reader.readuntil(b"\r\n\r\n")).lower()
        said = dict(line.split(b": ", 1) for line in answer.split(b"\r\n")[1:-2])
        await reader.readexactly(int(said[b"content-length"]))
        self.statuses[int(answer.split(b" ")[1])] += 1
        self.answered.append(number)
        return said.get(b"connection") != b"close"


async def _serve(mesh: Mesh, ledger: Ledger, server: str) -> asyncio.Server:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
                fields = dict(line.split(": ", 1) for line in head.split("\r\n")[1:-2])
                await reader.readexactly(int(fields.get("content-length", "0")))
                if "x-number" in fields:
                    ledger.on_request(server, int(fields["x-number"]), int(fields["x-state"]))
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
        writer.close()

    return await asyncio.start_server(answer, sock=mesh.network.listen(ADDRESSES[server], PORT))


@contextlib.asynccontextmanager
async def _flipping_mesh(ledger: Ledger) -> AsyncIterator[Mesh]:
    async with running_mesh(data_plane="meshproxy") as mesh, contextlib.AsyncExitStack() as stack:
        for address in PLAIN_IPS.values():
            mesh.network.run("ip", "address", "add", f"{address}/32", "dev", "lo")
        for server in ADDRESSES:
            stack.callback((await _serve(mesh, ledger, server)).close)
        for name in ("flip", "red", "blue"):
            await create(mesh.api, build.service(name, vip=VIPS[name], selector={}))
        for name, address in PLAIN_IPS.items():
            await create(mesh.api, build.pod(name, ip=address, meshed=False))
        await create(mesh.api, _slice("red", "v1-1"))
        await create(mesh.api, _slice("blue", *ledger.states[0].ready))
        await create(mesh.api, _route(ledger.states[0]))
        yield mesh


def _slice(service: str, *pods: str) -> dict[str, object]:
    endpoints = [build.endpoint(ADDRESSES[pod], pod) for pod in pods]
    return build.endpoint_slice(service, *endpoints, ports=[("http", PORT)])


def _route(state: State) -> dict[str, object]:
    weights = {"red": state.red, "blue": state.blue, "green": 50 if state.has_green else None}
    named = [build.backend(name, weight=weight) for name, weight in weights.items() if weight is not None]
    return build.route("flip", build.rule(*named), parent="flip")


def _next_state(state: State, rng: random.Random) -> State:
    """Another one, which differs in the route or in the endpoints."""
    chance = rng.random()
    if chance < 0.15:
        return replace(state, has_green=not state.has_green)
    if chance < 0.6:
        red, blue = rng.choice([pair for pair in WEIGHTS if pair != (state.red, state.blue)])
        return replace(state, red=red, blue=blue)
    return replace(state, ready=rng.choice([ready for ready in READY if ready != state.ready]))


async def _versions(mesh: Mesh) -> dict[str, tuple[str, str]]:
    (node,) = (await mesh.api.read("/debug/syncz"))["nodes"]  # type: ignore[misc]
    return {short: (one["state"], one["ackedVersion"]) for short, one in node["types"].items()}  # type: ignore[index]


@contextlib.asynccontextmanager
async def _acknowledged(mesh: Mesh, kind: str) -> AsyncIterator[None]:
    """Until the sidecar has acknowledged what the body changed of resources of a kind, and all the rest."""
    known = (await _versions(mesh))[kind][1]
    yield
    async with asyncio.timeout(ACK_TIMEOUT):
        while True:
            versions = await _versions(mesh)
            if versions[kind][1] != known and {one for one, _ in versions.values()} == {"SYNCED"}:
                return
            await asyncio.sleep(0.002)


async def _flip(mesh: Mesh, before: State, state: State) -> None:
    """Write what changed, and wait until it is acknowledged. `green` goes while it is still routed to, as far
    as the sidecar knows: the order is the control plane's business."""
    if before.ready != state.ready:
        async with _acknowledged(mesh, "eds"):
            await mesh.api.apply(_slice("blue", *state.ready))
    elif before.has_green and not state.has_green:
        async with _acknowledged(mesh, "cds"):
            await mesh.api.apply(_route(state))
            await mesh.api.delete("Service", "green", "shop")
        await mesh.api.delete("EndpointSlice", "green-1", "shop")
    else:
        if state.has_green and not before.has_green:
            async with _acknowledged(mesh, "cds"):
                await create(mesh.api, _slice("green", "green-a"))
                await create(mesh.api, build.service("green", vip=VIPS["green"], selector={}))
        async with _acknowledged(mesh, "rds"):
            await mesh.api.apply(_route(state))


async def test_what_is_acknowledged_holds_and_nothing_fails() -> None:
    rng = random.Random(20)
    ledger = Ledger([State(50, 50, ("blue-a", "blue-b"))])
    async with _flipping_mesh(ledger) as mesh:
        await mesh.until(lambda: mesh.get_from(VIPS["flip"], 8080, "/", "flip.shop")[0] == 200, "no route")
        numbers = itertools.count()
        clients = [Client(mesh, ledger, numbers) for _ in range(CLIENTS)]
        tasks = [asyncio.create_task(client.run()) for client in clients]
        begun = time.monotonic()
        for _ in range(FLIPS):
            before = ledger.states[-1]
            ledger.states.append(_next_state(before, rng))
            await _flip(mesh, before, ledger.states[-1])
            ledger.acknowledged += 1
        took = time.monotonic() - begun
        for client in clients:
            client.stop = True
        await asyncio.gather(*tasks)
    answered = Counter(number for client in clients for number in client.answered)
    connections = sum(client.connections for client in clients)
    _log.info(
        "%d flips in %.1f s; requests %s; %d connections", FLIPS, took, dict(ledger.by_server), connections
    )
    statuses: Counter[int] = sum((client.statuses for client in clients), Counter())
    assert statuses == {200: len(answered)}
    assert ledger.astray == []
    assert ledger.served == answered  # each exactly once
    assert len(answered) > FLIPS
    assert set(ledger.by_server) == set(ADDRESSES)
    assert connections == CLIENTS  # routes change, connections stay
