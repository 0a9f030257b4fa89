"""Sessions resumed by the connector, and what is still checked then."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

import pytest

from certs.ca import CertificateAuthority
from meshproxy.clock import Clock, SystemClock
from meshproxy.config.model import UpstreamTls
from meshproxy.identity import contexts
from meshproxy.identity.identity import Identity
from meshproxy.identity.peer_identity import PeerIdentities
from meshproxy.upstream.connector import ConnectFailed, Connector, DialTarget
from tests.unit.meshproxy.identity.mesh import CATALOG, WEB, issue, new_authority
from tests.unit.meshproxy.proxy.harness import Mesh, Upstream, running
from tests.unit.meshproxy.proxy.test_http_failure import settled
from tests.unit.meshproxy.proxy.test_two_sidecars import CATALOG_WORKLOAD, inbound

ALPN = ("istio",)


@pytest.fixture(scope="module")
def authority() -> CertificateAuthority:
    return new_authority()


@contextlib.asynccontextmanager
async def catalog(
    authority: CertificateAuthority, identity: Identity | None = None, clock: Clock | None = None
) -> AsyncIterator[Mesh]:
    async def banner(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"ready")
        await reader.read()

    app = await Upstream(banner).start()
    identity = identity or issue(authority, CATALOG)
    target = ("127.0.0.1", app.port)
    async with running(inbound(app.port), identity, CATALOG_WORKLOAD, target, clock) as mesh:
        yield mesh
    await app.stop()


class Ahead(SystemClock):
    """A wall clock that the test moves."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def wall(self) -> float:  # type: ignore[override]
        return time.time() + self.seconds


class Hears(asyncio.Protocol):
    """Closes when it has heard the banner."""

    def __init__(self) -> None:
        self.lost = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.set_result(exc)


class Dialler:
    """A connector of `web`, with a wall clock and an identity that the test changes."""

    def __init__(self, identity: Identity, port: int) -> None:
        self.identity = identity
        self.now = time.time()
        self.resumed: list[bool] = []
        self.target = self.expecting(str(CATALOG), port)
        self.connector = Connector(
            lambda alpn: contexts.client_context(self.identity, alpn=alpn),
            PeerIdentities(lambda: self.now),
            on_handshake=self.resumed.append,
        )

    def expecting(self, spiffe_id: str, port: int, max_session_keys: int | None = None) -> DialTarget:
        tls = UpstreamTls("outbound_.80_._.catalog", ALPN, (spiffe_id,), max_session_keys)
        return DialTarget("127.0.0.1", port, 5.0, tls, spiffe_id)

    async def dial(self, target: DialTarget | None = None) -> None:
        protocol = Hears()
        await self.connector.connect(target or self.target, protocol)
        await asyncio.wait_for(protocol.lost, 30)


async def test_the_second_connection_resumes_the_first_ones_session(authority):
    async with catalog(authority) as mesh:
        web = Dialler(issue(authority, WEB), mesh.port)
        for _ in range(3):
            await web.dial()
        assert web.resumed == [False, True, True]
        metric = "meshproxy_tls_handshakes_total"
        assert mesh.metric(metric, side="downstream", resumed="false") == 1
        assert mesh.metric(metric, side="downstream", resumed="true") == 2
        assert mesh.refused == []


async def test_a_session_is_not_offered_across_identity_generations(authority):
    async with catalog(authority) as mesh:
        web = Dialler(issue(authority, WEB), mesh.port)
        await web.dial()
        web.identity = issue(authority, WEB)
        await web.dial()
        await web.dial()
        assert web.resumed == [False, False, True]


async def test_where_no_session_may_be_kept_none_is_resumed(authority):
    async with catalog(authority) as mesh:
        web = Dialler(issue(authority, WEB), mesh.port)
        for _ in range(2):
            await web.dial(web.expecting(str(CATALOG), mesh.port, max_session_keys=0))
        assert web.resumed == [False, False]


async def test_a_peer_that_forgot_our_session_is_resumed_again_with_a_new_one(authority):
    server = issue(authority, CATALOG)
    async with catalog(authority, server) as mesh:
        web = Dialler(issue(authority, WEB), mesh.port)
        await web.dial()
        server.contexts.clear()  # as after a restart: its new context knows none of the old one's tickets
        await web.dial()
        await web.dial()
        assert web.resumed == [False, False, True]


async def test_a_session_is_not_offered_where_another_identity_is_expected(authority):
    async with catalog(authority) as mesh:
        web = Dialler(issue(authority, WEB), mesh.port)
        await web.dial()
        with pytest.raises(ConnectFailed) as failure:
            await web.dial(web.expecting(str(WEB), mesh.port))
        assert failure.value.reason == "identity_mismatch"
        assert web.resumed == [False, False]


async def test_who_answers_is_checked_on_a_resumed_connection_too(authority):
    async with catalog(authority) as mesh:
        web = Dialler(issue(authority, WEB), mesh.port)
        await web.dial()
        web.now += 3600  # the server's certificate has expired
        for _ in range(2):
            with pytest.raises(ConnectFailed) as failure:
                await web.dial()
            assert failure.value.reason == "identity_mismatch"
        assert web.resumed == [False, True, False]  # what was refused is not offered again
        await settled(lambda: mesh.worker.open_connections == 0)


async def test_a_client_whose_certificate_has_expired_is_refused_on_a_resumed_connection_too(authority):
    clock = Ahead()
    async with catalog(authority, clock=clock) as mesh:
        web = Dialler(issue(authority, WEB), mesh.port)
        await web.dial()
        clock.seconds = 3600  # the client's certificate has expired; its session has not
        with contextlib.suppress(ConnectFailed):  # a TLS 1.3 client has finished before it is judged
            await web.dial()
        await settled(lambda: mesh.refused == [("listener", "identity_not_allowed")])
        assert mesh.metric("meshproxy_tls_handshakes_total", side="downstream", resumed="true") == 1
        await settled(lambda: mesh.worker.open_connections == 0)


@pytest.mark.parametrize("named", ["", str(CATALOG)])
async def test_whoever_is_of_the_mesh_may_answer_where_nobody_is_meant(authority, named):
    async with catalog(authority) as mesh:
        web = Dialler(issue(authority, WEB), mesh.port)
        prefix = f"spiffe://{CATALOG.trust_domain}/"
        anyone = UpstreamTls("", ALPN, san_prefixes=(prefix,))
        await web.dial(DialTarget("127.0.0.1", mesh.port, 5.0, anyone, named))
        foreign = UpstreamTls("", ALPN, san_prefixes=("spiffe://elsewhere/",))
        with pytest.raises(ConnectFailed, match="expected ") as refused:
            await web.dial(DialTarget("127.0.0.1", mesh.port, 5.0, foreign, named))
        assert refused.value.reason == "identity_mismatch"


async def test_without_any_identity_configured_nobody_is_right(authority):
    async with catalog(authority) as mesh:
        web = Dialler(issue(authority, WEB), mesh.port)
        with pytest.raises(ConnectFailed, match="nobody: no identity is configured"):
            await web.dial(DialTarget("127.0.0.1", mesh.port, 5.0, UpstreamTls("", ALPN), ""))
