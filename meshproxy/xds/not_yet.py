"""What is translated into the model but not carried out yet: refused by name until it is.

A setting that is accepted and not followed is worse than one that is refused. Whoever makes the exchange
follow one of these takes it out of this file; nothing else has to change.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_ROUTE: Final = "envoy.config.route.v3."
_MUTATIONS: Final = (
    "request_headers_to_add request_headers_to_remove response_headers_to_add response_headers_to_remove "
)

_FIELDS: Final[Mapping[str, str]] = {
    _ROUTE + "RetryPolicy": "per_try_timeout per_try_idle_timeout retriable_status_codes retriable_headers"
    " retriable_request_headers rate_limited_retry_back_off",
    _ROUTE + "Route": _MUTATIONS + "redirect typed_per_filter_config",
    _ROUTE + "RouteAction": "prefix_rewrite regex_rewrite host_rewrite_literal idle_timeout hash_policy"
    " request_mirror_policies metadata_match",
    _ROUTE + "RouteConfiguration": _MUTATIONS + "most_specific_header_mutations_wins typed_per_filter_config",
    _ROUTE + "VirtualHost": _MUTATIONS + "include_request_attempt_count include_attempt_count_in_response"
    " typed_per_filter_config",
    _ROUTE + "WeightedCluster.ClusterWeight": _MUTATIONS + "metadata_match host_rewrite_literal"
    " typed_per_filter_config",
}

NOT_YET: Final[Mapping[str, frozenset[str]]] = {
    message: frozenset(fields.split()) for message, fields in _FIELDS.items()
}
"""Full message name -> names of fields that the strict check refuses though they can be translated."""

NOT_YET_RETRY_ON: Final = frozenset(
    {
        "5xx",
        "gateway-error",
        "envoy-ratelimited",
        "retriable-4xx",
        "retriable-status-codes",
        "retriable-headers",
        "cancelled",
        "deadline-exceeded",
        "internal",
        "resource-exhausted",
        "unavailable",
    }
)
"""Values of `RetryPolicy.retry_on`."""
