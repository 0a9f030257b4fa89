"""Listener -> listeners of the model."""

from collections.abc import Callable

import pytest

from control_plane.api.envoy.config.core.v3.base_pb2 import TrafficDirection
from control_plane.api.envoy.config.listener.v3.listener_components_pb2 import FilterChain as ProtoChain
from control_plane.api.envoy.config.listener.v3.listener_pb2 import Listener as Proto
from control_plane.api.envoy.extensions.filters.http.router.v3.router_pb2 import Router
from control_plane.api.envoy.extensions.filters.listener.http_inspector.v3.http_inspector_pb2 import (
    HttpInspector,
)
from control_plane.api.envoy.extensions.filters.listener.original_dst.v3.original_dst_pb2 import OriginalDst
from control_plane.api.envoy.extensions.filters.listener.tls_inspector.v3.tls_inspector_pb2 import (
    TlsInspector,
)
from control_plane.api.envoy.extensions.filters.network.tcp_proxy.v3.tcp_proxy_pb2 import TcpProxy as ProtoTcp
from control_plane.api.envoy.extensions.transport_sockets.tls.v3.tls_pb2 import DownstreamTlsContext
from meshproxy.config.model import (
    Direction,
    DownstreamTls,
    FilterChainMatch,
    HttpConnectionManager,
    Listener,
    TcpProxy,
)
from meshproxy.config.route import WeightedCluster
from meshproxy.errors import ConfigError
from meshproxy.xds.listeners import translate_listener
from tests.unit.meshproxy.xds import xds_message as message

Change = Callable[[Proto], None]


def translated(change: Change = lambda made: None) -> Listener:
    made = message.listener()
    change(made)
    return translate_listener(made, "l")


def chain(network: ProtoTcp | None = None) -> ProtoChain:
    """A chain with a TCP proxy."""
    return message.listener(network=network or message.tcp_proxy()).filter_chains[0]


def test_defaults_are_envoys() -> None:
    made = translated()
    assert (made.address, made.port, made.direction) == ("0.0.0.0", 80, Direction.OUTBOUND)
    assert (made.bind_to_port, made.use_original_dst, made.default_filter_chain) == (True, False, None)
    assert (made.original_dst, made.tls_inspector, made.http_inspector) == (False, False, False)
    assert (made.listener_filters_timeout, made.continue_on_listener_filters_timeout) == (15.0, False)
    [only] = made.filter_chains
    assert (only.name, only.match, only.tls) == ("chain", FilterChainMatch(), None)
    assert isinstance(only.network, HttpConnectionManager)


def test_a_listener_that_catches_everything() -> None:
    def change(made: Proto) -> None:
        made.traffic_direction = TrafficDirection.INBOUND
        made.bind_to_port.value = False
        made.use_original_dst.value = True
        made.additional_addresses.add().address.socket_address.address = "::"
        made.additional_addresses[0].address.socket_address.port_value = 80
        for item in (OriginalDst(), TlsInspector(), HttpInspector()):
            made.listener_filters.add(name="x").typed_config.Pack(item)
        made.listener_filters_timeout.seconds = 10
        made.continue_on_listener_filters_timeout = True
        made.default_filter_chain.CopyFrom(chain())

    made = translated(change)
    assert (made.direction, made.bind_to_port, made.use_original_dst) == (Direction.INBOUND, False, True)
    assert made.additional_addresses == (("::", 80),)
    assert (made.original_dst, made.tls_inspector, made.http_inspector) == (True, True, True)
    assert (made.listener_filters_timeout, made.continue_on_listener_filters_timeout) == (10.0, True)
    assert made.default_filter_chain is not None
    assert made.default_filter_chain.network == TcpProxy("tcp", (WeightedCluster("catalog", 1),))


