"""What policies change in the xDS of a small mesh, setting by setting."""

from typing import cast

import pytest
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

from control_plane.api.envoy.config.cluster.v3.cluster_pb2 import Cluster
from control_plane.api.envoy.config.route.v3.route_components_pb2 import Route
from control_plane.api.envoy.extensions.transport_sockets.tls.v3.tls_pb2 import UpstreamTlsContext
from control_plane.api.envoy.extensions.upstreams.http.v3.http_protocol_options_pb2 import HttpProtocolOptions
from control_plane.resources.manifest import Manifest
from control_plane.translate.settings import Node
from tests.unit.control_plane import manifest_builder as build
from tests.unit.control_plane.translate import mesh
from tests.unit.control_plane.translate.test_service_entry import entry

HTTP = "outbound|8080||catalog.shop.svc.cluster.local"
TCP = "outbound|7000||catalog.shop.svc.cluster.local"
SERVICE: Manifest = {"group": "", "kind": "Service", "name": "catalog"}
ROUTE: Manifest = {"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "name": "split"}
Tree = dict[str, object]


def policy(kind: str, name: str, *refs: Manifest, created: str = build.EARLY, **spec: object) -> Manifest:
    return {
        "apiVersion": "meshproxy.io/v1alpha1",
        "kind": kind,
        "metadata": build.meta(name, created=created),
        "spec": {"targetRefs": list(refs) or [SERVICE], **spec},
    }


def tree(message: Message) -> Tree:
    return MessageToDict(message, preserving_proto_field_name=True)


def cluster(*manifests: Manifest, name: str = HTTP, node: Node = mesh.WEB) -> Cluster:
    return mesh.cluster(mesh.translate(mesh.shop(*manifests), node), name)


def traffic_cluster(node: Node = mesh.WEB, name: str = HTTP, **spec: object) -> Tree:
    return tree(cluster(policy("TrafficPolicy", "one", **spec), name=name, node=node))


def routes(*manifests: Manifest, node: Node = mesh.WEB, host: str = "catalog.shop") -> list[Route]:
    snapshot = mesh.translate(mesh.shop(*manifests), node)
    return list(mesh.virtual_host(snapshot, host).routes)


def action(*manifests: Manifest, node: Node = mesh.WEB) -> Tree:
    return tree(routes(*manifests, node=node)[0].route)


def at(found: Tree, path: str) -> object:
    """`a.b` of a tree; a number picks from a list."""
    value: object = found
    for part in path.split("."):
        value = cast(list[object], value)[int(part)] if part.isdecimal() else cast(Tree, value)[part]
    return value


CLUSTER_SETTINGS: list[tuple[Tree, str, object]] = [
    ({"timeouts": {"connect": "250ms"}}, "connect_timeout", "0.250s"),
    ({"limits": {"maxConnections": 5}}, "circuit_breakers.thresholds.0.max_connections", 5),
    ({"limits": {"maxPendingRequests": 0}}, "circuit_breakers.thresholds.0.max_pending_requests", 0),
    ({"limits": {"maxRequests": 6}}, "circuit_breakers.thresholds.0.max_requests", 6),
    ({"limits": {"maxRetries": 7}}, "circuit_breakers.thresholds.0.max_retries", 7),
    (
        {"retry": {"budget": {"percent": 25, "minPerSecond": 20}}},
        "circuit_breakers.thresholds.0.retry_budget",
        {"budget_percent": {"value": 25.0}, "min_retry_concurrency": 6},
    ),
    (
        {"retry": {"budget": {}}},
        "metadata.filter_metadata.meshproxy.io/retry_budget",
        {"min_per_second": 10.0},
    ),
    (
        {"circuitBreaker": {"failureThreshold": 3, "baseOpen": "500ms", "maxOpen": "1m", "jitter": 25}},
        "metadata.filter_metadata.meshproxy.io/circuit_breaker",
        {"failure_threshold": 3.0, "base_open": 0.5, "max_open": 60.0, "jitter": 0.25},
    ),
    ({"outlierDetection": {"interval": "2s"}}, "outlier_detection.interval", "2s"),
    ({"outlierDetection": {"consecutive5xx": 2}}, "outlier_detection.consecutive_5xx", 2),
    (
        {"outlierDetection": {"consecutiveGatewayFailure": 2}},
        "outlier_detection.enforcing_consecutive_gateway_failure",
        100,
    ),
    (
        {"outlierDetection": {"consecutiveGatewayFailure": 2, "enforcingConsecutiveGatewayFailure": 5}},
        "outlier_detection.enforcing_consecutive_gateway_failure",
        5,
    ),
    (
        {"outlierDetection": {"successRate": {"stdevFactor": 2.5}}},
        "outlier_detection.success_rate_stdev_factor",
        2500,
    ),
    ({"outlierDetection": {"successRate": {}}}, "outlier_detection.enforcing_success_rate", 100),
    (
        {
            "outlierDetection": {
                "splitExternalLocalOriginErrors": True,
                "successRate": {"enforcingLocalOrigin": 40},
            }
        },
        "outlier_detection.enforcing_local_origin_success_rate",
        40,
    ),
    (
        {"outlierDetection": {"failurePercentage": {"threshold": 60}}},
        "outlier_detection.failure_percentage_threshold",
        60,
    ),
    ({"outlierDetection": {"alwaysEjectOneHost": False}}, "outlier_detection.always_eject_one_host", False),
    (
        {"healthCheck": {"http": {"path": "/ok", "expectedStatuses": [{"start": 200, "end": 204}]}}},
        "health_checks.0.http_health_check",
        {
            "host": "catalog.shop.svc.cluster.local",
            "path": "/ok",
            "expected_statuses": [{"start": "200", "end": "205"}],
        },
    ),
    (
        {"healthCheck": {"tcp": {"send": "hi", "receive": "yo"}}},
        "health_checks.0.tcp_health_check",
        {"send": {"text": "6869"}, "receive": [{"text": "796f"}]},
    ),
    ({"healthCheck": {"tcp": {"receive": "yo"}}}, "health_checks.0.tcp_health_check.receive.0.text", "796f"),
    ({"healthCheck": {"tcp": {}, "interval": "3s"}}, "health_checks.0.interval", "3s"),
    ({"loadBalancer": {"policy": "Random"}}, "lb_policy", "RANDOM"),
    ({"loadBalancer": {"policy": "PeakEWMA"}}, "lb_policy", "LEAST_REQUEST"),
    (
        {"loadBalancer": {"policy": "PeakEWMA"}},
        "metadata.filter_metadata.meshproxy.io/load_balancer",
        "peak_ewma",
    ),
    (
        {"loadBalancer": {"policy": "LeastRequest", "leastRequest": {"choiceCount": 4}}},
        "least_request_lb_config",
        {"choice_count": 4},
    ),
    (
        {"loadBalancer": {"policy": "LeastRequest", "leastRequest": {"activeRequestBias": 0.5}}},
        "least_request_lb_config.active_request_bias.default_value",
        0.5,
    ),
    (
        {"loadBalancer": {"policy": "LeastRequest", "slowStart": {"window": "1m", "aggression": 2.0}}},
        "least_request_lb_config.slow_start_config.aggression.default_value",
        2.0,
    ),
    (
        {"loadBalancer": {"slowStart": {"window": "1m"}}},
        "round_robin_lb_config.slow_start_config.slow_start_window",
        "60s",
    ),
    (
        {"loadBalancer": {"policy": "RingHash", "ringHash": {}, "hashOn": [{"sourceIP": True}]}},
        "ring_hash_lb_config",
        {"minimum_ring_size": "1024", "maximum_ring_size": "8388608"},
    ),
    (
        {"loadBalancer": {"policy": "Maglev", "maglev": {"tableSize": 251}, "hashOn": [{"query": "u"}]}},
        "maglev_lb_config",
        {"table_size": "251"},
    ),
    ({"loadBalancer": {"panicThreshold": 10}}, "common_lb_config.healthy_panic_threshold.value", 10.0),
    (
        {"subsets": [{"name": "v1", "labels": {"version": "v1"}}]},
        "lb_subset_config",
        {
            "fallback_policy": "ANY_ENDPOINT",
            "subset_selectors": [{"keys": ["version"], "fallback_policy": "NO_FALLBACK"}],
        },
    ),
]


def _in_metadata(found: Tree, path: str) -> object:
    key = path.rpartition("/")[2]
    metadata = cast(dict[str, Tree], at(found, "metadata.filter_metadata"))
    return metadata["meshproxy.io"][key]


@pytest.mark.parametrize(("spec", "path", "expected"), CLUSTER_SETTINGS)
def test_cluster_settings(spec: Tree, path: str, expected: object) -> None:
    found = traffic_cluster(**spec)
    assert (_in_metadata(found, path) if "/" in path else at(found, path)) == expected


def test_without_a_policy_nothing_new_is_sent() -> None:
    plain = tree(cluster())
    assert plain == tree(cluster(policy("TrafficPolicy", "other", {**SERVICE, "name": "else"}, limits={})))
    assert plain == traffic_cluster()
    for name in ("health_checks", "lb_subset_config", "round_robin_lb_config"):
        assert name not in plain


def test_the_default_budget_gives_way_to_a_fixed_number() -> None:
    budget = at(tree(cluster()), "circuit_breakers.thresholds.0.retry_budget")
    assert budget == {"budget_percent": {"value": 20.0}, "min_retry_concurrency": 3}
    assert "retry_budget" not in str(traffic_cluster(limits={"maxRetries": 5}))
    assert "retry_budget" not in str(tree(cluster(name=TCP)))


def test_our_own_words_are_not_for_envoy_which_gets_the_nearest_it_has() -> None:
    found = traffic_cluster(mesh.ENVOY, circuitBreaker={"failureThreshold": 3}, retry={"budget": {}})
    assert (
        not {"circuit_breaker", "retry_budget"}
        & cast(dict[str, Tree], at(found, "metadata.filter_metadata"))["meshproxy.io"].keys()
    )
    assert at(found, "outlier_detection.consecutive_5xx") == 3
    assert at(found, "outlier_detection.base_ejection_time") == "1s"
    assert at(found, "outlier_detection.max_ejection_percent") == 100
    ours = traffic_cluster(circuitBreaker={"failureThreshold": 3})
    assert at(ours, "outlier_detection.consecutive_5xx") == 5
    assert at(ours, "outlier_detection.enforcing_consecutive_5xx") == 0  # the breaker counts
    both = traffic_cluster(circuitBreaker={}, outlierDetection={"consecutive5xx": 3})
    assert "enforcing_consecutive_5xx" not in cast(Tree, both["outlier_detection"])


def test_what_needs_requests_is_left_out_of_opaque_ports() -> None:
    spec: Tree = {"retry": {"budget": {}}, "healthCheck": {"http": {"path": "/"}}}
    opaque = traffic_cluster(name=TCP, **spec)
    assert "health_checks" not in opaque
    assert "retry_budget" not in str(opaque)
    assert "health_checks" in traffic_cluster(name=TCP, healthCheck={"tcp": {}})


def test_a_policy_of_one_port_leaves_the_others_alone() -> None:
    one = policy("TrafficPolicy", "one", {**SERVICE, "sectionName": "http"}, timeouts={"connect": "1s"})
    assert cluster(one).connect_timeout.seconds == 1
    assert cluster(one, name=TCP).connect_timeout.seconds == 5


def test_connection_settings_are_http_options() -> None:
    one = policy(
        "TrafficPolicy", "one", timeouts={"connectionIdle": "1m"}, limits={"maxRequestsPerConnection": 9}
    )
    options = HttpProtocolOptions()
    (packed,) = cluster(one).typed_extension_protocol_options.values()
    assert packed.Unpack(options)
    assert tree(options.common_http_protocol_options) == {
        "idle_timeout": "60s",
        "max_requests_per_connection": 9,
    }
    assert options.explicit_http_config.HasField("http_protocol_options")


def version(*manifests: Manifest, node: Node = mesh.WEB, name: str = HTTP) -> tuple[str | None, list[str]]:
    """What the cluster speaks, and offers inside mesh TLS."""
    found = cluster(*manifests, node=node, name=name)
    options, context = HttpProtocolOptions(), UpstreamTlsContext()
    for packed in found.typed_extension_protocol_options.values():
        assert packed.Unpack(options)
    assert found.transport_socket_matches[0].transport_socket.typed_config.Unpack(context)
    kind = options.WhichOneof("upstream_protocol_options")
    return kind, list(context.common_tls_context.alpn_protocols)


EXPLICIT = ("explicit_http_config", ["istio-http/1.1"])


def test_http_is_said_over_http_2_to_the_mesh_where_a_policy_wants_it() -> None:
    one = policy("TrafficPolicy", "one", h2UpgradePolicy="Upgrade", timeouts={"connectionIdle": "1m"})
    assert version(one) == ("auto_config", ["istio-h2", "istio-http/1.1"])
    assert version(one, name=TCP) == (None, ["istio"])
    assert version() == version(one, node=mesh.ENVOY) == EXPLICIT


def test_of_http_2_the_port_says_no_where_the_service_says_yes() -> None:
    service = policy("TrafficPolicy", "one", h2UpgradePolicy="Upgrade")
    port = policy("TrafficPolicy", "two", {**SERVICE, "sectionName": "http"}, h2UpgradePolicy="DoNotUpgrade")
    assert version(service, port) == EXPLICIT


def test_endpoints_carry_the_labels_that_subsets_are_chosen_by() -> None:
    one = policy("TrafficPolicy", "one", subsets=[{"name": "v1", "labels": {"version": "v1"}}])
    for manifests, expected in (((one,), {"version": "v1"}), ((), None)):
        found = mesh.endpoints(mesh.translate(mesh.shop(*manifests)), HTTP).endpoints[0].lb_endpoints[0]
        metadata = cast(Tree, tree(found.metadata)["filter_metadata"])
        assert metadata.get("envoy.lb") == expected


ROUTE_SETTINGS: list[tuple[Tree, str, object]] = [
    ({"timeouts": {"request": "3s"}}, "timeout", "3s"),
    ({"timeouts": {"request": "0s"}}, "timeout", "0s"),
    ({"timeouts": {"perTry": "1s"}}, "retry_policy.per_try_timeout", "1s"),
    ({"timeouts": {"streamIdle": "1m"}}, "idle_timeout", "60s"),
    ({"retry": {}}, "retry_policy.retry_on", "connect-failure,refused-stream,reset"),
    ({"retry": {"attempts": 4}}, "retry_policy.num_retries", 4),
    (
        {"retry": {"retryOn": ["5xx"], "codes": [429], "headers": [{"name": "X-Again", "type": "Present"}]}},
        "retry_policy.retry_on",
        "5xx,retriable-status-codes,retriable-headers",
    ),
    (
        {"retry": {"headers": [{"name": "X-Again", "type": "Present"}, {"name": "a", "value": "b"}]}},
        "retry_policy.retriable_headers",
        [{"name": "x-again", "present_match": True}, {"name": "a", "string_match": {"exact": "b"}}],
    ),
    ({"retry": {"codes": [429]}}, "retry_policy.retriable_status_codes", [429]),
    (
        {"retry": {"backoff": {"base": "10ms", "max": "1s"}}},
        "retry_policy.retry_back_off",
        {"base_interval": "0.010s", "max_interval": "1s"},
    ),
    (
        {"retry": {"backoff": {"base": "10ms"}}},
        "retry_policy.retry_back_off",
        {"base_interval": "0.010s"},
    ),
    (
        {"retry": {"respectRetryAfter": True}},
        "retry_policy.rate_limited_retry_back_off",
        {"reset_headers": [{"name": "retry-after"}, {"name": "x-ratelimit-reset"}], "max_interval": "300s"},
    ),
    (
        {
            "loadBalancer": {
                "policy": "Maglev",
                "hashOn": [
                    {"header": "X-User", "terminal": True},
                    {"cookie": {"name": "sid", "ttl": "1h", "path": "/"}},
                    {"query": "u"},
                    {"sourceIP": True},
                ],
            }
        },
        "hash_policy",
        [
            {"header": {"header_name": "x-user"}, "terminal": True},
            {"cookie": {"name": "sid", "ttl": "3600s", "path": "/"}},
            {"query_parameter": {"name": "u"}},
            {"connection_properties": {"source_ip": True}},
        ],
    ),
]


@pytest.mark.parametrize(("spec", "path", "expected"), ROUTE_SETTINGS)
def test_route_settings(spec: Tree, path: str, expected: object) -> None:
    one = policy("TrafficPolicy", "one", **spec)
    assert at(action(one), path) == expected
    rule = build.route("split", build.rule(build.backend("catalog")))
    assert at(action(one, rule), path) == expected


def test_a_try_is_limited_also_where_nothing_is_tried_again() -> None:
    one = action(policy("TrafficPolicy", "one", timeouts={"perTry": "1s"}, retry={"attempts": 0}))
    assert one["retry_policy"] == {"num_retries": 0, "per_try_timeout": "1s"}


def test_retries_can_be_off_and_may_go_to_the_same_host() -> None:
    assert "retry_policy" not in action(policy("TrafficPolicy", "one", retry={"attempts": 0}))
    same = action(policy("TrafficPolicy", "one", retry={"otherHosts": False}))
    assert "retry_host_predicate" not in cast(Tree, same["retry_policy"])


def test_envoy_never_gets_the_reset_that_would_send_a_post_twice() -> None:
    one = policy("TrafficPolicy", "one", retry={"retryOn": ["reset", "reset-before-request"]})
    assert at(action(one, node=mesh.ENVOY), "retry_policy.retry_on") == "reset-before-request"
    assert at(action(one), "retry_policy.retry_on") == "reset,reset-before-request"


def test_the_rules_policy_comes_before_the_services_and_what_the_rule_says_before_both() -> None:
    service = policy("TrafficPolicy", "service", timeouts={"request": "1s"}, retry={"attempts": 9})
    rule = policy("TrafficPolicy", "rule", {**ROUTE, "sectionName": "first"}, timeouts={"request": "2s"})
    first = {**build.rule(build.backend("catalog"), paths=[("Exact", "/a")]), "name": "first"}
    said = {
        **build.rule(build.backend("catalog"), paths=[("Exact", "/b")]),
        "timeouts": {"request": "4s"},
        "retry": {"attempts": 1},
    }
    found = {
        route.match.path: tree(route.route)
        for route in routes(service, rule, build.route("split", first, said, build.rule()))
        if route.match.path
    }
    assert (found["/a"]["timeout"], at(found["/a"], "retry_policy.num_retries")) == ("2s", 9)
    assert (found["/b"]["timeout"], at(found["/b"], "retry_policy.num_retries")) == ("4s", 1)


def test_a_routes_subset_is_chosen_by_the_labels_of_each_backends_policy() -> None:
    subsets = policy("TrafficPolicy", "sets", subsets=[{"name": "v1", "labels": {"version": "v1"}}])
    for name, expected in (
        ("v1", [(HTTP, {"version": "v1"}), ("missing|8080||gone.shop.svc.cluster.local", None)]),
        ("v9", [("missing|8080||catalog.shop.svc.cluster.local", None)]),
    ):
        chosen = policy("TrafficPolicy", "chosen", ROUTE, subset=name)
        backends = [build.backend("catalog"), build.backend("gone")][: len(expected)]
        (route,) = routes(subsets, chosen, build.route("split", build.rule(*backends)))
        shares = [
            (share.name, cast(Tree, tree(share.metadata_match).get("filter_metadata", {})).get("envoy.lb"))
            for share in route.route.weighted_clusters.clusters
        ]
        assert shares == expected


def test_hash_keys_of_a_split_are_the_backends() -> None:
    hashed = policy(
        "TrafficPolicy",
        "v1",
        {**SERVICE, "name": "v1"},
        loadBalancer={"policy": "RingHash", "hashOn": [{"header": "x"}]},
    )
    rule = build.route("split", build.rule(build.backend("v1")))
    assert action(hashed, rule, build.service("v1"))["hash_policy"] == [{"header": {"header_name": "x"}}]


def test_what_is_deleted_is_gone() -> None:
    index = mesh.shop()
    before = mesh.translate(index).resources
    ports = [{"number": 8081, "name": "http", "protocol": "HTTP"}]
    added = [policy("FaultPolicy", "f", abort={"httpStatus": 500}), policy("TrafficPolicy", "t", retry={})]
    for manifest in (*added, entry(ports=ports)):
        assert index.apply(manifest).affected
        assert not index.apply(manifest).affected
    assert mesh.translate(index).resources != before
    for kind, name in (("FaultPolicy", "f"), ("TrafficPolicy", "t"), ("ServiceEntry", "api")):
        assert index.delete(kind, "shop", name).affected
        assert not index.delete(kind, "shop", name).affected
    assert mesh.translate(index).resources == before


@pytest.mark.parametrize("routed", [False, True])
def test_attempts_are_counted_on_the_services_virtual_host(routed: bool) -> None:
    more = [build.route("split", build.rule(build.backend("catalog")))] if routed else []
    counting = policy("TrafficPolicy", "one", retry={"attemptCount": True})
    for manifests, expected in ((more, False), ([*more, counting], True)):
        host = mesh.virtual_host(mesh.translate(mesh.shop(*manifests), mesh.WEB), "catalog.shop")
        assert host.include_request_attempt_count is expected
        assert host.include_attempt_count_in_response is expected
