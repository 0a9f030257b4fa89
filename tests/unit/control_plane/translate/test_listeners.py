"""Listeners: who catches a connection and what becomes of it."""

import pytest

from control_plane.api.envoy.config.listener.v3.listener_components_pb2 import FilterChain
from control_plane.api.envoy.config.listener.v3.listener_pb2 import Listener
from control_plane.api.envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2 as hcm,
)
from control_plane.api.envoy.extensions.filters.network.tcp_proxy.v3.tcp_proxy_pb2 import TcpProxy
from control_plane.api.envoy.extensions.transport_sockets.tls.v3.tls_pb2 import DownstreamTlsContext
from control_plane.resources.manifest import section
from control_plane.snapshot import LISTENER_TYPE
from control_plane.translate import listeners
from control_plane.translate.settings import MeshSettings
from tests.unit.control_plane import manifest_builder as build
from tests.unit.control_plane.translate import mesh


def _target(chain: FilterChain) -> str:
    """The cluster of a TCP proxy, `rds <name>` or `inline <cluster>` of an HTTP connection manager."""
    config = chain.filters[0].typed_config
    proxy, manager = TcpProxy(), hcm.HttpConnectionManager()
    if config.Unpack(proxy):
        return proxy.cluster
    assert config.Unpack(manager)
    if manager.HasField("rds"):
        return f"rds {manager.rds.route_config_name}"
    return f"inline {manager.route_config.virtual_hosts[0].routes[0].route.cluster}"


def _chains(listener: Listener) -> dict[str, str]:
    return {chain.name: _target(chain) for chain in listener.filter_chains}


def _match(listener: Listener, name: str) -> tuple[int, str, list[str]]:
    match = next(chain.filter_chain_match for chain in listener.filter_chains if chain.name == name)
    return match.destination_port.value, match.transport_protocol, list(match.application_protocols)


def _inbound(settings: MeshSettings = mesh.STRICT) -> Listener:
    return mesh.listener(mesh.translate(mesh.shop(), mesh.CATALOG, settings), "virtualInbound")


def test_unknown_destinations_pass_or_are_refused_and_the_port_itself_always() -> None:
    index = mesh.shop()
    outbound = mesh.listener(mesh.translate(index), "virtualOutbound")
    assert outbound.use_original_dst.value
    own_ports = {f"pods-{port}": "PassthroughCluster" for port in (15020, 15021, 15090)}
    assert _chains(outbound) == {"blocked": "BlackHoleCluster", "pods": "MeshPodCluster", **own_ports}
    assert _match(outbound, "blocked") == (15001, "", [])
    assert _target(outbound.default_filter_chain) == "PassthroughCluster"
    closed = mesh.listener(mesh.translate(index, settings=mesh.REGISTRY_ONLY), "virtualOutbound")
    assert _target(closed.default_filter_chain) == "BlackHoleCluster"


@pytest.mark.parametrize(("name", "port"), [("virtualOutbound", 15001), ("virtualInbound", 15006)])
def test_sockets_are_for_both_families(name: str, port: int) -> None:
    listener = mesh.listener(mesh.translate(mesh.shop()), name)
    assert listener.address.socket_address.port_value == port
    (extra,) = listener.additional_addresses
    assert (extra.address.socket_address.address, extra.address.socket_address.port_value) == ("::", port)
    assert listener.listener_filters[0].name == "envoy.filters.listener.original_dst"


def test_http_shares_a_port_and_the_rest_is_told_by_vip() -> None:
    snapshot = mesh.translate(mesh.shop())
    assert sorted(snapshot.of_type(LISTENER_TYPE)) == [
        "0.0.0.0_8080",
        "10.96.0.7_7000",
        "10.96.0.7_9000",
        "virtualInbound",
        "virtualOutbound",
    ]
    http = mesh.listener(snapshot, "0.0.0.0_8080")
    assert _chains(http) == {"http": "rds 8080", "pods": "MeshPodCluster"}
    assert not http.bind_to_port.value
    assert http.HasField("bind_to_port")
    assert not http.listener_filters, "declared protocols never wait"
    tcp = mesh.listener(snapshot, "10.96.0.7_7000")
    assert _chains(tcp) == {"tcp": "outbound|7000||catalog.shop.svc.cluster.local"}
    assert not tcp.listener_filters


