"""`circuit_breakers`, and what `meshproxy.io` metadata adds to them (pure)."""

from __future__ import annotations

from dataclasses import dataclass

from google.protobuf.struct_pb2 import Struct, Value

from control_plane.api.envoy.config.cluster.v3.circuit_breaker_pb2 import CircuitBreakers
from control_plane.api.envoy.config.core.v3.base_pb2 import RoutingPriority
from meshproxy.config.resilience import CircuitBreakerSettings, RetryBudgetSettings
from meshproxy.errors import ConfigError
from meshproxy.xds.strict import enum_name, number_or, require

_Thresholds = CircuitBreakers.Thresholds


@dataclass(frozen=True, slots=True)
class ClusterLimits:
    """Of the default priority; Envoy's defaults where not set."""

    max_connections: int
    max_pending_requests: int
    max_requests: int
    max_retries: int
    retry_budget: RetryBudgetSettings | None
    """Where it is set, `max_retries` counts for nothing, as in Envoy."""


def translate_limits(message: CircuitBreakers, own: Struct, path: str) -> ClusterLimits:
    """`own` is the cluster's `meshproxy.io` metadata. Raises ConfigError."""
    thresholds = message.thresholds
    where = f"{path}.circuit_breakers.thresholds"
    require(len(thresholds) <= 1, where, "more than one is not supported")
    limits = thresholds[0] if thresholds else _Thresholds()
    is_default = limits.priority == RoutingPriority.DEFAULT
    require(is_default, f"{where}[0].priority", f"{enum_name(limits, 'priority')} is not supported")
    return ClusterLimits(
        number_or(limits, "max_connections", 1024),
        number_or(limits, "max_pending_requests", 1024),
        number_or(limits, "max_requests", 1024),
        number_or(limits, "max_retries", 3),
        _budget(limits, own, path),
    )


def _budget(limits: _Thresholds, own: Struct, path: str) -> RetryBudgetSettings | None:
    ours = _numbers(own, "retry_budget", {"min_per_second"}, path)
    if not limits.HasField("retry_budget"):
        place = _place("retry_budget", path)
        require(ours is None, place, "needs circuit_breakers.thresholds[0].retry_budget beside it")
        return None
    message = limits.retry_budget
    try:
        return RetryBudgetSettings(
            budget_percent=message.budget_percent.value if message.HasField("budget_percent") else 20.0,
            min_concurrency=number_or(message, "min_retry_concurrency", 3),
            min_per_second=None if ours is None else ours.get("min_per_second"),
        )
    except ConfigError as error:
        raise ConfigError(f"{path}.circuit_breakers.thresholds[0].retry_budget: {error}") from error


def translate_breaker(own: Struct, path: str) -> CircuitBreakerSettings | None:
    """Metadata `meshproxy.io.circuit_breaker`; None where it is not set. Raises ConfigError."""
    numbers = _numbers(own, "circuit_breaker", {"failure_threshold", "base_open", "max_open", "jitter"}, path)
    if numbers is None:
        return None
    place = _place("circuit_breaker", path)
    threshold = numbers.pop("failure_threshold", 7.0)
    require(threshold.is_integer(), f"{place}.failure_threshold", f"{threshold} is no whole number")
    try:
        return CircuitBreakerSettings(int(threshold), **numbers)
    except ConfigError as error:
        raise ConfigError(f"{place}: {error}") from error


def _numbers(own: Struct, key: str, known: set[str], path: str) -> dict[str, float] | None:
    """The numbers of one Struct in `own`; None when it is not there."""
    if key not in own.fields:
        return None
    place, value = _place(key, path), own.fields[key]
    _require_kind(value, "struct_value", place)
    found: dict[str, float] = {}
    for name, item in value.struct_value.fields.items():
        require(name in known, f"{place}.{name}", f"is not known; known are {sorted(known)}")
        _require_kind(item, "number_value", f"{place}.{name}")
        found[name] = item.number_value
    return found


def _require_kind(value: Value, kind: str, place: str) -> None:
    require(value.WhichOneof("kind") == kind, place, f"must be a {kind.removesuffix('_value')}")


def _place(key: str, path: str) -> str:
    return f"{path}.metadata.filter_metadata['meshproxy.io'].{key}"
