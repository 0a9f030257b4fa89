"""HTTPRoutes as RouteConfigurations, in Gateway API's order."""

import pytest

from control_plane.api.envoy.config.route.v3.route_components_pb2 import Route, RouteAction
from control_plane.index import Index
from control_plane.resources.manifest import Manifest
from control_plane.translate.settings import Node
from tests.unit.control_plane import manifest_builder as build
from tests.unit.control_plane.translate import mesh

V1 = build.service("v1", vip="10.96.0.11")
V2 = build.service("v2", vip="10.96.0.12")


def _routes(index: Index, node: Node = mesh.WEB, port: int = 8080) -> list[Route]:
    host = mesh.virtual_host(mesh.translate(index, node), "catalog.shop", port)
    return list(host.routes)


def _path(route: Route) -> tuple[str, str]:
    kind = route.match.WhichOneof("path_specifier")
    assert kind is not None
    return kind, getattr(route.match, kind)


def _shares(route: Route) -> list[tuple[str, int]]:
    return [(share.name, share.weight.value) for share in route.route.weighted_clusters.clusters]


def test_a_service_without_routes_gets_everything() -> None:
    (route,) = _routes(mesh.shop())
    assert _path(route) == ("prefix", "/")
    assert route.route.cluster == "outbound|8080||catalog.shop.svc.cluster.local"
    assert route.route.timeout.seconds == 15


def test_weights_are_kept_also_zero() -> None:
    split = build.rule(build.backend("v1", weight=90), build.backend("v2", weight=0))
    (route,) = _routes(mesh.shop(V1, V2, build.route("split", split)))
    assert route.name == "shop/split/0/0"
    assert _shares(route) == [
        ("outbound|8080||v1.shop.svc.cluster.local", 90),
        ("outbound|8080||v2.shop.svc.cluster.local", 0),
    ]


def test_a_missing_backend_keeps_its_share_and_answers_500() -> None:
    split = build.rule(build.backend("v1", weight=90), build.backend("gone", weight=10))
    (route,) = _routes(mesh.shop(V1, build.route("split", split)))
    assert _shares(route)[1] == ("missing|8080||gone.shop.svc.cluster.local", 10)
    assert route.route.cluster_not_found_response_code == RouteAction.INTERNAL_SERVER_ERROR


def test_a_backend_port_that_does_not_exist_is_missing() -> None:
    split = build.rule(build.backend("v1"), build.backend("v1", port=1))
    (route,) = _routes(mesh.shop(V1, build.route("split", split)))
    assert _shares(route)[1] == ("missing|1||v1.shop.svc.cluster.local", 1)


@pytest.mark.parametrize(
    "rule",
    [
        build.rule(build.backend("gone")),
        build.rule(build.backend("v1", weight=0)),
        build.rule(),
        build.rule(build.backend("gone", weight=5), build.backend("v1", weight=0)),
    ],
)
def test_a_rule_with_nothing_to_send_to_answers_500(rule: Manifest) -> None:
    (route,) = _routes(mesh.shop(V1, build.route("split", rule)))
    assert route.direct_response.status == 500


def test_paths_that_no_rule_matches_have_no_route_so_that_they_answer_404() -> None:
    only = build.rule(build.backend("v1"), paths=[("Exact", "/only")])
    (route,) = _routes(mesh.shop(V1, build.route("r", only)))
    assert _path(route) == ("path", "/only")


def test_prefixes_are_of_whole_elements_and_a_trailing_slash_means_the_same() -> None:
    paths = [("PathPrefix", "/a/"), ("PathPrefix", "/b"), ("PathPrefix", "/")]
    routes = _routes(mesh.shop(V1, build.route("r", build.rule(build.backend("v1"), paths=paths))))
    assert [_path(route) for route in routes] == [
        ("path_separated_prefix", "/a"),
        ("path_separated_prefix", "/b"),
        ("prefix", "/"),
    ]


def test_exact_before_prefix_and_longer_prefixes_first() -> None:
    rules = [
        build.rule(build.backend("v1"), paths=[("PathPrefix", "/")]),
        build.rule(build.backend("v1"), paths=[("PathPrefix", "/a/b")]),
        build.rule(build.backend("v1"), paths=[("PathPrefix", "/a"), ("Exact", "/z")]),
    ]
    routes = _routes(mesh.shop(V1, build.route("r", *rules)))
    assert [_path(route)[1] for route in routes] == ["/z", "/a/b", "/a", "/"]


