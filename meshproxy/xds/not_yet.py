"""What is translated into the model but not carried out yet: refused by name until it is.

A setting that is accepted and not followed is worse than one that is refused. Whoever makes the exchange
follow one of these takes it out of this file; nothing else has to change.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_ROUTE: Final = "envoy.config.route.v3."

_FIELDS: Final[Mapping[str, str]] = {
    _ROUTE + "Route": "typed_per_filter_config",
    _ROUTE + "RouteConfiguration": "typed_per_filter_config",
    _ROUTE + "VirtualHost": "typed_per_filter_config",
    _ROUTE + "WeightedCluster.ClusterWeight": "typed_per_filter_config",
}

NOT_YET: Final[Mapping[str, frozenset[str]]] = {
    message: frozenset(fields.split()) for message, fields in _FIELDS.items()
}
"""Full message name -> names of fields that the strict check refuses though they can be translated."""

NOT_YET_RETRY_ON: Final = frozenset(
    {"cancelled", "deadline-exceeded", "internal", "resource-exhausted", "unavailable"}
)
"""Values of `RetryPolicy.retry_on`: they speak of gRPC."""
