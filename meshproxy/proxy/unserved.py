"""What sidecars tell each other of requests that the app behind them did not serve (pure); decision 2.

Only between sidecars: believed over mTLS alone, and codecs drop the field from what they pass on.
"""

from __future__ import annotations

from typing import Final

from meshproxy.http.events import Headers, ResponseHead
from meshproxy.policy.retry import AttemptFailure
from meshproxy.proxy.outcome import Outcome

UNSERVED: Final = b"x-meshproxy-unserved"
"""Response field: why, so that the calling sidecar can apply its retry policy."""

_REASONS: Final = {
    Outcome.CONNECT_FAILURE: b"connect-failure",
    Outcome.UPSTREAM_RESET: b"reset",
}
_FAILURES: Final = {
    b"connect-failure": (AttemptFailure.CONNECT_FAILURE, Outcome.CONNECT_FAILURE),
    b"reset": (AttemptFailure.RESET_BEFORE_RESPONSE, Outcome.UPSTREAM_RESET),
}


def notice(outcome: Outcome) -> Headers:
    """What to tell the calling sidecar in a local reply; nothing for outcomes that are not its business."""
    reason = _REASONS.get(outcome)
    return () if reason is None else ((UNSERVED, reason),)


def failure(head: ResponseHead) -> tuple[AttemptFailure, Outcome] | None:
    """What the peer's sidecar says happened; None when it is the app's own answer."""
    reason = dict(head.headers).get(UNSERVED)
    return None if reason is None else _FAILURES.get(reason)
