"""What is translated into the model but not carried out yet: refused by name until it is.

A setting that is accepted and not followed is worse than one that is refused. Whoever makes the exchange
follow one of these takes it out of this file; nothing else has to change.
"""

from __future__ import annotations

from typing import Final

NOT_YET_RETRY_ON: Final = frozenset(
    {"cancelled", "deadline-exceeded", "internal", "resource-exhausted", "unavailable"}
)
"""Values of `RetryPolicy.retry_on`: they speak of gRPC."""
