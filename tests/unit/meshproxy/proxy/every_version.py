"""A worker between a client and servers of all four pairs of versions."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace

import pytest

from meshproxy.config.model import Cluster, Endpoint, HttpConnectionManager, Listener
from meshproxy.config.route import (
    DirectResponse,
    Redirect,
    Route,
    RouteAction,
    RouteTable,
    VirtualHost,
    WeightedCluster,
)
from meshproxy.config.route_match import EVERY_PATH, PathMatch, PathMatchKind, RouteMatch
from tests.unit.meshproxy.proxy.either_http1 import Http1Client, Http1Server
from tests.unit.meshproxy.proxy.either_http2 import Http2Client, Http2Server
from tests.unit.meshproxy.proxy.either_version import Asked, Client, Handler, Server
from tests.unit.meshproxy.proxy.harness import Mesh, http_listener, running, snapshot, static_cluster

A, B = WeightedCluster("a", 1), WeightedCluster("b", 1)


@dataclass(frozen=True)
class Versions:
    """What the client speaks, and what the servers do."""

    client: int
    server: int

    @asynccontextmanager
    async def serving(self, *handlers: Handler) -> AsyncIterator[list[Server]]:
        servers = [(Http2Server if self.server == 2 else Http1Server)(handler) for handler in handlers]
        async with AsyncExitStack() as stack:
            for server in servers:
                await server.start()
                stack.push_async_callback(server.stop)
            yield list(servers)

    def cluster(self, name: str, *servers: Server | Endpoint, **settings: object) -> Cluster:
        endpoints = [one if isinstance(one, Endpoint) else one.endpoint for one in servers]
        return static_cluster(name, *endpoints, http2=self.server == 2, **settings)

    def client_of(self, mesh: Mesh) -> Client:
        return (Http2Client if self.client == 2 else Http1Client)(mesh.port)

    @asynccontextmanager
    async def mesh(self, listener: Listener, *clusters: Cluster) -> AsyncIterator[tuple[Mesh, Client]]:
        async with running(snapshot(listener, *clusters)) as mesh:
            client = self.client_of(mesh)
            try:
                yield mesh, client
            finally:
                await client.close()

    @asynccontextmanager
    async def through(
        self, handler: Handler, listener: Listener | None = None, **cluster: object
    ) -> AsyncIterator[tuple[Mesh, Client, Server]]:
        """One server as cluster `a`, to which everything goes."""
        async with self.serving(handler) as (server,):
            listener = listener or http_listener(A)
            async with self.mesh(listener, self.cluster("a", server, **cluster)) as (mesh, client):
                yield mesh, client, server


EVERY = [Versions(client, server) for client in (1, 2) for server in (1, 2)]


@pytest.fixture(params=EVERY, ids=lambda one: f"h{one.client}-h{one.server}")
def versions(request: pytest.FixtureRequest) -> Versions:
    found: Versions = request.param
    return found


def listener(*routes: Route, **manager: object) -> Listener:
    """All hosts, these routes."""
    return listener_of(VirtualHost("all", ("*",), routes), **manager)


def listener_of(*hosts: VirtualHost, **manager: object) -> Listener:
    plain = http_listener(A, **manager)  # type: ignore[arg-type]
    chain = plain.filter_chains[0]
    assert isinstance(chain.network, HttpConnectionManager)
    network = replace(chain.network, route_table=RouteTable("table", hosts))
    return replace(plain, filter_chains=(replace(chain, network=network),))


def route(action: RouteAction | Redirect | DirectResponse, path: str = "", **more: object) -> Route:
    """Of the elements below `path`, empty for all."""
    below = RouteMatch(PathMatch(PathMatchKind.PATH_SEPARATED_PREFIX, path))
    return Route("r", below if path else EVERY_PATH, action, **more)  # type: ignore[arg-type]


def to(*clusters: WeightedCluster, **action: object) -> RouteAction:
    return RouteAction(clusters, **action)  # type: ignore[arg-type]


async def echo(asked: Asked) -> None:
    """200 with the request's body."""
    await asked.reply(body=await asked.whole())


def saying(name: bytes, status: int = 200) -> Handler:
    async def say(asked: Asked) -> None:
        await asked.whole()
        await asked.reply(status, body=name)

    return say


async def never(asked: Asked) -> None:
    await asked.gone()
