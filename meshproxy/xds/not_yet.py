"""What is translated into the model but not carried out yet: refused by name until it is.

A setting that is accepted and not followed is worse than one that is refused. Whoever makes the exchange
follow one of these takes it out of this file; nothing else has to change.
"""

from __future__ import annotations

from typing import Final

from meshproxy.xds.strict import require

NOT_YET_RETRY_ON: Final = frozenset(
    {"cancelled", "deadline-exceeded", "internal", "resource-exhausted", "unavailable"}
)
"""Values of `RetryPolicy.retry_on`: they speak of gRPC."""

NOT_YET: Final = frozenset(
    {
        "HTTP2",
        "http2_protocol_options",
        "istio-h2",
        "h2",
        "grpc_status",
        "grpc_health_check",
        "max_stream_duration",
    }
)
"""A `codec_type`, the protocol of a cluster, ALPN values; an abort by gRPC status, a gRPC health check, and
the time limits that `grpc-timeout` is part of."""


def require_carried_out(what: str, path: str) -> None:
    """`what` is a field or value that may be in `NOT_YET`. Raises ConfigError when it is."""
    require(what not in NOT_YET, path, f"{what} is not supported")
