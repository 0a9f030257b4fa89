"""A Gateway with its Service, certificates and routes, from manifests to xDS and to a running proxy."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from types import MappingProxyType

from control_plane.discovery.gateway import CONTROLLER, GATEWAY_LABEL
from control_plane.discovery.model import ObjectName
from control_plane.index import Index
from control_plane.resources.manifest import Manifest
from control_plane.snapshot import SECRET_TYPE, Snapshot
from control_plane.translate.settings import Client, MeshSettings, MtlsMode, Node
from control_plane.translate.translator import Translator
from meshproxy.config.snapshot import ConfigSnapshot
from meshproxy.config.tls import TlsCertificate
from meshproxy.xds.translate import CLUSTER_TYPE, ENDPOINT_TYPE, LISTENER_TYPE, ROUTE_TYPE
from meshproxy.xds.translate import translate as accept
from tests.unit.control_plane import manifest_builder as build
from tests.unit.control_plane.translate.mesh import TRUST_DOMAIN
from tests.unit.meshproxy.proxy.harness import Mesh, running
from tests.unit.meshproxy.proxy.outside import authority

ELSEWHERE = "10.1.1.1"
"""Stands for loopback, which manifests may not name."""
CA = authority("world")
CLIENTS = authority("clients")
SETTINGS = MeshSettings(TRUST_DOMAIN, MtlsMode.PERMISSIVE)
NODE = Node(ObjectName("edge", "gw-1"), Client("edge"), is_gateway=True)
ENVOY = Node(ObjectName("edge", "gw-1"), Client("edge", is_envoy=True, secrets_dir="/sds"), is_gateway=True)
GATEWAY_API = "gateway.networking.k8s.io/v1"

GATEWAY_CLASS: Manifest = {
    "apiVersion": GATEWAY_API,
    "kind": "GatewayClass",
    "metadata": {**build.meta("mesh", ""), "namespace": ""},
    "spec": {"controllerName": CONTROLLER},
}
POD = build.pod(
    "gw-1", namespace="edge", ip="10.244.0.9", account="gw", meshed=False, labels={GATEWAY_LABEL: "gw"}
)


def gateway(*listeners: Manifest, annotations: dict[str, str] | None = None, **spec: object) -> Manifest:
    return {
        "apiVersion": GATEWAY_API,
        "kind": "Gateway",
        "metadata": build.meta("gw", "edge", annotations=annotations or {}),
        "spec": {"gatewayClassName": "mesh", "listeners": list(listeners), **spec},
    }


def listener(name: str, port: int, protocol: str = "HTTP", hostname: str = "", **fields: object) -> Manifest:
    made: Manifest = {"name": name, "port": port, "protocol": protocol, **fields}
    if hostname:
        made["hostname"] = hostname
    made.setdefault("allowedRoutes", {"namespaces": {"from": "All"}})
    return made


def https(name: str, port: int, hostname: str = "", secret: str = "cert", namespace: str = "") -> Manifest:
    ref: Manifest = {"name": secret}
    if namespace:
        ref["namespace"] = namespace
    return listener(name, port, "HTTPS", hostname, tls={"certificateRefs": [ref]})


def passthrough(name: str, port: int, hostname: str = "") -> Manifest:
    return listener(name, port, "TLS", hostname, tls={"mode": "Passthrough"})


def secret(name: str, *names: str, namespace: str = "edge") -> Manifest:
    chain, key = CA.issue(*names)
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": build.meta(name, namespace),
        "type": "kubernetes.io/tls",
        "data": {"tls.crt": b64encode(chain).decode(), "tls.key": b64encode(key).decode()},
    }


def config_map(name: str, pem: str, namespace: str = "edge") -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": build.meta(name, namespace),
        "data": {"ca.crt": pem},
    }


def route(
    name: str, *rules: Manifest, hostnames: tuple[str, ...] = (), section: str = "", namespace: str = "edge"
) -> Manifest:
    ref: Manifest = {"name": "gw", "namespace": "edge"}
    if section:
        ref["sectionName"] = section
    made = build.route(name, *rules, namespace=namespace, parents=[ref])
    spec = made["spec"]
    assert isinstance(spec, dict)
    if hostnames:
        spec["hostnames"] = list(hostnames)
    return made


def tls_route(name: str, backend: str, *hostnames: str) -> Manifest:
    return {
        "apiVersion": GATEWAY_API,
        "kind": "TLSRoute",
        "metadata": build.meta(name, "edge"),
        "spec": {
            "parentRefs": [{"name": "gw", "namespace": "edge"}],
            "hostnames": list(hostnames),
            "rules": [{"backendRefs": [build.backend(backend)]}],
        },
    }


def app(name: str, port: int, *, declared: bool = True) -> tuple[Manifest, Manifest]:
    """A Service of namespace `edge` with one endpoint on loopback, that no Pod stands behind."""
    kind = "http" if declared else "tcp"
    return (
        build.service(name, {"name": kind, "port": 8080}, namespace="edge"),
        build.endpoint_slice(name, build.endpoint(ELSEWHERE), namespace="edge", ports=[(kind, port)]),
    )


def index_of(*manifests: Manifest) -> Index:
    index = Index()
    for manifest in (GATEWAY_CLASS, POD, *manifests):
        index.apply(manifest)
    return index


def snapshot_of(index: Index, node: Node = NODE) -> Snapshot:
    found = Translator(index.registry, SETTINGS).snapshot(node)
    assert found.problems() == []
    return found


def accepted(snapshot: Snapshot) -> ConfigSnapshot:
    """What the proxy makes of it; raises ConfigError for what it refuses."""

    def values(type_url: str) -> MappingProxyType[str, object]:
        bodies = [resource.body for resource in snapshot.of_type(type_url).values()]
        return MappingProxyType({name: item.value for name, item in accept(type_url, bodies).items()})

    found = {name: value for name, value in values(SECRET_TYPE).items() if isinstance(value, TlsCertificate)}
    return ConfigSnapshot(
        listeners=values(LISTENER_TYPE),  # type: ignore[arg-type]
        routes=values(ROUTE_TYPE),  # type: ignore[arg-type]
        clusters=values(CLUSTER_TYPE),  # type: ignore[arg-type]
        endpoints=values(ENDPOINT_TYPE),  # type: ignore[arg-type]
        secrets=MappingProxyType(found),
    )


def on_free_ports(config: ConfigSnapshot) -> ConfigSnapshot:
    """The same on loopback, with ports that the kernel chooses."""
    endpoints = {
        name: tuple(replace(one, address="127.0.0.1") for one in found)
        for name, found in config.endpoints.items()
    }
    moved = {
        name: replace(one, address="127.0.0.1", port=0)
        for name, one in config.listeners.items()
        if one.bind_to_port
    }
    return replace(config, listeners=MappingProxyType(moved), endpoints=MappingProxyType(endpoints))


@asynccontextmanager
async def running_gateway(*manifests: Manifest) -> AsyncIterator[Mesh]:
    """The proxy with what the control plane makes of the manifests, strict codec included."""
    config = on_free_ports(accepted(snapshot_of(index_of(*manifests))))
    async with running(config, codec="strict") as mesh:
        yield mesh