def test_an_undeclared_port_waits_for_the_client_and_then_relays() -> None:
    listener = mesh.listener(mesh.translate(mesh.shop()), "10.96.0.7_9000")
    assert _chains(listener) == {"http": "rds 9000"}
    assert _match(listener, "http") == (0, "raw_buffer", ["http/1.1", "http/1.0"])
    opaque = "outbound|9000|opaque|catalog.shop.svc.cluster.local"
    assert _target(listener.default_filter_chain) == opaque
    assert listener.listener_filters_timeout.seconds == 10
    assert listener.continue_on_listener_filters_timeout


def test_a_headless_service_has_http_listeners_only() -> None:
    ports = [{"name": "http", "port": 80}, {"name": "tcp", "port": 81}, {"name": "any", "port": 82}]
    snapshot = mesh.translate(mesh.shop(build.service("headless", *ports, vip="None")))
    added = set(snapshot.of_type(LISTENER_TYPE)) - set(mesh.translate(mesh.shop()).of_type(LISTENER_TYPE))
    assert added == {"0.0.0.0_80"}


def test_strict_lets_in_mesh_tls_only() -> None:
    listener = _inbound()
    assert _chains(listener) == {
        "blocked": "BlackHoleCluster",
        "7000-mtls-http": "inline inbound|7000||",
        "7000-mtls-tcp": "inbound|7000||",
        "8080-mtls-http": "inline inbound|8080||",
        "8080-mtls-tcp": "inbound|8080||",
        "9000-mtls-http": "inline inbound|9000||",
        "9000-mtls-tcp": "inbound|9000||",
        "catch-all-mtls-http": "inline InboundPassthroughCluster",
        "catch-all-mtls-tcp": "InboundPassthroughCluster",
    }
    assert _match(listener, "8080-mtls-http") == (8080, "tls", ["istio-h2", "istio-http/1.1"])
    assert _match(listener, "8080-mtls-tcp") == (8080, "tls", ["istio"])
    assert _match(listener, "catch-all-mtls-http") == (0, "tls", ["istio-h2", "istio-http/1.1"])
    assert _match(listener, "blocked") == (15006, "", [])
    assert not listener.HasField("default_filter_chain")
    filters = [one.name.rpartition(".")[2] for one in listener.listener_filters]
    assert filters == ["original_dst", "tls_inspector"]


@pytest.mark.parametrize("settings", [mesh.PERMISSIVE, mesh.DISABLED])
def test_permissive_lets_in_plaintext_by_what_the_port_declares(settings: MeshSettings) -> None:
    listener = _inbound(settings)
    plain = {name: target for name, target in _chains(listener).items() if "mtls" not in name}
    assert plain == {
        "blocked": "BlackHoleCluster",
        "7000-tls": "inbound|7000||",
        "7000-tcp": "inbound|7000||",
        "8080-tls": "inbound|8080||",
        "8080-http": "inline inbound|8080||",
        "9000-tls": "inbound|9000||",
        "9000-http": "inline inbound|9000||",
        "9000-tcp": "inbound|9000||",
        "catch-all-tls": "InboundPassthroughCluster",
        "catch-all-http": "inline InboundPassthroughCluster",
        "catch-all-tcp": "InboundPassthroughCluster",
    }
    assert _match(listener, "8080-http") == (8080, "raw_buffer", [])
    assert _match(listener, "9000-http") == (9000, "raw_buffer", ["http/1.1", "http/1.0"])
    assert listener.listener_filters[-1].name.endswith("http_inspector")


