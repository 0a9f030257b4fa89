"""What pods of Gateways get, and who gets none of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.api.envoy.config.route.v3.route_pb2 import RouteConfiguration
from control_plane.api.envoy.service.discovery.v3.discovery_pb2 import DiscoveryRequest
from control_plane.discovery.model import ObjectName
from control_plane.push import StreamState
from control_plane.snapshot import LISTENER_TYPE, ROUTE_TYPE, SECRET_TYPE
from control_plane.translate.settings import Client, Node, parse_node
from meshproxy.http.codec import strict_codec
from meshproxy.http.events import Request
from meshproxy.http.limits import HeadLimits
from meshproxy.routing.table import CompiledRouteTable
from meshproxy.xds.translate import translate as accept
from tests import gateway_mesh as gw
from tests.unit.control_plane import manifest_builder as build

WORLD = (
    gw.gateway(gw.listener("web", 80), gw.https("secure", 443)),
    gw.secret("cert", "a.example"),
    gw.secret("unused", "b.example"),
    *gw.app("app", 8080),
    gw.route("app", build.rule(build.backend("app"))),
)


def test_a_pod_of_the_gateway_gets_its_listeners_and_the_secrets_they_need() -> None:
    found = gw.snapshot_of(gw.index_of(*WORLD))
    assert set(found.of_type(LISTENER_TYPE)) == {"edge/gw/80", "edge/gw/443"}
    assert set(found.of_type(SECRET_TYPE)) == {"kubernetes://edge/cert"}
    assert set(found.of_type(ROUTE_TYPE)) == {"edge/gw/http-80", "edge/gw/secure"}


@pytest.mark.parametrize(
    "node",
    [
        Node(ObjectName("edge", "gw-1"), Client("edge")),  # a sidecar, also of that pod
        Node(ObjectName("edge", "other"), Client("edge"), is_gateway=True),  # no label
        Node(ObjectName("shop", "gw-2"), Client("shop"), is_gateway=True),  # the label, in another namespace
        Node(ObjectName("edge", "nobody"), Client("edge"), is_gateway=True),  # no Pod
    ],
)
def test_nobody_else_gets_a_secret_or_a_listener_of_it(node: Node) -> None:
    label = {"gateway.networking.k8s.io/gateway-name": "gw"}
    other = build.pod("other", namespace="edge", ip="10.244.0.10")
    elsewhere = build.pod("gw-2", namespace="shop", ip="10.244.0.11", labels=label)
    found = gw.snapshot_of(gw.index_of(*WORLD, other, elsewhere), node)
    assert not found.of_type(SECRET_TYPE)
    assert not [name for name in found.of_type(LISTENER_TYPE) if name.startswith("edge/gw/")]


def test_a_stream_without_authentication_is_told_no_secret() -> None:
    snapshot = gw.snapshot_of(gw.index_of(*WORLD))
    request = DiscoveryRequest(type_url=SECRET_TYPE, resource_names=["kubernetes://edge/cert"])
    for withheld, answers in ((frozenset({SECRET_TYPE}), 0), (frozenset(), 1)):
        state = StreamState(nonce_prefix="n", withheld=withheld)
        state.on_snapshot(snapshot, 0.0)
        assert len(state.on_request(request, 0.0)) == answers


def test_a_router_is_a_gateway() -> None:
    node = parse_node("router~10.244.0.9~gw-1.edge~edge.svc.cluster.local", {"GENERATOR": "meshproxy"})
    assert node == gw.NODE


LABELS = st.sampled_from(["a", "b"])
HOSTS = st.lists(LABELS, min_size=1, max_size=3).map(lambda labels: ".".join([*labels, "test"]))
HOSTNAMES = st.one_of(st.just(""), HOSTS, HOSTS.map(lambda host: f"*.{host}"))


def takes(hostname: str, host: str) -> bool:
    if not hostname:
        return True
    return host.endswith(hostname[1:]) if hostname.startswith("*.") else host == hostname


def precision(hostname: str) -> tuple[bool, int]:
    return bool(hostname) and not hostname.startswith("*."), len(hostname)


@given(st.lists(HOSTNAMES, min_size=1, max_size=5, unique=True), HOSTS)
def test_a_host_is_served_by_the_most_precise_listener_that_takes_it_and_no_other(
    hostnames: list[str], host: str
) -> None:
    listeners = [gw.listener(f"l{number}", 80, hostname=name) for number, name in enumerate(hostnames)]
    routes = [
        gw.route(
            f"r{number}",
            build.rule(build.backend("app"), paths=[("PathPrefix", f"/l{number}")]),
            section=f"l{number}",
        )
        for number in range(len(hostnames))
    ]
    snapshot = gw.snapshot_of(gw.index_of(gw.gateway(*listeners), *gw.app("app", 8080), *routes))
    [resource] = snapshot.of_type(ROUTE_TYPE).values()
    assert RouteConfiguration.FromString(resource.body.value).virtual_hosts
    table = CompiledRouteTable(accept(ROUTE_TYPE, [resource.body])[resource.name].value)  # type: ignore[arg-type]
    served = [number for number in range(len(hostnames)) if _matches(table, host, f"/l{number}")]
    taking = [number for number, name in enumerate(hostnames) if takes(name, host)]
    assert served == sorted(taking, key=lambda number: precision(hostnames[number]), reverse=True)[:1]


def _matches(table: CompiledRouteTable, host: str, path: str) -> bool:
    data = f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
    [request] = strict_codec(HeadLimits()).request_reader().receive(data)
    assert isinstance(request, Request)
    return table.match(request.head) is not None
