"""Circuit limits, retry budgets, breakers and outlier detection of clusters."""

from collections.abc import Callable, Mapping

import pytest

from control_plane.api.envoy.config.cluster.v3.cluster_pb2 import Cluster as Proto
from control_plane.api.envoy.config.core.v3.base_pb2 import RoutingPriority
from meshproxy.config.model import Cluster, OutlierDetection
from meshproxy.config.resilience import CircuitBreakerSettings, RetryBudgetSettings
from meshproxy.errors import ConfigError
from meshproxy.xds.clusters import translate_cluster
from meshproxy.xds.strict import check
from tests.unit.meshproxy.xds import xds_message as message

Change = Callable[[Proto], None]


def translated(*changes: Change) -> Cluster:
    made = message.cluster()
    for change in changes:
        change(made)
    check(made, "c")
    return translate_cluster(made, "c")


def own(**values: object) -> Change:
    def change(made: Proto) -> None:
        made.metadata.filter_metadata["meshproxy.io"].update(values)

    return change


def budget(made: Proto) -> None:
    limits = made.circuit_breakers.thresholds.add()
    limits.retry_budget.budget_percent.value = 25
    limits.retry_budget.min_retry_concurrency.value = 5


def test_a_budget_takes_the_place_of_a_fixed_number() -> None:
    assert translated(budget).retry_budget == RetryBudgetSettings(25.0, 5, None)
    with_floor = translated(budget, own(retry_budget={"min_per_second": 10}))
    assert with_floor.retry_budget == RetryBudgetSettings(25.0, 5, 10.0)


def test_an_empty_budget_has_envoys_defaults() -> None:
    made = translated(lambda made: made.circuit_breakers.thresholds.add().retry_budget.SetInParent())
    assert made.retry_budget == RetryBudgetSettings(20.0, 3, None)


def test_a_breaker() -> None:
    assert translated(own(circuit_breaker={})).circuit_breaker == CircuitBreakerSettings()
    numbers = {"failure_threshold": 3, "base_open": 0.5, "max_open": 10, "jitter": 0.25}
    assert translated(own(circuit_breaker=numbers)).circuit_breaker == CircuitBreakerSettings(
        3, 0.5, 10.0, 0.25
    )


def test_every_field_of_outlier_detection() -> None:
    def change(made: Proto) -> None:
        outlier = made.outlier_detection
        for number, name in enumerate(_COUNTS, 1):
            getattr(outlier, name).value = number
        outlier.interval.seconds = 1
        outlier.base_ejection_time.seconds = 2
        outlier.max_ejection_time.seconds = 3
        outlier.max_ejection_time_jitter.seconds = 4
        outlier.split_external_local_origin_errors = True
        outlier.successful_active_health_check_uneject_host.value = False
        outlier.always_eject_one_host.value = True

    expected = OutlierDetection(
        interval=1.0,
        base_ejection_time=2.0,
        max_ejection_time=3.0,
        max_ejection_time_jitter=4.0,
        split_local_origin=True,
        uneject_on_health_check=False,
        always_eject_one_host=True,
        **{name: number for number, name in enumerate(_COUNTS, 1)},
    )
    assert translated(change).outlier_detection == expected


_COUNTS = (
    "consecutive_5xx",
    "max_ejection_percent",
    "enforcing_consecutive_5xx",
    "enforcing_success_rate",
    "success_rate_minimum_hosts",
    "success_rate_request_volume",
    "success_rate_stdev_factor",
    "consecutive_gateway_failure",
    "enforcing_consecutive_gateway_failure",
    "consecutive_local_origin_failure",
    "enforcing_consecutive_local_origin_failure",
    "enforcing_local_origin_success_rate",
    "failure_percentage_threshold",
    "enforcing_failure_percentage",
    "failure_percentage_minimum_hosts",
    "failure_percentage_request_volume",
)


def _high(made: Proto) -> None:
    made.circuit_breakers.thresholds.add(priority=RoutingPriority.HIGH)


def _much(made: Proto) -> None:
    made.circuit_breakers.thresholds.add().retry_budget.budget_percent.value = 101


def _more_than_all(made: Proto) -> None:
    made.outlier_detection.enforcing_success_rate.value = 101


def _breaker(**numbers: object) -> Change:
    return own(circuit_breaker=numbers)


OURS = "c.metadata.filter_metadata['meshproxy.io']."


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_high, "c.circuit_breakers.thresholds[0].priority: HIGH is not supported"),
        (_much, "c.circuit_breakers.thresholds[0].retry_budget: retry budget percent 101"),
        (_more_than_all, "c.outlier_detection.enforcing_success_rate: must be at most 100"),
        (
            own(retry_budget={"min_per_second": 1}),
            OURS + "retry_budget: needs circuit_breakers.thresholds[0]",
        ),
        (own(retry_budget="20"), OURS + "retry_budget: must be a struct"),
        (_breaker(failure_threshold=1.5), OURS + "circuit_breaker.failure_threshold: 1.5 is no whole number"),
        (_breaker(max_open=0.1), OURS + "circuit_breaker: max_open 0.1 s"),
        (_breaker(speed=1), OURS + "circuit_breaker.speed: is not known; known are ['base_open'"),
        (_breaker(jitter="1"), OURS + "circuit_breaker.jitter: must be a number"),
    ],
)
def test_refused(change: Change, message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        translated(change)
    assert message in str(refused.value)


def test_original_destinations_have_no_breaker() -> None:
    made = Proto(name="o", type=Proto.ORIGINAL_DST, lb_policy=Proto.CLUSTER_PROVIDED)
    values: Mapping[str, object] = {"circuit_breaker": {}}
    made.metadata.filter_metadata["meshproxy.io"].update(values)
    with pytest.raises(ConfigError, match="circuit_breaker: not for clusters of type ORIGINAL_DST"):
        translate_cluster(made, "c")
