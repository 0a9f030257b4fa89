"""One side of a call as the control plane configures it, on loopback: the sidecar of who calls or of who is
called, which is ours or stock Envoy. Chains, clusters and TLS are what is emitted; addresses are not.

`catalog` is a Service with a port that declares gRPC, or HTTP/1.1 if it is `upgraded`, that is, said over
HTTP/2 between sidecars. A side takes who it is, the port it leads to, and a
directory that Envoy reads its secrets from.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from control_plane.discovery.model import ObjectName
from control_plane.index import Index
from control_plane.snapshot import CLUSTER_TYPE, LISTENER_TYPE, Snapshot
from control_plane.translate.settings import Client, Node
from meshproxy.config.model import ClusterType, Endpoint, WorkloadIdentity
from meshproxy.config.route import WeightedCluster
from meshproxy.config.snapshot import ConfigSnapshot
from meshproxy.identity.identity import Identity
from tests import gateway_mesh as gw
from tests.contract.envoy_validation import messages
from tests.contract.sidecar_pair import start_sidecar
from tests.fuzz import envoy
from tests.unit.control_plane import manifest_builder as build
from tests.unit.control_plane.translate import mesh
from tests.unit.control_plane.translate.test_policies import policy
from tests.unit.meshproxy.identity.mesh import CATALOG
from tests.unit.meshproxy.proxy.harness import http_listener, snapshot
from tests.unit.meshproxy.proxy.test_two_sidecars import CATALOG_WORKLOAD, WEB_WORKLOAD

INBOUND = "inbound|8080||"
OUTBOUND = "outbound|8080||catalog.shop.svc.cluster.local"
MUTUAL = (("tlsMode", "mutual"),)
_SECRET = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"
_CALL_TIME = {"timeout": "0s", "max_stream_duration": {"grpc_timeout_header_max": "0s"}}


@dataclass(frozen=True)
class Side:
    """A sidecar that serves; Envoy where it has statistics."""

    port: int
    envoy: envoy.Envoy | None = None


def emitted(pod: str, secrets_dir: str = "", *, upgraded: bool = False) -> Snapshot:
    """For the sidecar of `pod`, which is Envoy when it reads its secrets from a directory."""
    index = Index()
    name = "http" if upgraded else "grpc"
    policies = [policy("TrafficPolicy", "upgrade", h2UpgradePolicy="Upgrade")] if upgraded else []
    for manifest in (
        *policies,
        build.service("catalog", {"name": name, "port": 8080}),
        build.pod("catalog-1", app="catalog"),
        build.pod("web-1", app="web", account="web", ip="10.244.0.8"),
        build.endpoint_slice("catalog", build.endpoint("10.244.0.7", "catalog-1"), ports=[(name, 8080)]),
    ):
        index.apply(manifest)
    client = Client("shop", is_envoy=True, secrets_dir=secrets_dir) if secrets_dir else Client("shop")
    return mesh.translate(index, Node(ObjectName("shop", pod), client))


# --- ours ---


@asynccontextmanager
async def ours_called(
    identity: Identity, app: int, directory: Path, *, upgraded: bool = False
) -> AsyncIterator[Side]:
    config = gw.accepted(emitted("catalog-1", upgraded=upgraded))
    chains = [
        replace(chain, match=replace(chain.match, destination_port=None))
        for chain in config.listeners["virtualInbound"].filter_chains
        if chain.name.startswith("8080-")
    ]
    listener = replace(
        config.listeners["virtualInbound"],
        name="listener",
        address="127.0.0.1",
        port=0,
        filter_chains=tuple(chains),
        default_filter_chain=None,
        additional_addresses=(),
        original_dst=False,
    )
    cluster = replace(config.clusters[INBOUND], type=ClusterType.STATIC, bind_address="", bind_address_v6="")
    cluster = replace(cluster, endpoints=(Endpoint("127.0.0.1", app),))
    async with _ours(snapshot(listener, cluster), identity, CATALOG_WORKLOAD) as side:
        yield side


@asynccontextmanager
async def ours_calling(
    identity: Identity, peer: int, directory: Path, *, upgraded: bool = False
) -> AsyncIterator[Side]:
    cluster = gw.accepted(emitted("web-1", upgraded=upgraded)).clusters[OUTBOUND]
    endpoint = Endpoint("127.0.0.1", peer, transport_socket_match=MUTUAL, spiffe_id=str(CATALOG))
    cluster = replace(cluster, type=ClusterType.STATIC, eds_service_name="", endpoints=(endpoint,))
    listener = http_listener(
        WeightedCluster(OUTBOUND, 1),
        timeout=0,
        action={"grpc_timeout_max": 0.0},
        upgrade_types=("websocket",),
    )
    async with _ours(snapshot(listener, cluster), identity, WEB_WORKLOAD) as side:
        yield side


@asynccontextmanager
async def _ours(
    config: ConfigSnapshot, identity: Identity, workload: WorkloadIdentity
) -> AsyncIterator[Side]:
    async with AsyncExitStack() as stack:
        started = await start_sidecar(stack, config, identity, workload)
        yield Side(started.port)


# --- stock Envoy ---


@asynccontextmanager
async def envoy_called(
    identity: Identity, app: int, directory: Path, *, upgraded: bool = False
) -> AsyncIterator[Side]:
    config = emitted("catalog-1", _secrets(identity, directory), upgraded=upgraded)
    (inbound,) = (one for one in messages(config, LISTENER_TYPE) if one["name"] == "virtualInbound")
    chains = [chain for chain in inbound["filter_chains"] if chain["name"].startswith("8080-mtls")]  # type: ignore[attr-defined]
    for chain in chains:
        del chain["filter_chain_match"]["destination_port"]
    inspector = {
        "@type": "type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector"
    }
    listener = {
        "name": "listener",
        "address": _loopback(0),
        "filter_chains": chains,
        "listener_filters": [{"name": "tls", "typed_config": inspector}],
    }
    (cluster,) = (one for one in messages(config, CLUSTER_TYPE) if one["name"] == INBOUND)
    for gone in ("upstream_bind_config", "lb_policy"):
        del cluster[gone]
    cluster.update(_static(INBOUND, app))
    async with envoy.started([listener], [cluster]) as started:
        yield Side(started.ports["listener"], started)


@asynccontextmanager
async def envoy_calling(identity: Identity, peer: int, directory: Path) -> AsyncIterator[Side]:
    config = emitted("web-1", _secrets(identity, directory))
    (cluster,) = (one for one in messages(config, CLUSTER_TYPE) if one["name"] == OUTBOUND)
    del cluster["eds_cluster_config"]
    cluster.update(_static(OUTBOUND, peer, metadata=dict(MUTUAL)))
    listener = envoy.listener(OUTBOUND, codec="HTTP2", **_CALL_TIME)
    async with envoy.started([listener], [cluster]) as started:
        yield Side(started.ports[OUTBOUND], started)


def _loopback(port: int) -> dict[str, object]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def _static(name: str, port: int, metadata: dict[str, str] | None = None) -> dict[str, object]:
    endpoint: dict[str, object] = {"endpoint": {"address": _loopback(port)}}
    if metadata:
        endpoint["metadata"] = {"filter_metadata": {"envoy.transport_socket_match": metadata}}
    assignment = {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]}
    return {"type": "STATIC", "load_assignment": assignment}


def _secrets(identity: Identity, directory: Path) -> str:
    """The directory from which Envoy takes certificate, key and roots."""
    pair = {
        "certificate_chain": {"inline_string": identity.chain_pem.decode()},
        "private_key": {"inline_string": identity.key_pem.decode()},
    }
    roots = {"trusted_ca": {"inline_string": identity.root_pem.decode()}}
    for file, name, content in (
        ("default.yaml", "default", {"tls_certificate": pair}),
        ("rootca.yaml", "ROOTCA", {"validation_context": roots}),
    ):
        resource = {"@type": _SECRET, "name": name, **content}
        (directory / file).write_text(json.dumps({"resources": [resource]}))
    return str(directory)