def test_a_chain_with_criteria_and_tls() -> None:
    def change(made: Proto) -> None:
        match = made.filter_chains[0].filter_chain_match
        match.destination_port.value = 8080
        prefix = match.prefix_ranges.add(address_prefix="10.244.0.7")
        prefix.prefix_len.value = 16
        match.transport_protocol = "tls"
        match.application_protocols.append("istio")
        match.server_names.extend(["a.b", "*.c"])
        context = DownstreamTlsContext()
        message.common_tls(context.common_tls_context)
        made.filter_chains[0].transport_socket.CopyFrom(message.transport_socket(context))

    [only] = translated(change).filter_chains
    assert only.match == FilterChainMatch(8080, ("10.244.0.0/16",), "tls", ("istio",), ("a.b", "*.c"))
    assert only.tls == DownstreamTls(require_client_certificate=False, alpn_protocols=("istio",))


def test_a_weighted_tcp_proxy() -> None:
    proxy = ProtoTcp(stat_prefix="tcp")
    proxy.weighted_clusters.clusters.add(name="v1", weight=3)
    proxy.weighted_clusters.clusters.add(name="v2", weight=1)
    proxy.idle_timeout.SetInParent()
    [only] = translate_listener(message.listener(network=proxy), "l").filter_chains
    assert only.network == TcpProxy("tcp", (WeightedCluster("v1", 3), WeightedCluster("v2", 1)), 0.0)


def _no_direction(made: Proto) -> None:
    made.traffic_direction = TrafficDirection.UNSPECIFIED


def _unknown_filter(made: Proto) -> None:
    made.listener_filters.add(name="x").typed_config.Pack(Router())


def _same_filter_twice(made: Proto) -> None:
    for _ in range(2):
        made.listener_filters.add(name="x").typed_config.Pack(OriginalDst())


def _twin_chain(made: Proto) -> None:
    made.filter_chains.append(chain())


def _matching_default(made: Proto) -> None:
    made.default_filter_chain.CopyFrom(chain())
    made.default_filter_chain.filter_chain_match.destination_port.value = 1


def _no_network_filter(made: Proto) -> None:
    del made.filter_chains[0].filters[:]


def _unknown_network_filter(made: Proto) -> None:
    made.filter_chains[0].filters[0].typed_config.Pack(Router())


def _quic(made: Proto) -> None:
    made.filter_chains[0].filter_chain_match.transport_protocol = "quic"


def _server_name(name: str) -> Change:
    return lambda made: made.filter_chains[0].filter_chain_match.server_names.append(name)


def _bad_prefix(made: Proto) -> None:
    made.filter_chains[0].filter_chain_match.prefix_ranges.add(
        address_prefix="10.0.0.0"
    ).prefix_len.value = 99


def _tcp(proxy: ProtoTcp) -> Change:
    return lambda made: made.filter_chains[0].filters[0].typed_config.Pack(proxy)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_no_direction, "l.traffic_direction: INBOUND or OUTBOUND is needed"),
        (_unknown_filter, "listener_filters[0]: listener filter 'envoy.extensions.filters.http.router"),
        (_same_filter_twice, "is there twice"),
        (_twin_chain, "l.filter_chains[1].filter_chain_match: the same as that of l.filter_chains[0]"),
        (_matching_default, "l.default_filter_chain.filter_chain_match: must not be set"),
        (_no_network_filter, "l.filter_chains[0].filters: 0 given; exactly one is supported"),
        (_unknown_network_filter, "network filter 'envoy.extensions.filters.http.router.v3.Router'"),
        (_quic, "transport_protocol: 'quic' is not supported"),
        (_server_name("A.b"), "server_names[0]: 'A.b' is not a lower-case name or *.suffix"),
        (_server_name("a.*"), "server_names[0]: 'a.*' is not"),
        (_bad_prefix, "prefix_ranges[0]: '10.0.0.0/99' is not an address prefix"),
        (_tcp(ProtoTcp(cluster="c")), "stat_prefix: must not be empty"),
        (_tcp(ProtoTcp(stat_prefix="s")), "cluster or weighted_clusters is needed"),
    ],
)
def test_refused(change: Change, message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        translated(change)
    assert message in str(refused.value)