def test_between_equal_matches_the_older_route_then_the_name_then_the_rule() -> None:
    rule = build.rule(build.backend("v1"))
    index = mesh.shop(
        V1,
        build.route("b", rule, rule),
        build.route("a", rule),
        build.route("newest", rule, created=build.LATE),
        build.route("0-but-late", rule, created=build.LATE),
    )
    assert [route.name for route in _routes(index)] == [
        "shop/a/0/0",
        "shop/b/0/0",
        "shop/b/1/0",
        "shop/0-but-late/0/0",
        "shop/newest/0/0",
    ]


def test_a_route_for_one_port_leaves_the_others_alone() -> None:
    index = mesh.shop(V1, build.route("r", build.rule(build.backend("v1")), port=9000))
    assert _routes(index)[0].name == "default"
    assert _routes(index, port=9000)[0].name == "shop/r/0/0"


def test_producer_routes_hold_everywhere_and_consumer_routes_replace_them_at_home() -> None:
    rule = build.rule(build.backend("v1", namespace="shop"))
    consumer = build.route("mine", rule, namespace="other", parent_namespace="shop")
    index = mesh.shop(V1, consumer)
    assert [route.name for route in _routes(index, mesh.WEB)] == ["default"]
    assert [route.name for route in _routes(index, mesh.ELSEWHERE)] == ["other/mine/0/0"]
    index.apply(build.route("everyones", rule))
    assert [route.name for route in _routes(index, mesh.WEB)] == ["shop/everyones/0/0"]
    assert [route.name for route in _routes(index, mesh.ELSEWHERE)] == ["other/mine/0/0"]
    index.delete("HTTPRoute", "other", "mine")
    assert [route.name for route in _routes(index, mesh.ELSEWHERE)] == ["shop/everyones/0/0"]


def test_a_backend_that_appears_or_goes_changes_the_routes() -> None:
    index = mesh.shop(build.route("r", build.rule(build.backend("v1"))))
    translator = mesh.Translator(index.registry, mesh.STRICT)

    def only() -> Route:
        return mesh.virtual_host(translator.snapshot(mesh.WEB), "catalog.shop").routes[0]

    assert only().direct_response.status == 500
    index.apply(V1)
    assert _shares(only())[0][0] == "outbound|8080||v1.shop.svc.cluster.local"
    index.delete("Service", "shop", "v1")
    assert only().direct_response.status == 500


def test_retries_go_to_another_endpoint_and_envoy_never_repeats_a_post() -> None:
    policy = _routes(mesh.shop())[0].route.retry_policy
    assert policy.retry_on == "connect-failure,refused-stream,reset"
    assert policy.num_retries.value == 2
    assert [one.name for one in policy.retry_host_predicate] == ["envoy.retry_host_predicates.previous_hosts"]
    envoys = _routes(mesh.shop(), mesh.ENVOY)[0].route.retry_policy
    assert envoys.retry_on == "connect-failure,refused-stream,reset-before-request"


def test_hosts_that_no_service_stands_for_pass_or_are_refused() -> None:
    index = mesh.shop()
    allowed = mesh.virtual_host(mesh.translate(index), "*")
    assert (allowed.name, allowed.routes[0].route.cluster) == ("allow_any", "PassthroughCluster")
    assert allowed.routes[0].route.HasField("timeout")
    blocked = mesh.virtual_host(mesh.translate(index, settings=mesh.REGISTRY_ONLY), "*")
    assert (blocked.name, blocked.routes[0].direct_response.status) == ("block_all", 502)


def test_the_short_name_belongs_to_the_clients_namespace() -> None:
    index = mesh.shop(build.service("catalog", namespace="other", vip="10.96.0.99"))
    at_home = mesh.virtual_host(mesh.translate(index, mesh.WEB), "catalog")
    elsewhere = mesh.virtual_host(mesh.translate(index, mesh.ELSEWHERE), "catalog:8080")
    assert at_home.name == "catalog.shop.svc.cluster.local:8080"
    assert elsewhere.name == "catalog.other.svc.cluster.local:8080"
