"""RouteConfiguration -> route tables of the model."""

from collections.abc import Callable

import pytest

from control_plane.api.envoy.config.route.v3.route_components_pb2 import Route as ProtoRoute
from control_plane.api.envoy.config.route.v3.route_components_pb2 import RouteAction as ProtoAction
from control_plane.api.envoy.config.route.v3.route_pb2 import RouteConfiguration
from control_plane.api.envoy.extensions.filters.http.router.v3.router_pb2 import Router
from control_plane.api.envoy.extensions.retry.host.previous_hosts.v3.previous_hosts_pb2 import (
    PreviousHostsPredicate,
)
from meshproxy.config.retry import RetrySettings
from meshproxy.config.route import DirectResponse, Route, RouteAction, WeightedCluster
from meshproxy.config.route_match import EVERY_PATH, PathMatch, PathMatchKind
from meshproxy.errors import ConfigError
from meshproxy.xds.routes import translate_routes
from tests.unit.meshproxy.xds import xds_message as message

Change = Callable[[ProtoRoute], None]


def table(change: Change) -> RouteConfiguration:
    made = message.routes("80", "catalog")
    change(made.virtual_hosts[0].routes[0])
    return made


def route(change: Change) -> Route:
    return translate_routes(table(change), "r").virtual_hosts[0].routes[0]


def action(change: Callable[[ProtoAction], None]) -> RouteAction:
    found = route(lambda made: change(made.route)).action
    assert isinstance(found, RouteAction)
    return found


def match(**fields: str) -> PathMatch:
    def change(made: ProtoRoute) -> None:
        for field, value in fields.items():
            if field == "safe_regex":
                made.match.safe_regex.regex = value
            else:
                setattr(made.match, field, value)

    return route(change).match.path


def test_a_table_with_its_hosts() -> None:
    made = message.routes("80", "catalog")
    made.virtual_hosts[0].domains.append("Catalog.Shop")
    made.ignore_port_in_host_matching = True
    translated = translate_routes(made, "r")
    assert (translated.name, translated.ignore_port_in_host_matching) == ("80", True)
    [host] = translated.virtual_hosts
    assert (host.name, host.domains) == ("catalog", ("catalog", "catalog.shop"))
    assert host.routes[0] == Route("", EVERY_PATH, RouteAction((WeightedCluster("catalog", 1),)))


def test_path_matches() -> None:
    assert match(path="/a") == PathMatch(PathMatchKind.EXACT, "/a")
    assert match(prefix="/a") == PathMatch(PathMatchKind.PREFIX, "/a")
    assert match(path_separated_prefix="/a") == PathMatch(PathMatchKind.PATH_SEPARATED_PREFIX, "/a")
    assert match(safe_regex="/a+") == PathMatch(PathMatchKind.REGEX, "/a+")


def test_a_weighted_split() -> None:
    def change(made: ProtoAction) -> None:
        for name, weight in (("v1", 90), ("v2", 10), ("v3", 0)):
            made.weighted_clusters.clusters.add(name=name).weight.value = weight
        made.cluster_not_found_response_code = ProtoAction.INTERNAL_SERVER_ERROR

    split = action(change)
    assert split.clusters == (WeightedCluster("v1", 90), WeightedCluster("v2", 10), WeightedCluster("v3", 0))
    assert split.cluster_not_found_status == 500


def test_timeouts() -> None:
    assert action(lambda made: None).timeout == 15.0
    assert action(lambda made: made.timeout.SetInParent()).timeout == 0.0


def test_retries() -> None:
    def change(made: ProtoAction) -> None:
        made.retry_policy.retry_on = "connect-failure, reset"
        made.retry_policy.num_retries.value = 2
        made.retry_policy.retry_back_off.base_interval.nanos = 50_000_000
        made.retry_policy.host_selection_retry_max_attempts = 5
        previous = made.retry_policy.retry_host_predicate.add(name="previous")
        previous.typed_config.Pack(PreviousHostsPredicate())

    assert action(change).retry == RetrySettings(frozenset({"connect-failure", "reset"}), 2, 0.05, 0.5)
    defaults = action(lambda made: made.retry_policy.SetInParent()).retry
    assert defaults == RetrySettings(frozenset(), 1, 0.025, 0.25)


def test_a_longest_interval_of_its_own() -> None:
    def change(made: ProtoAction) -> None:
        made.retry_policy.retry_back_off.base_interval.seconds = 1
        made.retry_policy.retry_back_off.max_interval.seconds = 3

    retry = action(change).retry
    assert retry is not None
    assert (retry.base_interval, retry.max_interval) == (1.0, 3.0)