def test_callers_must_show_an_identity_of_the_trust_domain() -> None:
    listener = _inbound()
    chain = next(chain for chain in listener.filter_chains if chain.name == "8080-mtls-http")
    context = DownstreamTlsContext()
    assert chain.transport_socket.typed_config.Unpack(context)
    assert context.require_client_certificate.value
    assert list(context.common_tls_context.alpn_protocols) == ["istio-h2", "istio-http/1.1", "istio"]
    validation = context.common_tls_context.combined_validation_context.default_validation_context
    assert validation.match_typed_subject_alt_names[0].matcher.prefix == "spiffe://cluster.local/"


def test_the_caller_is_told_to_the_app_and_the_callers_claim_is_dropped() -> None:
    chain = next(chain for chain in _inbound().filter_chains if chain.name == "8080-mtls-http")
    manager = hcm.HttpConnectionManager()
    assert chain.filters[0].typed_config.Unpack(manager)
    assert manager.forward_client_cert_details == hcm.HttpConnectionManager.SANITIZE_SET
    assert manager.set_current_client_cert_details.uri


def test_a_named_target_port_is_resolved_in_the_pod_and_the_oldest_service_names_it() -> None:
    named = build.pod("catalog-1", app="catalog", ports=[{"name": "web", "containerPort": 8081}])
    older = build.service(
        "older",
        {"name": "tcp-x", "port": 1, "targetPort": "web"},
        {"name": "http", "port": 2, "targetPort": "absent"},
        selector={"app": "catalog"},
        created="2025-01-01T00:00:00Z",
    )
    newer = build.service(
        "newer", {"name": "http", "port": 3, "targetPort": 8081}, selector={"app": "catalog"}
    )
    snapshot = mesh.translate(mesh.shop(named, newer, older), mesh.CATALOG, mesh.PERMISSIVE)
    chains = _chains(mesh.listener(snapshot, "virtualInbound"))
    assert {name for name in chains if name.startswith("8081")} == {
        "8081-mtls-http",
        "8081-mtls-tcp",
        "8081-tls",
        "8081-tcp",
    }
    metadata = mesh.cluster(snapshot, "inbound|8081||").metadata.filter_metadata["meshproxy.io"]
    assert metadata["service_name"] == "older"


def test_a_port_taken_out_of_interception_has_no_chain() -> None:
    excluded = build.pod(
        "catalog-1", app="catalog", annotations={"traffic.meshproxy.io/excludeInboundPorts": "7000,9000"}
    )
    chains = _chains(mesh.listener(mesh.translate(mesh.shop(excluded), mesh.CATALOG), "virtualInbound"))
    assert {name.partition("-")[0] for name in chains} == {"blocked", "8080", "catch"}


def test_websocket_and_a_bound_on_the_time_of_a_head_on_every_http_manager() -> None:
    chain = next(chain for chain in _inbound().filter_chains if chain.name == "8080-mtls-http")
    for filters in (chain.filters, listeners.http_listener(8080).filter_chains[0].filters):
        manager = hcm.HttpConnectionManager()
        assert filters[0].typed_config.Unpack(manager)
        assert [config.upgrade_type for config in manager.upgrade_configs] == ["websocket"]
        assert manager.request_headers_timeout.seconds == 10


def test_a_service_of_two_families_has_listeners_at_each_of_its_addresses() -> None:
    service = build.service(
        "both", {"name": "tcp", "port": 7000}, {"name": "any", "port": 9000}, vip="10.96.0.9"
    )
    spec = {**section(service, "spec"), "clusterIPs": ["10.96.0.9", "fd00::9"]}
    snapshot = mesh.translate(mesh.shop({**service, "spec": spec}))
    for port in (7000, 9000):
        first, second = (mesh.listener(snapshot, f"{vip}_{port}") for vip in ("10.96.0.9", "fd00::9"))
        assert second.address.socket_address.address == "fd00::9"
        assert [chain.name for chain in first.filter_chains] == [chain.name for chain in second.filter_chains]
