"""Small valid xDS messages for the tests of this folder; each test changes what it is about."""

from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import Message

from control_plane.api.envoy.config.cluster.v3.cluster_pb2 import Cluster
from control_plane.api.envoy.config.core.v3.base_pb2 import TrafficDirection, TransportSocket
from control_plane.api.envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment
from control_plane.api.envoy.config.listener.v3.listener_pb2 import Listener
from control_plane.api.envoy.config.route.v3.route_components_pb2 import VirtualHost
from control_plane.api.envoy.config.route.v3.route_pb2 import RouteConfiguration
from control_plane.api.envoy.extensions.filters.http.router.v3.router_pb2 import Router
from control_plane.api.envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2 as hcm_pb2,
)
from control_plane.api.envoy.extensions.filters.network.tcp_proxy.v3.tcp_proxy_pb2 import TcpProxy
from control_plane.api.envoy.extensions.transport_sockets.tls.v3.tls_pb2 import CommonTlsContext

Part = Listener | RouteConfiguration | Cluster | ClusterLoadAssignment


def packed(message: Message) -> AnyMessage:
    box = AnyMessage()
    box.Pack(message)
    return box


def cluster(name: str = "catalog") -> Cluster:
    made = Cluster(name=name, type=Cluster.EDS)
    made.eds_cluster_config.eds_config.ads.SetInParent()
    return made


def endpoints(name: str = "catalog", port: int = 8080) -> ClusterLoadAssignment:
    made = ClusterLoadAssignment(cluster_name=name)
    address = made.endpoints.add().lb_endpoints.add().endpoint.address.socket_address
    address.address, address.port_value = "10.244.0.7", port
    return made


def routes(name: str = "80", *clusters: str) -> RouteConfiguration:
    """A virtual host per cluster, which is also its domain."""
    made = RouteConfiguration(name=name)
    for target in clusters:
        host = VirtualHost(name=target, domains=[target])
        route = host.routes.add()
        route.match.prefix = "/"
        route.route.cluster = target
        made.virtual_hosts.append(host)
    return made


def http_manager(rds: str = "80") -> hcm_pb2.HttpConnectionManager:
    made = hcm_pb2.HttpConnectionManager(stat_prefix="http")
    made.rds.route_config_name = rds
    made.rds.config_source.ads.SetInParent()
    made.http_filters.add(name="router").typed_config.Pack(Router())
    return made


def listener(name: str = "0.0.0.0_80", network: Message | None = None, port: int = 80) -> Listener:
    made = Listener(name=name, traffic_direction=TrafficDirection.OUTBOUND)
    made.address.socket_address.address = "0.0.0.0"
    made.address.socket_address.port_value = port
    item = made.filter_chains.add(name="chain").filters.add(name="network")
    item.typed_config.Pack(network or http_manager())
    return made


def tcp_proxy(cluster: str = "catalog") -> TcpProxy:
    return TcpProxy(stat_prefix="tcp", cluster=cluster)


def shop(*services: str, port: int = 8080) -> list[Part]:
    """Clusters first, then endpoints, one route table, one listener."""
    return [
        *(cluster(name) for name in services),
        *(endpoints(name, port) for name in services),
        routes("80", *services),
        listener(),
    ]


def common_tls(common: CommonTlsContext) -> None:
    """Fill in what every context of ours has."""
    common.alpn_protocols.append("istio")
    common.tls_certificate_sds_secret_configs.add(name="default").sds_config.ads.SetInParent()
    validation = common.combined_validation_context.validation_context_sds_secret_config
    validation.name = "ROOTCA"
    validation.sds_config.ads.SetInParent()


def transport_socket(context: Message) -> TransportSocket:
    return TransportSocket(name="socket", typed_config=packed(context))