def test_direct_responses() -> None:
    def text(made: ProtoRoute) -> None:
        made.direct_response.status = 404
        made.direct_response.body.inline_string = "none"

    def empty(made: ProtoRoute) -> None:
        made.direct_response.status = 502

    assert route(text).action == DirectResponse(404, b"none")
    assert route(empty).action == DirectResponse(502)


def _field(path: str, value: object) -> Change:
    """Set a scalar field of the route by its dotted path."""

    def change(made: ProtoRoute) -> None:
        *parents, last = path.split(".")
        target: object = made
        for parent in parents:
            target = getattr(target, parent)
        setattr(target, last, value)

    return change


def _weightless(made: ProtoRoute) -> None:
    made.route.weighted_clusters.clusters.add(name="v1").weight.value = 0


def _too_heavy(made: ProtoRoute) -> None:
    for name in ("v1", "v2"):
        made.route.weighted_clusters.clusters.add(name=name).weight.value = (1 << 32) - 1


def _nameless(made: ProtoRoute) -> None:
    made.route.weighted_clusters.clusters.add(name="").weight.value = 1


def _other_predicate(made: ProtoRoute) -> None:
    made.route.retry_policy.retry_host_predicate.add(name="x").typed_config.Pack(Router())


def _shrinking(made: ProtoRoute) -> None:
    made.route.retry_policy.retry_back_off.base_interval.seconds = 2
    made.route.retry_policy.retry_back_off.max_interval.seconds = 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_field("match.path", "a"), ".match.path: 'a' does not start with /"),
        (_field("match.path_separated_prefix", "/a?b"), "path_separated_prefix: '/a?b' has ? or #"),
        (_field("match.safe_regex.regex", "("), "routes[0] '': regular expression '('"),
        (lambda made: made.match.Clear(), ".match: one of path, prefix, path_separated_prefix"),
        (lambda made: made.ClearField("route"), "an action is needed: route, redirect or direct_response"),
        (lambda made: made.route.ClearField("cluster"), ".route: cluster or weighted_clusters is needed"),
        (_field("route.cluster", ""), ".route.cluster[0].name: must not be empty"),
        (_weightless, "weighted_clusters.clusters: the weights add up to 0"),
        (_too_heavy, "weighted_clusters.clusters: the weights add up to more than 2^32-1"),
        (_nameless, "weighted_clusters.clusters[0].name: must not be empty"),
        (
            _field("route.retry_policy.retry_on", "http3-post-connect-failure,reset"),
            "retry_policy.retry_on: http3-post-connect-failure is not supported",
        ),
        (_other_predicate, "retry_host_predicate[0]: extension"),
        (_shrinking, "retry_back_off.max_interval: must not be below base_interval"),
        (
            _field("route.retry_policy.retry_back_off.max_interval.seconds", 1),
            "base_interval: must be above 0",
        ),
        (_field("route.timeout.seconds", -1), ".route.timeout: -1.0 s is negative"),
        (_field("direct_response.status", 99), ".direct_response.status: 99 is not from 200 to 599"),
    ],
)
def test_refused(change: Change, message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        route(change)
    assert message in str(refused.value)


def test_hosts_without_name_or_domain_and_domains_claimed_twice_are_refused() -> None:
    made = message.routes("80", "catalog")
    made.virtual_hosts[0].name = ""
    with pytest.raises(ConfigError, match=r"virtual_hosts\[0\].name: must not be empty"):
        translate_routes(made, "r")
    made = message.routes("80", "catalog")
    del made.virtual_hosts[0].domains[:]
    with pytest.raises(ConfigError, match=r"virtual_hosts\[0\].domains: at least one is needed"):
        translate_routes(made, "r")
    made = message.routes("80", "catalog", "web")
    made.virtual_hosts[1].domains[0] = "CATALOG"
    with pytest.raises(ConfigError, match="catalog"):
        translate_routes(made, "r")


def test_whether_destinations_count_is_said_by_metadata() -> None:
    made = message.routes("80", "catalog")
    assert not translate_routes(made, "r").by_destination
    made.metadata.filter_metadata["meshproxy.io"].update({"by_destination": "true"})
    assert translate_routes(made, "r").by_destination
    for other in ({"by_destination": "maybe"}, {"by_source": "true"}):
        made.metadata.filter_metadata["meshproxy.io"].Clear()
        made.metadata.filter_metadata["meshproxy.io"].update(other)
        with pytest.raises(ConfigError, match=r"r.metadata.filter_metadata: only"):
            translate_routes(made, "r")
