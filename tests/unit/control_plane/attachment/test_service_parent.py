"""Which routes hold on a port of a Service, and for whom."""

import pytest

from control_plane.attachment.service_parent import effective_routes
from control_plane.resources.manifest import Manifest
from tests.unit.control_plane import manifest_builder as build
from tests.unit.control_plane.attachment.routes import CATALOG, index_of


def _holding(*manifests: Manifest, port: int = 8080, client: str = "shop") -> list[str]:
    index = index_of(*manifests)
    service = index.registry.service(CATALOG)
    assert service is not None
    chosen = next(one for one in service.ports if one.number == port)
    found = effective_routes(index.registry.routes_attached_to(CATALOG), service, chosen, client)
    return [route.key.name for route in found]


@pytest.mark.parametrize(
    ("parent", "ports"),
    [
        ({}, [8080, 9000]),
        ({"port": 9000}, [9000]),
        ({"sectionName": "http"}, [8080]),
        ({"sectionName": "http", "port": 8080}, [8080]),
        ({"sectionName": "http", "port": 9000}, []),
        ({"sectionName": "none"}, []),
    ],
)
def test_a_parent_means_ports_by_number_and_by_name(parent: Manifest, ports: list[int]) -> None:
    route = build.route("r", parents=[build.service_parent(**parent)])
    assert [port for port in (8080, 7000, 9000) if _holding(route, port=port)] == ports


def test_several_parents_are_attached_to_each() -> None:
    parents = [build.service_parent("web"), build.service_parent(port=8080), build.service_parent(port=9000)]
    route = build.route("r", parents=parents)
    assert [_holding(route, port=port) for port in (8080, 9000)] == [["r"], ["r"]]


def test_consumer_routes_hold_at_home_only_and_hide_the_producers() -> None:
    consumer = build.route("mine", namespace="other", parent_namespace="shop")
    producer = build.route("everyones")
    assert _holding(consumer, client="shop") == []
    assert _holding(consumer, producer, client="other") == ["mine"]
    assert _holding(consumer, producer, client="third") == ["everyones"]


def test_of_kinds_on_one_port_the_most_specific_holds() -> None:
    http, parents = build.route("http"), [build.service_parent(port=9000)]
    tls = build.stream_route("TLSRoute", "tls", build.backend("db", 7000), parents=parents)
    tcp = build.stream_route("TCPRoute", "tcp", build.backend("db", 7000), parents=parents)
    assert _holding(tcp, port=9000) == ["tcp"]
    assert _holding(tcp, tls, port=9000) == ["tls"]
    assert _holding(tcp, tls, http, port=9000) == ["http"]


def test_streams_do_not_hold_on_http_nor_http_routes_on_opaque_ports() -> None:
    tcp = build.stream_route("TCPRoute", "tcp", build.backend("db", 7000))
    assert _holding(tcp, port=8080) == []
    assert _holding(tcp, build.route("http"), port=7000) == ["tcp"]


def test_a_route_of_which_nothing_can_be_done_does_not_hold() -> None:
    bad = {**build.rule(build.backend("v1")), "sessionPersistence": {"idleTimeout": "1m"}}
    assert _holding(build.route("r", bad)) == []
