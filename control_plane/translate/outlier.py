"""`outlierDetection` and, for Envoy, `circuitBreaker` as Envoy's OutlierDetection (pure)."""

from control_plane.api.envoy.config.cluster.v3.outlier_detection_pb2 import OutlierDetection as Proto
from control_plane.resources.health import CircuitBreaker, FailurePercentage, OutlierDetection, SuccessRate
from control_plane.translate.amount import count, duration, flag

_DURATIONS = ("interval", "base_ejection_time", "max_ejection_time", "max_ejection_time_jitter")
_COUNTS = (
    "max_ejection_percent",
    "consecutive_5xx",
    "enforcing_consecutive_5xx",
    "consecutive_gateway_failure",
    "enforcing_consecutive_gateway_failure",
    "consecutive_local_origin_failure",
    "enforcing_consecutive_local_origin_failure",
)
_FLAGS = ("always_eject_one_host", "successful_active_health_check_uneject_host")
_ALL = 100


def apply_outlier(built: Proto, spec: OutlierDetection) -> None:
    """Set what `spec` says; the rest stays."""
    for name in _DURATIONS:
        if (text := getattr(spec, name)) is not None:
            getattr(built, name).CopyFrom(duration(text))
    for name in _COUNTS:
        if (number := getattr(spec, name)) is not None:
            getattr(built, name).CopyFrom(count(number))
    for name in _FLAGS:
        if (value := getattr(spec, name)) is not None:
            getattr(built, name).CopyFrom(flag(value))
    if spec.consecutive_gateway_failure is not None and spec.enforcing_consecutive_gateway_failure is None:
        # Envoy counts gateway failures but ejects nobody for them until told to.
        built.enforcing_consecutive_gateway_failure.CopyFrom(count(_ALL))
    if spec.split_external_local_origin_errors is not None:
        built.split_external_local_origin_errors = spec.split_external_local_origin_errors
        built.enforcing_local_origin_success_rate.CopyFrom(count(0))
    if spec.success_rate is not None:
        _apply_success_rate(built, spec.success_rate)
    if spec.failure_percentage is not None:
        _apply_failure_percentage(built, spec.failure_percentage)


def _apply_success_rate(built: Proto, spec: SuccessRate) -> None:
    built.success_rate_minimum_hosts.CopyFrom(count(spec.minimum_hosts))
    built.success_rate_request_volume.CopyFrom(count(spec.request_volume))
    built.success_rate_stdev_factor.CopyFrom(count(round(spec.stdev_factor * 1000)))  # thousandths
    built.enforcing_success_rate.CopyFrom(count(spec.enforcing))
    if spec.enforcing_local_origin is not None:
        built.enforcing_local_origin_success_rate.CopyFrom(count(spec.enforcing_local_origin))


def _apply_failure_percentage(built: Proto, spec: FailurePercentage) -> None:
    built.failure_percentage_threshold.CopyFrom(count(spec.threshold))
    built.failure_percentage_minimum_hosts.CopyFrom(count(spec.minimum_hosts))
    built.failure_percentage_request_volume.CopyFrom(count(spec.request_volume))
    built.enforcing_failure_percentage.CopyFrom(count(spec.enforcing))


def apply_breaker_to_outlier(built: Proto, breaker: CircuitBreaker) -> None:
    """The nearest Envoy has: ejection after as many failures, for as long at first; without a probe."""
    built.consecutive_5xx.CopyFrom(count(breaker.failure_threshold))
    built.base_ejection_time.CopyFrom(duration(breaker.base_open))
    built.max_ejection_time.CopyFrom(duration(breaker.max_open))
    built.max_ejection_percent.CopyFrom(count(_ALL))
