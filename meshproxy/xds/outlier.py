"""`outlier_detection` -> `OutlierDetection` (pure)."""

from __future__ import annotations

from control_plane.api.envoy.config.cluster.v3.outlier_detection_pb2 import OutlierDetection as Proto
from meshproxy.config.model import OutlierDetection
from meshproxy.xds.strict import number_or, require, seconds_or

_COUNTS = {
    "consecutive_5xx": 5,
    "consecutive_gateway_failure": 5,
    "consecutive_local_origin_failure": 5,
    "success_rate_minimum_hosts": 5,
    "success_rate_request_volume": 100,
    "success_rate_stdev_factor": 1900,
    "failure_percentage_minimum_hosts": 5,
    "failure_percentage_request_volume": 50,
}
_PERCENTAGES = {
    "max_ejection_percent": 10,
    "enforcing_consecutive_5xx": 100,
    "enforcing_consecutive_gateway_failure": 0,
    "enforcing_consecutive_local_origin_failure": 100,
    "enforcing_success_rate": 100,
    "enforcing_local_origin_success_rate": 100,
    "failure_percentage_threshold": 85,
    "enforcing_failure_percentage": 0,
}
"""Field -> Envoy's default, that holds where it is not set."""


def translate_outlier(message: Proto, path: str) -> OutlierDetection:
    """Raises ConfigError."""
    base = _positive_or(message, "base_ejection_time", 30.0, path)
    longest = _positive_or(message, "max_ejection_time", max(base, 300.0), path)
    require(longest >= base, f"{path}.max_ejection_time", f"{longest} s is below the base, {base} s")
    unejects = message.successful_active_health_check_uneject_host
    return OutlierDetection(
        interval=_positive_or(message, "interval", 10.0, path),
        base_ejection_time=base,
        max_ejection_time=longest,
        max_ejection_time_jitter=seconds_or(message, "max_ejection_time_jitter", 0.0, path),
        always_eject_one_host=message.always_eject_one_host.value,
        split_local_origin=message.split_external_local_origin_errors,
        uneject_on_health_check=unejects.value
        if message.HasField("successful_active_health_check_uneject_host")
        else True,
        **{field: number_or(message, field, default) for field, default in _COUNTS.items()},
        **{field: _percentage(message, field, default, path) for field, default in _PERCENTAGES.items()},
    )


def _percentage(message: Proto, field: str, default: int, path: str) -> int:
    value = number_or(message, field, default)
    require(value <= 100, f"{path}.{field}", "must be at most 100")
    return value


def _positive_or(message: Proto, field: str, default: float, path: str) -> float:
    value = seconds_or(message, field, default, path)
    require(value > 0, f"{path}.{field}", "must be above 0")
    return value
