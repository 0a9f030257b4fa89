"""Gateways from manifests to bytes: the control plane's xDS, accepted and served by the proxy."""

from __future__ import annotations

import asyncio
import ssl

import pytest

from control_plane.resources.manifest import Manifest
from meshproxy.config.model import HttpConnectionManager
from meshproxy.identity.contexts import load_key_pair
from tests import gateway_mesh as gw
from tests.unit.control_plane import manifest_builder as build
from tests.unit.meshproxy.proxy.harness import Mesh, Upstream, answering, ok, running

REFUSED = (ssl.SSLError, ConnectionError, asyncio.IncompleteReadError)


async def ask(
    mesh: Mesh, port: int, host: str, path: str = "/", *, tls: ssl.SSLContext | None = None, lines: str = ""
) -> str:
    """The head of the answer."""
    [bound] = mesh.worker.listeners.bound_ports(f"edge/gw/{port}")
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", bound, ssl=tls, server_hostname=host if tls else None
    )
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n{lines}\r\n".encode())
        return (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 60)).decode()
    finally:
        writer.close()


async def upstream_of(seen: list[bytes], body: bytes = b"hello") -> Upstream:
    return await Upstream(answering(ok(body), seen)).start()


async def test_https_is_ended_and_plain_http_redirected():
    seen: list[bytes] = []
    upstream = await upstream_of(seen)
    redirect: Manifest = {
        "filters": [{"type": "RequestRedirect", "requestRedirect": {"scheme": "https", "statusCode": 301}}]
    }
    manifests = (
        gw.gateway(gw.listener("web", 80), gw.https("secure", 443, "a.example")),
        gw.secret("cert", "a.example"),
        *gw.app("app", upstream.port),
        gw.route("to-https", redirect, section="web"),
        gw.route("app", build.rule(build.backend("app")), section="secure"),
    )
    async with gw.running_gateway(*manifests) as mesh:
        answer = await ask(mesh, 80, "a.example", "/x?y=1")
        assert answer.startswith("HTTP/1.1 301 ")
        assert "\r\nlocation: https://a.example/x?y=1\r\n" in answer
        answer = await ask(mesh, 443, "a.example", tls=gw.CA.client(), lines="X-Envoy-Retry-On: 5xx\r\n")
        assert answer.startswith("HTTP/1.1 200 ")
        with pytest.raises(REFUSED):
            await ask(mesh, 443, "b.example", tls=gw.CA.client())
    await upstream.stop()
    assert b"\r\nx-forwarded-proto: https\r\n" in seen[0]
    assert b"\r\nx-envoy-external-address: 127.0.0.1\r\n" in seen[0]
    assert b"retry-on" not in seen[0].lower()


async def test_listeners_are_isolated():
    a, b, rest = await upstream_of([], b"a"), await upstream_of([], b"b"), await upstream_of([], b"r")
    manifests = (
        gw.gateway(
            gw.listener("any", 80),
            gw.listener("wild", 80, hostname="*.example.com"),
            gw.listener("exact", 80, hostname="a.example.com"),
            gw.listener("empty", 80, hostname="empty.example.com"),
        ),
        *gw.app("a", a.port),
        *gw.app("b", b.port),
        *gw.app("r", rest.port),
        gw.route("any", build.rule(build.backend("r"), paths=[("PathPrefix", "/any")]), section="any"),
        gw.route("wild", build.rule(build.backend("b"), paths=[("PathPrefix", "/wild")]), section="wild"),
        gw.route("exact", build.rule(build.backend("a"), paths=[("PathPrefix", "/exact")]), section="exact"),
    )
    async with gw.running_gateway(*manifests) as mesh:
        for host, path, status in (
            ("other.test", "/any", 200),
            ("other.test", "/wild", 404),
            ("b.example.com", "/wild", 200),
            ("b.example.com:80", "/wild", 200),
            ("b.example.com", "/any", 404),
            ("a.example.com", "/exact", 200),
            ("a.example.com", "/wild", 404),
            ("a.example.com", "/any", 404),
            ("empty.example.com", "/wild", 404),
        ):
            assert (await ask(mesh, 80, host, path)).startswith(f"HTTP/1.1 {status} "), (host, path)
    for upstream in (a, b, rest):
        await upstream.stop()


