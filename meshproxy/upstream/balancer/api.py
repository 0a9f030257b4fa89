"""What every balancer answers (pure). A balancer lives as long as one list of endpoints: a change makes a
new one.
"""

from collections.abc import Collection
from typing import Protocol

from meshproxy.config.model import Endpoint

EndpointKey = tuple[str, int]
"""Address and port: stays the same when an endpoint's weight or metadata change."""


def endpoint_key(endpoint: Endpoint) -> EndpointKey:
    """How an endpoint is named among those already tried."""
    return endpoint.address, endpoint.port


class Balancer(Protocol):
    """Chooses among a fixed tuple of endpoints. Endpoints unhealthy or of weight 0 are never chosen."""

    def pick(self, exclude: Collection[EndpointKey] = ()) -> int | None:
        """Index of the endpoint to use next; None when there is none.

        Endpoints in `exclude` (those this exchange tried already) are used only when no other is left.
        """
        ...
