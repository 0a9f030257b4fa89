"""HTTP/2 ports, and GRPCRoutes on them, as xDS."""

import pytest

from control_plane.api.envoy.config.cluster.v3.cluster_pb2 import Cluster
from control_plane.api.envoy.config.route.v3.route_components_pb2 import Route, RouteAction
from control_plane.api.envoy.extensions.filters.http.fault.v3.fault_pb2 import HTTPFault
from control_plane.api.envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2 as hcm,
)
from control_plane.api.envoy.extensions.transport_sockets.tls.v3.tls_pb2 import (
    DownstreamTlsContext,
    UpstreamTlsContext,
)
from control_plane.api.envoy.extensions.upstreams.http.v3.http_protocol_options_pb2 import HttpProtocolOptions
from control_plane.index import Index
from control_plane.resources.manifest import Manifest
from control_plane.snapshot import Snapshot
from control_plane.translate.call_time import bound_streams, heed_calls
from control_plane.translate.settings import Node
from tests import gateway_mesh as gw
from tests.unit.control_plane import manifest_builder as build
from tests.unit.control_plane.translate import mesh

GRPC = [{"name": "grpc", "port": 8080}]
V1 = build.service("v1", *GRPC, vip="10.96.0.11")
PLAIN = build.service("plain", vip="10.96.0.12")


def shop(*more: Manifest) -> Index:
    """`catalog`, whose port speaks gRPC, with one meshed pod, and what is added."""
    index = Index()
    for manifest in (
        build.service("catalog", *GRPC),
        build.pod("catalog-1", app="catalog"),
        build.endpoint_slice("catalog", build.endpoint("10.244.0.7", "catalog-1"), ports=[("grpc", 8080)]),
        V1,
        *more,
    ):
        index.apply(manifest)
    return index


def routes(*more: Manifest, node: Node = mesh.WEB) -> list[Route]:
    return list(mesh.virtual_host(mesh.translate(shop(*more), node), "catalog.shop").routes)


def options(cluster: Cluster) -> HttpProtocolOptions:
    found = HttpProtocolOptions()
    cluster.typed_extension_protocol_options[HttpProtocolOptions.DESCRIPTOR.full_name].Unpack(found)
    return found


def is_http2(cluster: Cluster) -> bool:
    return options(cluster).explicit_http_config.HasField("http2_protocol_options")


def alpn(cluster: Cluster) -> list[str]:
    context = UpstreamTlsContext()
    cluster.transport_socket_matches[0].transport_socket.typed_config.Unpack(context)
    return list(context.common_tls_context.alpn_protocols)


def inbound(
    snapshot: Snapshot,
) -> dict[str, tuple[list[str], list[str], hcm.HttpConnectionManager.CodecType]]:
    """Chain -> (ALPN it matches, ALPN it offers, codec) of mesh TLS."""
    found = {}
    for chain in mesh.listener(snapshot, "virtualInbound").filter_chains:
        manager, context = hcm.HttpConnectionManager(), DownstreamTlsContext()
        if "mtls-http" not in chain.name:
            continue
        chain.filters[0].typed_config.Unpack(manager)
        chain.transport_socket.typed_config.Unpack(context)
        offered = list(context.common_tls_context.alpn_protocols)
        matched = list(chain.filter_chain_match.application_protocols)
        found[chain.name] = (matched, offered, manager.codec_type)
    return found


def test_both_sides_speak_http2_to_a_port_that_declares_it() -> None:
    snapshot = mesh.translate(shop(), mesh.CATALOG)
    out = mesh.cluster(snapshot, "outbound|8080||catalog.shop.svc.cluster.local")
    assert (is_http2(out), alpn(out)) == (True, ["istio-h2"])
    assert is_http2(mesh.cluster(snapshot, "inbound|8080||"))


def test_a_policy_keeps_the_protocol() -> None:
    policy: Manifest = {
        "apiVersion": "meshproxy.io/v1alpha1",
        "kind": "TrafficPolicy",
        "metadata": build.meta("p"),
        "spec": {
            "targetRefs": [{"group": "", "kind": "Service", "name": "catalog"}],
            "limits": {"maxRequestsPerConnection": 7},
        },
    }
    snapshot = mesh.translate(shop(policy), mesh.WEB)
    out = mesh.cluster(snapshot, "outbound|8080||catalog.shop.svc.cluster.local")
    assert is_http2(out)
    assert options(out).common_http_protocol_options.max_requests_per_connection.value == 7


def test_our_inbound_chain_takes_both_versions_envoy_has_one_for_each() -> None:
    offered = ["istio-h2", "istio-http/1.1", "istio"]
    auto, http2 = hcm.HttpConnectionManager.AUTO, hcm.HttpConnectionManager.HTTP2
    ours = inbound(mesh.translate(shop(), mesh.CATALOG))
    assert ours["8080-mtls-http"] == (["istio-h2", "istio-http/1.1"], offered, auto)
    assert "8080-mtls-http2" not in ours
    envoy = inbound(mesh.translate(shop(), mesh.ENVOY))
    assert envoy["catch-all-mtls-http"] == (["istio-http/1.1"], offered, auto)
    assert envoy["catch-all-mtls-http2"] == (["istio-h2"], offered, http2)


