"""What `/clusters` says of each endpoint: how it is, and why it gets requests or none."""

from __future__ import annotations

import json

from meshproxy.admin import pages
from meshproxy.admin.json_text import json_slices
from meshproxy.config.health_check import HealthCheck, HttpCheck
from meshproxy.config.load_balancing import Algorithm, LoadBalancing, Locality
from meshproxy.config.model import Cluster, ClusterType, Endpoint
from meshproxy.config.resilience import CircuitBreakerSettings
from meshproxy.policy.health_state import CheckResult, HealthState
from meshproxy.policy.outlier import FailureKind
from tests.unit.meshproxy.upstream.test_cluster import services


def test_an_endpoint_with_all_there_is() -> None:
    endpoint = Endpoint(
        "10.0.0.1",
        80,
        weight=3,
        priority=1,
        locality=Locality("r", "z"),
        labels=(("version", "v1"),),
    )
    cluster = Cluster(
        "a",
        ClusterType.STATIC,
        endpoints=(endpoint,),
        circuit_breaker=CircuitBreakerSettings(1),
        load_balancing=LoadBalancing(Algorithm.PEAK_EWMA),
    )
    runtime = services().cluster(cluster)
    [live] = runtime.endpoints
    checks = HealthCheck(HttpCheck("/", "a"))
    live.check = HealthState(checks.settings)
    live.check.on_result(CheckResult.SUCCESS)
    runtime.on_attempt_failed(live, FailureKind.LOCAL)
    [page] = json.loads("".join(json_slices(pages.clusters({"a": runtime}))))
    assert page["load_balancer"] == "peak_ewma"
    [shown] = page["endpoints"]
    assert shown["address"] == "10.0.0.1:80"
    assert (shown["weight"], shown["priority"], shown["labels"]) == (3, 1, {"version": "v1"})
    assert shown["locality"] == {"region": "r", "zone": "z", "sub_zone": ""}
    assert (shown["fitness"], shown["health_check"], shown["circuit_breaker"]) == ("fit", "healthy", "open")
    assert shown["latency_ms"] > 1000  # a failure counts as a long time


def test_a_plain_endpoint_says_nothing_of_what_it_has_not() -> None:
    runtime = services().cluster(Cluster("a", ClusterType.STATIC, endpoints=(Endpoint("10.0.0.1", 80),)))
    [page] = json.loads("".join(json_slices(pages.clusters({"a": runtime}))))
    assert not {"health_check", "circuit_breaker", "latency_ms"} & page["endpoints"][0].keys()
