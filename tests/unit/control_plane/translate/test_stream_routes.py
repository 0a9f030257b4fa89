"""TCPRoutes and TLSRoutes as listeners of a Service's address and port."""

from google.protobuf.any_pb2 import Any as AnyMessage

from control_plane.api.envoy.config.listener.v3.listener_components_pb2 import FilterChain
from control_plane.api.envoy.extensions.filters.network.tcp_proxy.v3.tcp_proxy_pb2 import TcpProxy
from control_plane.resources.manifest import Manifest
from control_plane.translate.settings import Node
from tests.unit.control_plane import manifest_builder as build
from tests.unit.control_plane.translate import mesh

DB = build.service("db", {"name": "tcp", "port": 7000}, {"name": "any", "port": 9000}, vip="10.96.0.20")
ON_TCP = [build.service_parent(port=7000)]


def _chains(*manifests: Manifest, port: int = 7000, node: Node = mesh.WEB) -> list[FilterChain]:
    listener = mesh.listener(mesh.translate(mesh.shop(DB, *manifests), node), f"10.96.0.7_{port}")
    return list(listener.filter_chains)


def _shares(chain: FilterChain) -> list[tuple[str, int]]:
    proxy, config = TcpProxy(), AnyMessage()
    config.CopyFrom(chain.filters[0].typed_config)
    assert config.Unpack(proxy)
    if proxy.cluster:
        return [(proxy.cluster, 1)]
    return [(one.name, one.weight) for one in proxy.weighted_clusters.clusters]


def _tcp(*backends: Manifest, name: str = "tcp", **fields: object) -> Manifest:
    return build.stream_route("TCPRoute", name, *backends, parents=ON_TCP, **fields)  # type: ignore[arg-type]


def test_connections_are_shared_out_by_weight_and_what_is_missing_keeps_its_share() -> None:
    route = _tcp(
        build.backend("db", 7000, weight=9),
        build.backend("db", 9000, weight=3),
        build.backend("gone", 7000, weight=1),
        build.backend("catalog", 7000, weight=0),
    )
    (chain,) = _chains(route)
    assert _shares(chain) == [
        ("outbound|7000||db.shop.svc.cluster.local", 9),
        ("outbound|9000|opaque|db.shop.svc.cluster.local", 3),
        ("missing|7000||gone.shop.svc.cluster.local", 1),
    ]


def test_a_route_with_nothing_to_send_to_closes_connections() -> None:
    assert _shares(_chains(_tcp(build.backend("db", 7000, weight=0)))[0]) == [("BlackHoleCluster", 1)]
    http = _tcp(build.backend("catalog", 8080))
    assert _shares(_chains(http)[0]) == [("missing|8080||catalog.shop.svc.cluster.local", 1)]


def test_an_undeclared_port_is_not_looked_at_any_more() -> None:
    route = build.stream_route(
        "TCPRoute", "tcp", build.backend("db", 7000), parents=[build.service_parent(port=9000)]
    )
    listener = mesh.listener(mesh.translate(mesh.shop(DB, route)), "10.96.0.7_9000")
    assert not listener.listener_filters
    assert not listener.HasField("default_filter_chain")


def test_of_two_tcp_routes_the_older_holds() -> None:
    older = _tcp(build.backend("db", 7000), name="z")
    newer = _tcp(build.backend("db", 9000), name="a", created=build.LATE)
    for order in ((older, newer), (newer, older)):
        assert _shares(_chains(*order)[0]) == [("outbound|7000||db.shop.svc.cluster.local", 1)]


def test_server_names_pick_the_chain_and_each_belongs_to_the_oldest() -> None:
    def route(name: str, *hostnames: str, created: str = build.EARLY) -> Manifest:
        return build.stream_route(
            "TLSRoute", name, build.backend("db", 7000), parents=ON_TCP, hostnames=hostnames, created=created
        )

    chains = _chains(
        route("new", "a.example.com", "*.b.example.com", created=build.LATE), route("old", "a.example.com")
    )
    assert [(chain.name, list(chain.filter_chain_match.server_names)) for chain in chains] == [
        ("tls-shop/old", ["a.example.com"]),
        ("tls-shop/new", ["*.b.example.com"]),
    ]
    assert {chain.filter_chain_match.transport_protocol for chain in chains} == {"tls"}


def test_a_consumer_route_holds_for_its_own_namespace() -> None:
    parent = build.service_parent(namespace="shop", port=7000)
    backend = build.backend("db", 9000, namespace="shop")
    consumer = build.stream_route("TCPRoute", "mine", backend, namespace="other", parents=[parent])
    assert _shares(_chains(consumer)[0]) == [("outbound|7000||catalog.shop.svc.cluster.local", 1)]
    elsewhere = _chains(consumer, node=mesh.ELSEWHERE)[0]
    assert _shares(elsewhere) == [("outbound|9000|opaque|db.shop.svc.cluster.local", 1)]
