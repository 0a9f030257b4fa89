"""Small xDS resources and a client that speaks the protocol by hand, for the tests of this folder."""

from collections.abc import Iterable, Sequence

from google.rpc.status_pb2 import Status

from control_plane.api.envoy.config.cluster.v3.cluster_pb2 import Cluster
from control_plane.api.envoy.config.core.v3.base_pb2 import Node
from control_plane.api.envoy.config.endpoint.v3.endpoint_components_pb2 import LocalityLbEndpoints
from control_plane.api.envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment
from control_plane.api.envoy.config.listener.v3.listener_components_pb2 import Filter, FilterChain
from control_plane.api.envoy.config.listener.v3.listener_pb2 import Listener
from control_plane.api.envoy.config.route.v3.route_components_pb2 import VirtualHost
from control_plane.api.envoy.config.route.v3.route_pb2 import RouteConfiguration
from control_plane.api.envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2 as hcm_pb2,
)
from control_plane.api.envoy.service.discovery.v3.discovery_pb2 import DiscoveryRequest, DiscoveryResponse
from control_plane.snapshot import CLUSTER_TYPE, ENDPOINT_TYPE, LISTENER_TYPE, ROUTE_TYPE, Snapshot

TYPES = {"cds": CLUSTER_TYPE, "eds": ENDPOINT_TYPE, "lds": LISTENER_TYPE, "rds": ROUTE_TYPE}
SHORT = {url: short for short, url in TYPES.items()}


def cluster(name: str, *, eds: str | None = "", connect_timeout: int = 1) -> Cluster:
    """An EDS cluster, or a static one when `eds` is None."""
    made = Cluster(name=name, type=Cluster.STATIC if eds is None else Cluster.EDS)
    made.connect_timeout.seconds = connect_timeout
    if eds:
        made.eds_cluster_config.service_name = eds
    return made


def endpoints(name: str, *ports: int) -> ClusterLoadAssignment:
    made = ClusterLoadAssignment(cluster_name=name)
    for port in ports:
        locality: LocalityLbEndpoints = made.endpoints.add()
        address = locality.lb_endpoints.add().endpoint.address.socket_address
        address.address, address.port_value = "10.0.0.1", port
    return made


def listener(name: str, *, rds: str | None = None, port: int = 80, default: bool = False) -> Listener:
    manager = hcm_pb2.HttpConnectionManager(stat_prefix=name)
    if rds is not None:
        manager.rds.route_config_name = rds
    network = Filter(name="hcm")
    network.typed_config.Pack(manager)
    chain = FilterChain(name="chain", filters=[network])
    made = Listener(name=name)
    made.address.socket_address.port_value = port
    if default:
        made.default_filter_chain.CopyFrom(chain)
    else:
        made.filter_chains.append(chain)
    return made


def route(name: str, *domains: str) -> RouteConfiguration:
    return RouteConfiguration(name=name, virtual_hosts=[VirtualHost(name="v", domains=domains or ["*"])])


def shop(*services: str, endpoint_port: int = 8080) -> Snapshot:
    """One listener with one route table that grows with the services, and a cluster for each."""
    clusters = [cluster(name) for name in services]
    assignments = [endpoints(name, endpoint_port) for name in services]
    front = listener("0.0.0.0_80", rds="80")
    return Snapshot.of_messages([front, route("80", *services), *clusters, *assignments])


def request(
    short: str,
    names: Iterable[str] = (),
    *,
    answers: DiscoveryResponse | None = None,
    error: str | None = None,
    node: str = "",
    nonce: str | None = None,
) -> DiscoveryRequest:
    """A subscription, or the ACK or NACK (`error`) that `answers` a response."""
    made = DiscoveryRequest(type_url=TYPES[short], resource_names=list(names))
    if answers is not None:
        made.response_nonce = answers.nonce
        made.version_info = "" if error is not None else answers.version_info
    if nonce is not None:
        made.response_nonce = nonce
    if error is not None:
        made.error_detail.CopyFrom(Status(code=3, message=error))
    if node:
        made.node.CopyFrom(Node(id=node))
    return made


def names_of(response: DiscoveryResponse) -> list[str]:
    """Sorted names of the resources in a response."""
    classes: dict[str, type[Listener | RouteConfiguration | Cluster | ClusterLoadAssignment]] = {
        CLUSTER_TYPE: Cluster,
        ENDPOINT_TYPE: ClusterLoadAssignment,
        LISTENER_TYPE: Listener,
        ROUTE_TYPE: RouteConfiguration,
    }
    found = []
    for body in response.resources:
        message = classes[response.type_url].FromString(body.value)
        found.append(message.cluster_name if isinstance(message, ClusterLoadAssignment) else message.name)
    return sorted(found)


def trace(responses: Sequence[DiscoveryResponse]) -> list[tuple[str, list[str]]]:
    """What was sent, in order: (short type, names)."""
    return [(SHORT[response.type_url], names_of(response)) for response in responses]


class Follower:
    """A well-behaved client: acknowledges each response and asks for what clusters and listeners refer to."""

    def __init__(self) -> None:
        self.names: dict[str, list[str]] = {"eds": [], "rds": []}
        self.nonces: dict[str, str] = {}

    def on_response(self, response: DiscoveryResponse) -> list[DiscoveryRequest]:
        short = SHORT[response.type_url]
        self.nonces[short] = response.nonce
        answers = [request(short, self.names.get(short, ()), answers=response)]
        if short == "cds":
            answers += self._follow("eds", names_of(response))
        elif short == "lds":
            answers += self._follow("rds", ["80"])
        return answers

    def _follow(self, short: str, names: list[str]) -> list[DiscoveryRequest]:
        if self.names[short] == names:
            return []
        self.names[short] = names
        return [request(short, names, nonce=self.nonces.get(short, ""))]
