"""Two sidecars in one loop: client → outbound → mTLS → inbound → app, with real certificates."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from certs.ca import CertificateAuthority
from meshproxy.config.model import (
    Cluster,
    ClusterType,
    Direction,
    DownstreamTls,
    Endpoint,
    FilterChain,
    FilterChainMatch,
    HttpConnectionManager,
    Listener,
    TcpProxy,
    TransportSocketMatch,
    UpstreamTls,
    WorkloadIdentity,
)
from meshproxy.config.retry import RetrySettings
from meshproxy.config.route import Route, RouteAction, RouteTable, VirtualHost, WeightedCluster
from meshproxy.config.route_match import EVERY_PATH
from meshproxy.config.snapshot import ConfigSnapshot
from tests.unit.meshproxy.identity.mesh import CATALOG, WEB, issue, new_authority
from tests.unit.meshproxy.proxy.harness import (
    Mesh,
    Upstream,
    answering,
    http_listener,
    ok,
    read_head,
    running,
    snapshot,
    tcp_listener,
)
from tests.unit.meshproxy.proxy.test_http_proxy import RETRY, exchange
from tests.unit.meshproxy.proxy.test_tcp_proxy import echo, reset_socket

WEB_WORKLOAD = WorkloadIdentity("web", "shop", "web", "v1", "web", "Kubernetes")
CATALOG_WORKLOAD = WorkloadIdentity("catalog", "shop", "catalog", "v2", "catalog", "Kubernetes")
MESH_TLS = DownstreamTls(True, ("istio-http/1.1", "istio"), san_prefixes=("spiffe://cluster.local/",))


def inbound(app_port: int, timeout: float = 15.0, **manager: object) -> ConfigSnapshot:
    """STRICT: mTLS chains for HTTP and TCP, nothing for plaintext."""
    action = RouteAction((WeightedCluster("inbound", 1),), timeout=timeout)
    table = RouteTable("inbound", (VirtualHost("all", ("*",), (Route("", EVERY_PATH, action),)),))
    http = HttpConnectionManager("inbound", route_table=table, forward_client_cert=True, **manager)  # type: ignore[arg-type]
    chains = (
        FilterChain(
            "http",
            FilterChainMatch(transport_protocol="tls", application_protocols=("istio-http/1.1",)),
            http,
            MESH_TLS,
        ),
        FilterChain(
            "tcp",
            FilterChainMatch(transport_protocol="tls", application_protocols=("istio",)),
            TcpProxy("tcp", (WeightedCluster("inbound", 1),)),
            MESH_TLS,
        ),
    )
    listener = Listener(
        "listener", Direction.INBOUND, "127.0.0.1", 0, chains, tls_inspector=True, http_inspector=True
    )
    cluster = Cluster("inbound", ClusterType.ORIGINAL_DST, bind_address="127.0.0.6")
    return ConfigSnapshot(listeners={"listener": listener}, clusters={"inbound": cluster})


def outbound_cluster(
    *ports: int, spiffe_id: str = str(CATALOG), alpn: str = "istio-http/1.1", sans: tuple[str, ...] = ()
) -> Cluster:
    tls = UpstreamTls("outbound_.8080_._.catalog.shop.svc.cluster.local", (alpn,), sans or (spiffe_id,))
    return Cluster(
        "catalog",
        ClusterType.STATIC,
        endpoints=tuple(
            Endpoint(
                "127.0.0.1",
                port,
                transport_socket_match=(("tlsMode", "mutual"),),
                spiffe_id=spiffe_id,
                workload=CATALOG_WORKLOAD,
            )
            for port in ports
        ),
        transport_socket_matches=(
            TransportSocketMatch("mutual", (("tlsMode", "mutual"),), tls),
            TransportSocketMatch("plain", (), None),
        ),
    )


@dataclass
class Pair:
    web: Mesh
    catalog: Mesh


@asynccontextmanager
async def sidecars(
    authority: CertificateAuthority,
    app: Upstream,
    *,
    alpn: str = "istio-http/1.1",
    spiffe_id: str = str(CATALOG),
    retry: RetrySettings | None = None,
    **manager: object,
) -> AsyncIterator[Pair]:
    catalog_identity, web_identity = issue(authority, CATALOG), issue(authority, WEB)
    async with running(
        inbound(app.port, **manager), catalog_identity, CATALOG_WORKLOAD, ("127.0.0.1", app.port)
    ) as catalog:
        cluster = outbound_cluster(catalog.port, alpn=alpn, spiffe_id=spiffe_id)
        weighted = WeightedCluster("catalog", 1)
        listener = (
            http_listener(weighted, retry=retry, **manager) if alpn != "istio" else tcp_listener("catalog")
        )
        async with running(snapshot(listener, cluster), web_identity, WEB_WORKLOAD) as web:
            yield Pair(web, catalog)


@pytest.fixture(scope="module")
def authority() -> CertificateAuthority:
    return new_authority()


async def test_a_request_crosses_with_identities_proved_on_both_ends(authority):
    seen: list[bytes] = []
    app = await Upstream(answering(ok(), seen)).start()
    async with sidecars(authority, app) as pair:
        reader, writer = await pair.web.connect()
        for _ in range(3):
            answer = await exchange(reader, writer, b"GET /x HTTP/1.1\r\nHost: catalog:8080\r\n\r\n")
            assert answer.endswith(b"hello")
        writer.close()
        labels = {
            "response_code": "200",
            "source_workload": "web",
            "source_version": "v1",
            "source_principal": str(WEB),
            "destination_workload": "catalog",
            "destination_version": "v2",
            "destination_principal": str(CATALOG),
        }
        assert pair.web.metric("istio_requests_total", reporter="source", **labels) == 3
        assert (
            pair.catalog.metric(
                "istio_requests_total",
                reporter="destination",
                connection_security_policy="mutual_tls",
                **labels,
            )
            == 3
        )
    await app.stop()
    assert app.connections == 1
    head = seen[0]
    assert f"x-forwarded-client-cert: By={CATALOG};URI={WEB}\r\n".encode() in head
    assert b"x-envoy-peer-metadata" not in head


async def test_plaintext_to_a_strict_sidecar_is_reset_and_counted(authority):
    app = await Upstream(answering(ok())).start()
    async with sidecars(authority, app) as pair:
        reader, writer = await pair.catalog.connect()
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(reader.read(), 30)
        writer.close()
        assert pair.catalog.refused == [("listener", "mtls_required")]
    await app.stop()
    assert app.connections == 0


async def test_an_endpoint_with_a_valid_certificate_of_another_service_is_refused(authority):
    app = await Upstream(answering(ok())).start()
    async with sidecars(authority, app, spiffe_id="spiffe://cluster.local/ns/shop/sa/other") as pair:
        reader, writer = await pair.web.connect()
        answer = await exchange(reader, writer, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 503")
        assert pair.web.metric("meshproxy_upstream_connect_failures_total", reason="identity_mismatch") == 1
        writer.close()
    await app.stop()
    assert app.connections == 0


async def test_a_client_of_a_foreign_ca_never_falls_back_to_plaintext(authority):
    app = await Upstream(answering(ok())).start()
    foreign = issue(new_authority(), WEB)
    async with running(
        inbound(app.port), issue(authority, CATALOG), CATALOG_WORKLOAD, ("127.0.0.1", app.port)
    ) as catalog:
        config = snapshot(http_listener(WeightedCluster("catalog", 1)), outbound_cluster(catalog.port))
        async with running(config, foreign, WEB_WORKLOAD) as web:
            reader, writer = await web.connect()
            answer = await exchange(reader, writer, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            assert answer.startswith(b"HTTP/1.1 503")
            assert web.metric("meshproxy_upstream_connect_failures_total", reason="tls_handshake") == 1
            writer.close()
    await app.stop()
    assert app.connections == 0


async def test_without_an_identity_nothing_is_sent(authority):
    app = await Upstream(answering(ok())).start()
    async with running(
        snapshot(http_listener(WeightedCluster("catalog", 1)), outbound_cluster(app.port))
    ) as web:
        reader, writer = await web.connect()
        answer = await exchange(reader, writer, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 503")
        writer.close()
    await app.stop()
    assert app.connections == 0


async def test_server_first_tcp_and_half_close_pass_through_mtls(authority):
    async def banner(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 ready\r\n")
        await writer.drain()
        everything = await reader.read()
        writer.write(b"%d bytes" % len(everything))

    app = await Upstream(banner).start()
    async with sidecars(authority, app, alpn="istio") as pair:
        reader, writer = await pair.web.connect()
        assert await asyncio.wait_for(reader.readline(), 30) == b"220 ready\r\n"
        writer.write(b"z" * 100_000)
        writer.write_eof()
        assert await asyncio.wait_for(reader.read(), 30) == b"100000 bytes"
        writer.close()
    await app.stop()


async def test_tcp_echo_through_mtls_keeps_every_byte(authority):
    app = await Upstream(echo).start()
    async with sidecars(authority, app, alpn="istio") as pair:
        reader, writer = await pair.web.connect()
        body = bytes(range(256)) * 8000
        writer.write(body)
        assert await asyncio.wait_for(reader.readexactly(len(body)), 30) == body
        writer.close()
    await app.stop()


async def test_a_reset_of_the_app_is_a_reset_for_the_client_through_mtls(authority):
    async def resets(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(1)
        reset_socket(writer)

    app = await Upstream(resets).start()
    async with sidecars(authority, app, alpn="istio") as pair:
        reader, writer = await pair.web.connect()
        writer.write(b"x")
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(reader.read(), 30)
        writer.close()
    await app.stop()


@pytest.mark.parametrize(
    ("method", "status", "attempts"), [(b"GET", b"200", 2), (b"PUT", b"200", 2), (b"POST", b"503", 1)]
)
async def test_an_app_that_dies_before_answering_is_retried_by_the_caller_if_that_is_safe(
    authority, method, status, attempts
):
    seen: list[bytes] = []

    async def dies_first(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            seen.append(await read_head(reader))
            if len(seen) == 1:
                writer.transport.abort()
                return
            writer.write(ok())

    app = await Upstream(dies_first).start()
    async with sidecars(authority, app, retry=RETRY) as pair:
        reader, writer = await pair.web.connect()
        answer = await exchange(
            reader, writer, b"%b / HTTP/1.1\r\nHost: a\r\ncontent-length: 0\r\n\r\n" % method
        )
        assert answer.split(b" ")[1] == status
        assert b"x-meshproxy-unserved" not in answer
        writer.close()
    await app.stop()
    assert len(seen) == attempts


async def test_an_app_that_cannot_be_reached_is_retried_for_any_method(authority):
    dead = await Upstream(answering(ok())).start()
    await dead.stop()
    alive = await Upstream(answering(ok())).start()
    web_identity, catalog_identity = issue(authority, WEB), issue(authority, CATALOG)
    async with (
        running(inbound(dead.port), catalog_identity, CATALOG_WORKLOAD, ("127.0.0.1", dead.port)) as one,
        running(inbound(alive.port), catalog_identity, CATALOG_WORKLOAD, ("127.0.0.1", alive.port)) as two,
    ):
        config = snapshot(
            http_listener(WeightedCluster("catalog", 1), retry=RETRY), outbound_cluster(one.port, two.port)
        )
        async with running(config, web_identity, WEB_WORKLOAD) as web:
            reader, writer = await web.connect()
            for _ in range(4):
                answer = await exchange(
                    reader, writer, b"POST / HTTP/1.1\r\nHost: a\r\ncontent-length: 2\r\n\r\nhi"
                )
                assert answer.startswith(b"HTTP/1.1 200")
            assert one.metric("istio_requests_total", response_code="503", response_flags="UF") >= 1
            writer.close()
    await alive.stop()
