"""RetryPolicy -> retry settings of the model (pure)."""

from __future__ import annotations

from typing import Final

from control_plane.api.envoy.config.route.v3 import route_components_pb2 as components
from control_plane.api.envoy.extensions.retry.host.previous_hosts.v3.previous_hosts_pb2 import (
    PreviousHostsPredicate,
)
from meshproxy.config.retry import RateLimitedBackOff, ResetHeaderFormat, RetrySettings
from meshproxy.http.syntax import is_token
from meshproxy.policy.retry import RETRY_CONDITIONS
from meshproxy.xds.route_match import translate_header_match
from meshproxy.xds.strict import number_or, require, seconds, seconds_or, unpack

_Proto = components.RetryPolicy
_DEFAULT_BASE_INTERVAL: Final = 0.025
_BACKOFF_FACTOR: Final = 10
"""Envoy: the longest interval is ten times the base unless set."""
_DEFAULT_RATE_LIMITED_MAX: Final = 300.0

_FORMATS: Final = {
    _Proto.SECONDS: ResetHeaderFormat.SECONDS,
    _Proto.UNIX_TIMESTAMP: ResetHeaderFormat.UNIX_TIMESTAMP,
}


def translate_retry(policy: _Proto, path: str) -> RetrySettings:
    """`policy` has passed the strict check. Raises ConfigError."""
    for index, predicate in enumerate(policy.retry_host_predicate):
        # Never choosing a tried endpoint again while another is left is what our retries do anyway.
        where = f"{path}.retry_host_predicate[{index}]"
        unpack(predicate.typed_config, PreviousHostsPredicate, where)
    base, longest = _back_off(policy, f"{path}.retry_back_off")
    return RetrySettings(
        retry_on=_conditions(policy, f"{path}.retry_on"),
        num_retries=number_or(policy, "num_retries", 1),
        base_interval=base,
        max_interval=longest,
        per_try_timeout=seconds_or(policy, "per_try_timeout", 0.0, path),
        per_try_idle_timeout=seconds_or(policy, "per_try_idle_timeout", 0.0, path),
        retriable_status_codes=_status_codes(policy, f"{path}.retriable_status_codes"),
        retriable_headers=tuple(
            translate_header_match(header, f"{path}.retriable_headers[{index}]", has_pseudo=False)
            for index, header in enumerate(policy.retriable_headers)
        ),
        retriable_request_headers=tuple(
            translate_header_match(header, f"{path}.retriable_request_headers[{index}]", has_pseudo=False)
            for index, header in enumerate(policy.retriable_request_headers)
        ),
        rate_limited=_rate_limited(policy.rate_limited_retry_back_off, f"{path}.rate_limited_retry_back_off")
        if policy.HasField("rate_limited_retry_back_off")
        else None,
    )


def _conditions(policy: _Proto, path: str) -> frozenset[str]:
    conditions = frozenset(item.strip() for item in policy.retry_on.split(",") if item.strip())
    unknown = sorted(conditions - RETRY_CONDITIONS)
    require(not unknown, path, f"{', '.join(unknown)} is not supported")
    return conditions


def _status_codes(policy: _Proto, path: str) -> frozenset[int]:
    for index, status in enumerate(policy.retriable_status_codes):
        require(200 <= status <= 599, f"{path}[{index}]", f"{status} is not from 200 to 599")
    return frozenset(policy.retriable_status_codes)


def _back_off(policy: _Proto, path: str) -> tuple[float, float]:
    if not policy.HasField("retry_back_off"):
        return _DEFAULT_BASE_INTERVAL, _DEFAULT_BASE_INTERVAL * _BACKOFF_FACTOR
    back_off = policy.retry_back_off
    base = seconds(back_off.base_interval, f"{path}.base_interval")
    require(base > 0, f"{path}.base_interval", "must be above 0")
    longest = seconds_or(back_off, "max_interval", base * _BACKOFF_FACTOR, path)
    require(longest >= base, f"{path}.max_interval", "must not be below base_interval")
    return base, longest


def _rate_limited(back_off: _Proto.RateLimitedRetryBackOff, path: str) -> RateLimitedBackOff:
    require(bool(back_off.reset_headers), f"{path}.reset_headers", "at least one is needed")
    for index, header in enumerate(back_off.reset_headers):
        is_name = is_token(header.name.encode())
        require(is_name, f"{path}.reset_headers[{index}].name", f"{header.name!r} is not a header name")
    longest = seconds_or(back_off, "max_interval", _DEFAULT_RATE_LIMITED_MAX, path)
    require(longest > 0, f"{path}.max_interval", "must be above 0")
    return RateLimitedBackOff(
        tuple((header.name.lower(), _FORMATS[header.format]) for header in back_off.reset_headers), longest
    )