async def test_tls_passes_through_beside_https():
    chain, key = gw.CA.issue("through.example")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    load_key_pair(context, key + chain)
    server = await asyncio.start_server(answering(ok()), "127.0.0.1", 0, ssl=context)
    upstream = await upstream_of([])
    manifests = (
        gw.gateway(gw.https("secure", 443, "a.example"), gw.passthrough("through", 443, "*.example")),
        gw.secret("cert", "a.example"),
        *gw.app("app", upstream.port),
        *gw.app("own", server.sockets[0].getsockname()[1], declared=False),
        gw.route("app", build.rule(build.backend("app")), section="secure"),
        gw.tls_route("own", "own", "through.example"),
    )
    async with gw.running_gateway(*manifests) as mesh:
        for host in ("a.example", "through.example"):
            assert (await ask(mesh, 443, host, tls=gw.CA.client())).startswith("HTTP/1.1 200 ")
        with pytest.raises(REFUSED):
            await ask(mesh, 443, "else.example", tls=gw.CA.client())
    server.close()
    await upstream.stop()


async def test_clients_prove_themselves(tmp_path):
    seen: list[bytes] = []
    upstream = await upstream_of(seen)
    validation = {"caCertificateRefs": [{"group": "", "kind": "ConfigMap", "name": "clients"}]}
    manifests = (
        gw.gateway(
            gw.https("secure", 443, "a.example"), tls={"frontend": {"default": {"validation": validation}}}
        ),
        gw.secret("cert", "a.example"),
        gw.config_map("clients", gw.CLIENTS.pem),
        *gw.app("app", upstream.port),
        gw.route("app", build.rule(build.backend("app"))),
    )
    own = gw.CA.client(*gw.CLIENTS.issue("c.test", common_name="me"), folder=tmp_path)
    async with gw.running_gateway(*manifests) as mesh:
        assert (await ask(mesh, 443, "a.example", tls=own)).startswith("HTTP/1.1 200 ")
        with pytest.raises(REFUSED):
            await ask(mesh, 443, "a.example", tls=gw.CA.client())
    await upstream.stop()
    assert b';Subject="CN=me,O=Outside\\, Inc.";URI=;DNS=c.test\r\n' in seen[0]


async def test_annotations_set_the_proxies_in_front():
    seen: list[bytes] = []
    upstream = await upstream_of(seen)
    annotations = {
        "gateway.meshproxy.io/xff-num-trusted-hops": "1",
        "gateway.meshproxy.io/proxy-protocol": "true",
    }
    manifests = (
        gw.gateway(gw.listener("web", 80), annotations=annotations),
        *gw.app("app", upstream.port),
        gw.route("app", build.rule(build.backend("app"))),
    )
    async with gw.running_gateway(*manifests) as mesh:
        [port] = mesh.worker.listeners.bound_ports("edge/gw/80")
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\nGET / HTTP/1.1\r\nHost: a\r\n")
        writer.write(b"X-Forwarded-For: 203.0.113.7\r\nX-Forwarded-Proto: https\r\n\r\n")
        await asyncio.wait_for(reader.readuntil(b"hello"), 60)
        writer.close()
    await upstream.stop()
    assert b"\r\nx-forwarded-for: 203.0.113.7,192.0.2.1\r\nx-forwarded-proto: https\r\n" in seen[0]
    assert b"\r\nx-envoy-external-address: 203.0.113.7\r\n" in seen[0]


def backend_tls(name: str, **validation: object) -> Manifest:
    return {
        "apiVersion": gw.GATEWAY_API,
        "kind": "BackendTLSPolicy",
        "metadata": build.meta(name, "edge"),
        "spec": {
            "targetRefs": [{"group": "", "kind": "Service", "name": "app"}],
            "validation": {"hostname": "app.internal", **validation},
        },
    }


@pytest.mark.parametrize(("name", "status"), [("app.internal", 200), ("other.internal", 503)])
async def test_backends_prove_a_name(name, status):
    chain, key = gw.CA.issue(name)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    load_key_pair(context, key + chain)
    server = await asyncio.start_server(answering(ok()), "127.0.0.1", 0, ssl=context)
    manifests = (
        gw.gateway(gw.listener("web", 80)),
        *gw.app("app", server.sockets[0].getsockname()[1]),
        gw.config_map("backends", gw.CA.pem),
        backend_tls("p", caCertificateRefs=[{"group": "", "kind": "ConfigMap", "name": "backends"}]),
        gw.route("app", build.rule(build.backend("app"))),
    )
    async with gw.running_gateway(*manifests) as mesh:
        assert (await ask(mesh, 80, "a")).startswith(f"HTTP/1.1 {status} ")
    server.close()