def test_streams_have_no_deadline_but_their_own() -> None:
    (route,) = routes()
    assert (route.route.timeout.seconds, route.route.HasField("timeout")) == (0, True)
    limit = route.route.max_stream_duration
    assert (limit.grpc_timeout_header_max.seconds, limit.HasField("grpc_timeout_header_max")) == (0, True)
    assert not limit.HasField("max_stream_duration")


@pytest.mark.parametrize(("longest", "limit"), [(3, 3), (0, None)])
def test_envoy_limits_streams_where_it_would_not_look_at_a_timeout(longest: int, limit: int | None) -> None:
    action = RouteAction()
    bound_streams(action)
    assert not action.HasField("max_stream_duration")
    heed_calls(action)
    action.max_stream_duration.max_stream_duration.seconds = 9  # of a rule that a policy overrides
    action.timeout.seconds = longest
    bound_streams(action)
    found = action.max_stream_duration
    assert found.grpc_timeout_header_max.seconds == longest
    assert (found.max_stream_duration.seconds if found.HasField("max_stream_duration") else None) == limit


@pytest.mark.parametrize(
    ("method", "kind", "value"),
    [
        ({"service": "a.B", "method": "C"}, "path", "/a.B/C"),
        ({"service": "a.B"}, "path_separated_prefix", "/a.B"),
        ({"method": "C"}, "safe_regex", "/[^/]+/C"),
        ({"type": "RegularExpression", "service": "a|b"}, "safe_regex", "/(?:a|b)/[^/]+"),
        ({"type": "RegularExpression", "service": "a", "method": "b"}, "safe_regex", "/(?:a)/(?:b)"),
    ],
)
def test_calls_are_matched_by_path(method: Manifest, kind: str, value: str) -> None:
    (route,) = routes(build.grpc_route("r", build.call_rule(build.backend("v1"), methods=[method])))
    found = getattr(route.match, kind)
    assert (found.regex if kind == "safe_regex" else found) == value
    assert route.name == "shop/r/0/0"
    assert route.route.timeout.seconds == 0


def test_longer_services_then_methods_then_headers_come_first() -> None:
    backend = build.backend("v1")
    header = {"headers": [{"name": "X-A", "value": "1"}]}
    rules = [
        build.call_rule(backend),
        build.call_rule(backend, methods=[{"method": "LongMethodName"}]),
        build.call_rule(backend, methods=[{"type": "RegularExpression", "service": "very.long.*"}]),
        build.call_rule(backend, methods=[{"service": "a.B"}]),
        build.call_rule(backend, methods=[{"service": "a.B", "method": "C"}]),
        {"matches": [{"method": {"service": "a.B", "method": "C"}, **header}], "backendRefs": [backend]},
        build.call_rule(backend, methods=[{"service": "a.B", "method": "Cc"}]),
        build.call_rule(backend, methods=[{"service": "long.Service"}]),
    ]
    found = [route.name.split("/")[2] for route in routes(build.grpc_route("r", *rules))]
    assert found == ["7", "6", "5", "4", "3", "2", "1", "0"]


def test_what_cannot_be_called_is_unavailable() -> None:
    split = build.call_rule(build.backend("v1", weight=3), build.backend("plain"), build.backend("gone"))
    nobody = build.call_rule(build.backend("plain"), methods=[{"service": "a"}])
    first, second = routes(PLAIN, build.grpc_route("r", split, nobody))
    assert first.direct_response.status == 503
    shares = [share.name for share in second.route.weighted_clusters.clusters]
    assert shares == [
        "outbound|8080||v1.shop.svc.cluster.local",
        "missing|8080||plain.shop.svc.cluster.local",
        "missing|8080||gone.shop.svc.cluster.local",
    ]
    assert second.route.cluster_not_found_response_code == RouteAction.SERVICE_UNAVAILABLE


def test_filters_of_calls() -> None:
    change = {"set": [{"name": "X-A", "value": "1"}], "remove": ["X-B"]}
    rule = build.call_rule(
        build.backend("v1"),
        filters=[
            {"type": "RequestHeaderModifier", "requestHeaderModifier": change},
            {"type": "ResponseHeaderModifier", "responseHeaderModifier": {"add": change["set"]}},
            {"type": "RequestMirror", "requestMirror": {"backendRef": build.backend("catalog")}},
        ],
    )
    (route,) = routes(build.grpc_route("r", rule))
    assert [one.header.key for one in route.request_headers_to_add] == ["x-a"]
    assert list(route.request_headers_to_remove) == ["x-b"]
    assert [one.header.key for one in route.response_headers_to_add] == ["x-a"]
    (mirror,) = route.route.request_mirror_policies
    assert mirror.cluster == "outbound|8080||catalog.shop.svc.cluster.local"


