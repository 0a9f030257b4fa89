"""A small mesh to translate, and readers of what came out."""

from typing import TypeVar

from google.protobuf.message import Message

from certs.spiffe_id import TrustDomain
from control_plane.api.envoy.config.cluster.v3.cluster_pb2 import Cluster
from control_plane.api.envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment
from control_plane.api.envoy.config.listener.v3.listener_pb2 import Listener
from control_plane.api.envoy.config.route.v3.route_components_pb2 import VirtualHost
from control_plane.api.envoy.config.route.v3.route_pb2 import RouteConfiguration
from control_plane.discovery.model import ObjectName
from control_plane.index import Index
from control_plane.resources.manifest import Manifest
from control_plane.snapshot import CLUSTER_TYPE, ENDPOINT_TYPE, LISTENER_TYPE, ROUTE_TYPE, Snapshot
from control_plane.translate.settings import Client, MeshSettings, MtlsMode, Node, OutboundTrafficPolicy
from control_plane.translate.translator import Translator
from tests.unit.control_plane import manifest_builder as build

M = TypeVar("M", bound=Message)
TRUST_DOMAIN = TrustDomain("cluster.local")
STRICT = MeshSettings(TRUST_DOMAIN)
PERMISSIVE = MeshSettings(TRUST_DOMAIN, MtlsMode.PERMISSIVE)
DISABLED = MeshSettings(TRUST_DOMAIN, MtlsMode.DISABLE)
REGISTRY_ONLY = MeshSettings(TRUST_DOMAIN, outbound_traffic_policy=OutboundTrafficPolicy.REGISTRY_ONLY)

WEB = Node(ObjectName("shop", "web-1"), Client("shop"))
ELSEWHERE = Node(ObjectName("other", "web-1"), Client("other"))
CATALOG = Node(ObjectName("shop", "catalog-1"), Client("shop"))
ENVOY = Node(ObjectName("shop", "web-1"), Client("shop", is_envoy=True, secrets_dir="/sds"))


def shop(*more: Manifest) -> Index:
    """`catalog` with an HTTP, an opaque and an undeclared port and one meshed pod, and what is added."""
    ports = [{"name": "http", "port": 8080}, {"name": "tcp", "port": 7000}, {"name": "any", "port": 9000}]
    index = Index()
    for manifest in (
        build.service("catalog", *ports),
        build.pod("catalog-1", app="catalog", owner=("Deployment", "catalog"), labels={"version": "v1"}),
        build.endpoint_slice(
            "catalog",
            build.endpoint("10.244.0.7", "catalog-1"),
            ports=[("http", 8080), ("tcp", 7000), ("any", 9000)],
        ),
        *more,
    ):
        index.apply(manifest)
    return index


def translate(index: Index, node: Node = WEB, settings: MeshSettings = STRICT) -> Snapshot:
    return Translator(index.registry, settings).snapshot(node)


def _read(snapshot: Snapshot, type_url: str, name: str, message: M) -> M:
    message.ParseFromString(snapshot.of_type(type_url)[name].body.value)
    return message


def cluster(snapshot: Snapshot, name: str) -> Cluster:
    return _read(snapshot, CLUSTER_TYPE, name, Cluster())


def listener(snapshot: Snapshot, name: str) -> Listener:
    return _read(snapshot, LISTENER_TYPE, name, Listener())


def endpoints(snapshot: Snapshot, name: str) -> ClusterLoadAssignment:
    return _read(snapshot, ENDPOINT_TYPE, name, ClusterLoadAssignment())


def route_table(snapshot: Snapshot, port: int) -> RouteConfiguration:
    return _read(snapshot, ROUTE_TYPE, str(port), RouteConfiguration())


def virtual_host(snapshot: Snapshot, domain: str, port: int = 8080) -> VirtualHost:
    table = route_table(snapshot, port)
    return next(host for host in table.virtual_hosts if domain in host.domains)