async def test_backends_without_authorities_get_nothing():
    upstream = await upstream_of([])
    manifests = (
        gw.gateway(gw.listener("web", 80)),
        *gw.app("app", upstream.port),
        backend_tls("p", caCertificateRefs=[{"group": "", "kind": "ConfigMap", "name": "missing"}]),
        gw.route("app", build.rule(build.backend("app"))),
    )
    async with gw.running_gateway(*manifests) as mesh:
        assert (await ask(mesh, 80, "a")).startswith("HTTP/1.1 503 ")
    await upstream.stop()


async def test_a_backend_of_another_namespace_needs_a_grant():
    upstream = await upstream_of([])
    foreign = (
        build.service("app", {"name": "http", "port": 8080}, namespace="shop"),
        build.endpoint_slice(
            "app", build.endpoint(gw.ELSEWHERE), namespace="shop", ports=[("http", upstream.port)]
        ),
    )
    manifests = (
        gw.gateway(gw.listener("web", 80)),
        *foreign,
        gw.route("app", build.rule(build.backend("app", namespace="shop"))),
    )
    grant = {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "ReferenceGrant",
        "metadata": build.meta("g", "shop"),
        "spec": {
            "from": [{"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "namespace": "edge"}],
            "to": [{"group": "", "kind": "Service"}],
        },
    }
    async with gw.running_gateway(*manifests) as mesh:
        assert (await ask(mesh, 80, "a")).startswith("HTTP/1.1 500 ")
    async with gw.running_gateway(*manifests, grant) as mesh:
        assert (await ask(mesh, 80, "a")).startswith("HTTP/1.1 200 ")
    await upstream.stop()


async def test_a_new_secret_is_in_the_next_handshake():
    upstream = await upstream_of([])
    index = gw.index_of(
        gw.gateway(gw.https("secure", 443)),
        gw.secret("cert", "old.example"),
        *gw.app("app", upstream.port),
        gw.route("app", build.rule(build.backend("app"))),
    )
    async with running(gw.on_free_ports(gw.accepted(gw.snapshot_of(index)))) as mesh:
        assert (await ask(mesh, 443, "old.example", tls=gw.CA.client())).startswith("HTTP/1.1 200 ")
        index.apply(gw.secret("cert", "new.example"))
        await mesh.worker.apply(gw.on_free_ports(gw.accepted(gw.snapshot_of(index))))
        assert (await ask(mesh, 443, "new.example", tls=gw.CA.client())).startswith("HTTP/1.1 200 ")
        with pytest.raises(REFUSED):
            await ask(mesh, 443, "old.example", tls=gw.CA.client())
    await upstream.stop()


INGRESS_CLASS: Manifest = {
    "apiVersion": "networking.k8s.io/v1",
    "kind": "IngressClass",
    "metadata": {"name": "mesh"},
    "spec": {
        "controller": "meshproxy.io/ingress-controller",
        "parameters": {
            "apiGroup": "gateway.networking.k8s.io",
            "kind": "Gateway",
            "name": "gw",
            "scope": "Namespace",
            "namespace": "edge",
        },
    },
}


def ingress(name: str, *rules: Manifest, **spec: object) -> Manifest:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": build.meta(name, "edge"),
        "spec": {"ingressClassName": "mesh", "rules": list(rules), **spec},
    }


def to(service: str, port: int | str) -> Manifest:
    return {"service": {"name": service, "port": {"number" if isinstance(port, int) else "name": port}}}


def paths(host: str, *found: tuple[str, str, Manifest]) -> Manifest:
    http = {"paths": [{"pathType": kind, "path": path, "backend": backend} for kind, path, backend in found]}
    return {"host": host, "http": http} if host else {"http": http}


@pytest.mark.parametrize("own", [(), (gw.listener("web", 80), gw.https("secure", 443, "a.example"))])
async def test_ingresses_are_served_by_the_gateway_of_their_class(own):
    a, rest = await upstream_of([], b"a"), await upstream_of([], b"r")
    listeners = own or (gw.listener("other", 8080),)
    rule = paths("a.example", ("Prefix", "/a", to("a", "http")), ("Exact", "/exact", to("a", 8080)))
    tls = [{"hosts": ["a.example"], "secretName": "cert"}]
    manifests = (
        gw.gateway(*listeners),
        gw.secret("cert", "a.example"),
        *gw.app("a", a.port),
        *gw.app("r", rest.port),
        INGRESS_CLASS,
        ingress("one", rule, tls=tls),
        ingress("rest", paths("b.example"), defaultBackend=to("r", 8080))
        | {"spec": {"ingressClassName": "mesh", "defaultBackend": to("r", 8080)}},
    )
    async with gw.running_gateway(*manifests) as mesh:
        for host, path, status in (
            ("a.example", "/a/x", 200),
            ("a.example", "/exact", 200),
            ("a.example", "/exact/x", 404),
            ("c.example", "/any", 200),
        ):
            assert (await ask(mesh, 80, host, path)).startswith(f"HTTP/1.1 {status} "), (host, path)
        assert (await ask(mesh, 443, "a.example", "/a", tls=gw.CA.client())).startswith("HTTP/1.1 200 ")
    for upstream in (a, rest):
        await upstream.stop()


async def test_an_ingress_without_a_class_of_ours_is_nobodys():
    manifests = (
        gw.gateway(gw.listener("web", 80)),
        {**INGRESS_CLASS, "spec": {"controller": "example.com/other"}},
        ingress("one", paths("", ("Prefix", "/", to("a", 8080)))),
    )
    async with gw.running_gateway(*manifests) as mesh:
        assert (await ask(mesh, 80, "a")).startswith("HTTP/1.1 404 ")


def policy(kind: str, target: str, name: str, **spec: object) -> Manifest:
    group = "" if target == "Service" else "gateway.networking.k8s.io"
    return {
        "apiVersion": "meshproxy.io/v1alpha1",
        "kind": kind,
        "metadata": build.meta("p", "edge"),
        "spec": {"targetRefs": [{"group": group, "kind": target, "name": name}], **spec},
    }


async def test_limits_of_a_route_are_kept_at_the_gateway():
    upstream = await upstream_of([])
    limit = policy("RateLimitPolicy", "HTTPRoute", "app", total={"requests": 1, "unit": "1h"})
    manifests = (
        gw.gateway(gw.listener("web", 80)),
        *gw.app("app", upstream.port),
        gw.route("app", build.rule(build.backend("app"))),
        limit,
    )
    index = gw.index_of(*manifests)
    config = gw.on_free_ports(gw.accepted(gw.snapshot_of(index)))
    [table] = [table for name, table in config.routes.items() if name == "edge/gw/http-80"]
    [route] = table.virtual_hosts[0].routes
    assert [name for name, _ in route.filter_configs] == ["envoy.filters.http.local_ratelimit"]
    [chain] = config.listeners["edge/gw/80"].filter_chains
    assert isinstance(chain.network, HttpConnectionManager)
    assert [name for name, _ in chain.network.http_filters] == ["envoy.filters.http.local_ratelimit"]
    await upstream.stop()


async def test_faults_of_the_only_backend_are_made_at_the_gateway():
    fault = policy("FaultPolicy", "Service", "app", abort={"httpStatus": 418})
    manifests = (
        gw.gateway(gw.listener("web", 80)),
        *gw.app("app", 1),
        gw.route("app", build.rule(build.backend("app"))),
        fault,
    )
    config = gw.accepted(gw.snapshot_of(gw.index_of(*manifests)))
    [route] = config.routes["edge/gw/http-80"].virtual_hosts[0].routes
    assert [name for name, _ in route.filter_configs] == ["envoy.filters.http.fault"]


async def test_connections_go_to_the_backends_of_stream_routes():
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"speaks first\n")
        writer.write(await reader.readline())
        await writer.drain()

    upstream = await Upstream(greet).start()
    tcp: Manifest = {
        **gw.tls_route("raw", "db"),
        "kind": "TCPRoute",
        "spec": {
            "parentRefs": [{"name": "gw", "namespace": "edge", "sectionName": "raw"}],
            "rules": [{"backendRefs": [build.backend("db")]}],
        },
    }
    ended = gw.listener(
        "ended", 443, "TLS", "db.example", tls={"mode": "Terminate", "certificateRefs": [{"name": "cert"}]}
    )
    manifests = (
        gw.gateway(gw.listener("raw", 9000, "TCP"), ended),
        gw.secret("cert", "db.example"),
        *gw.app("db", upstream.port, declared=False),
        tcp,
        gw.tls_route("ended", "db", "db.example"),
    )
    async with gw.running_gateway(*manifests) as mesh:
        for port, tls in ((9000, None), (443, gw.CA.client())):
            [bound] = mesh.worker.listeners.bound_ports(f"edge/gw/{port}")
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", bound, ssl=tls, server_hostname="db.example" if tls else None
            )
            assert await asyncio.wait_for(reader.readline(), 60) == b"speaks first\n"
            writer.write(b"and hears\n")
            assert await asyncio.wait_for(reader.readline(), 60) == b"and hears\n"
            writer.close()
    await upstream.stop()