def test_grpc_routes_go_before_http_routes_of_a_service() -> None:
    http = build.route("old", build.rule(build.backend("v1")))
    call = build.grpc_route("new", build.call_rule(build.backend("v1")), created=build.LATE)
    assert [route.name for route in routes(http, call)] == ["shop/new/0/0"]


def test_a_route_without_rules_matches_nothing() -> None:
    assert routes(build.grpc_route("r")) == []


def test_a_policy_names_the_kind_of_its_route() -> None:
    rule = build.call_rule(build.backend("v1"))
    policy: Manifest = {
        "apiVersion": "meshproxy.io/v1alpha1",
        "kind": "TrafficPolicy",
        "metadata": build.meta("p"),
        "spec": {
            "targetRefs": [{"group": "gateway.networking.k8s.io", "kind": "GRPCRoute", "name": "r"}],
            "timeouts": {"request": "3s"},
        },
    }
    (route,) = routes(build.grpc_route("r", rule), policy)
    assert route.route.timeout.seconds == 3


def test_a_gateway_is_given_calls_of_its_hosts_and_offers_http2() -> None:
    parents: list[Manifest] = [{"name": "gw", "namespace": "edge"}]
    rule = build.call_rule(build.backend("v1"), methods=[{"service": "a.B", "method": "C"}])
    call = build.grpc_route("r", rule, parents=parents, hostnames=["a.example"])
    grant = build.reference_grant("g", namespace="shop", from_namespace="shop", from_kind="GRPCRoute")
    index = gw.index_of(gw.gateway(gw.https("secure", 443)), gw.secret("cert", "a.example"), V1, grant, call)
    config = gw.accepted(gw.snapshot_of(index))
    assert config.clusters["outbound|8080||v1.shop.svc.cluster.local"].http2
    (host, route) = next(
        (host, host.routes[0]) for host in config.routes["edge/gw/secure"].virtual_hosts if host.routes
    )
    assert host.domains == ("a.example",)
    assert route.match.path.value == "/a.B/C"
    (chain,) = config.listeners["edge/gw/443"].filter_chains
    assert chain.tls is not None
    assert chain.tls.alpn_protocols == ("h2", "http/1.1")


def traffic_policy(kind: str = "TrafficPolicy", service: str = "catalog", **spec: object) -> Manifest:
    return {
        "apiVersion": "meshproxy.io/v1alpha1",
        "kind": kind,
        "metadata": build.meta("p"),
        "spec": {"targetRefs": [{"group": "", "kind": "Service", "name": service}], **spec},
    }


def test_retries_on_statuses_of_calls() -> None:
    wanted = ["cancelled", "deadline-exceeded", "internal", "resource-exhausted", "unavailable"]
    (route,) = routes(traffic_policy(retry={"retryOn": wanted}))
    assert route.route.retry_policy.retry_on == ",".join(wanted)


def test_an_abort_by_status_of_a_call() -> None:
    (route,) = routes(traffic_policy("FaultPolicy", abort={"grpcStatus": 14}))
    fault = HTTPFault()
    route.typed_per_filter_config["envoy.filters.http.fault"].Unpack(fault)
    assert (fault.abort.WhichOneof("error_type"), fault.abort.grpc_status) == ("grpc_status", 14)


def test_health_checks_by_call_are_for_http2_only() -> None:
    check: Manifest = {"grpc": {"service": "shop.Catalog"}}
    snapshot = mesh.translate(shop(traffic_policy(healthCheck=check)))
    (found,) = mesh.cluster(snapshot, "outbound|8080||catalog.shop.svc.cluster.local").health_checks
    assert found.grpc_health_check.service_name == "shop.Catalog"
    assert found.grpc_health_check.authority == "catalog.shop.svc.cluster.local"
    plain = mesh.translate(shop(PLAIN, traffic_policy(service="plain", healthCheck=check)))
    assert not mesh.cluster(plain, "outbound|8080||plain.shop.svc.cluster.local").health_checks


def test_an_http2_port_takes_http1_too_and_a_headless_service_has_no_opaque_twin() -> None:
    headless = build.service("pods", *GRPC, vip="None")
    slices = build.endpoint_slice("pods", build.endpoint("10.244.0.9", "catalog-1"), ports=[("grpc", 8080)])
    snapshot = mesh.translate(shop(headless, slices))
    assert mesh.listener(snapshot, "0.0.0.0_8080").filter_chains[0].name == "http"
    assert mesh.listener(snapshot, "10.244.0.9_8080").filter_chains[0].name == "http"
    assert is_http2(mesh.cluster(snapshot, "outbound|8080||pods.shop.svc.cluster.local"))
