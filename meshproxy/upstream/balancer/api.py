"""What every balancer answers (pure). One balancer per list of endpoints: a change makes a new one."""

from collections.abc import Collection
from typing import Protocol


class Balancer(Protocol):
    """Chooses among a fixed tuple of endpoints. Endpoints unhealthy or of weight 0 are never chosen."""

    def pick(self, exclude: Collection[int] = ()) -> int | None:
        """Index of the endpoint to use next; None when there is none.

        Endpoints in `exclude` (indices of those this exchange tried) are used only when no other is left.
        """
        ...
