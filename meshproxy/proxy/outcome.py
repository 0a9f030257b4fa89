"""How an exchange ended when we, not the upstream, decided it: one enum, one table (pure).

Response flags are Envoy's (`config.accesslog.v3.ResponseFlagFilter`), bodies are what Envoy's users know.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import Final, assert_never

from meshproxy.http.events import Headers

_RESET_BODY: Final = "upstream connect error or disconnect/reset before headers. reset reason: "


class Outcome(Enum):
    NO_ROUTE = auto()
    CLUSTER_NOT_FOUND = auto()
    NO_HEALTHY_UPSTREAM = auto()
    CONNECT_FAILURE = auto()
    UPSTREAM_RESET = auto()
    UPSTREAM_PROTOCOL_ERROR = auto()
    OVERFLOW = auto()
    REQUEST_TIMEOUT = auto()
    PER_TRY_TIMEOUT = auto()
    STREAM_IDLE_TIMEOUT = auto()
    DOWNSTREAM_DISCONNECT = auto()
    METHOD_NOT_SUPPORTED = auto()
    STREAM_DURATION = auto()


@dataclass(frozen=True, slots=True)
class OutcomeRule:
    """What an outcome means on the wire."""

    status: int
    """HTTP status of the local reply; 0 when nobody is left to read one."""
    flag: str
    """Envoy response flag."""
    body: str
    close: bool = False
    """End the downstream connection after the reply."""
    headers: Headers = ()
    """Further fields of the reply."""
    grpc_status: int | None = None
    """What a call of gRPC is answered; None: what `status` means there."""


def rule(outcome: Outcome) -> OutcomeRule:
    """The table. Exhaustive: a new outcome does not type-check until it has its line."""
    match outcome:
        case Outcome.NO_ROUTE:
            return OutcomeRule(404, "NR", "no route matched")
        case Outcome.CLUSTER_NOT_FOUND:
            return OutcomeRule(503, "NC", "cluster not found")
        case Outcome.NO_HEALTHY_UPSTREAM:
            return OutcomeRule(503, "UH", "no healthy upstream")
        case Outcome.CONNECT_FAILURE:
            return OutcomeRule(
                503,
                "UF",
                _RESET_BODY + "connection failure",
            )
        case Outcome.UPSTREAM_RESET:
            return OutcomeRule(
                503,
                "UC",
                _RESET_BODY + "connection termination",
            )
        case Outcome.UPSTREAM_PROTOCOL_ERROR:
            return OutcomeRule(502, "UPE", "upstream protocol error")
        case Outcome.OVERFLOW:
            return OutcomeRule(503, "UO", "upstream overflow", headers=((b"x-envoy-overloaded", b"true"),))
        case Outcome.REQUEST_TIMEOUT:
            return OutcomeRule(504, "UT", "upstream request timeout", close=False)
        case Outcome.PER_TRY_TIMEOUT:
            return OutcomeRule(504, "UT", "upstream request timeout: per try timeout")
        case Outcome.STREAM_IDLE_TIMEOUT:
            return OutcomeRule(408, "SI", "stream timeout", close=True)
        case Outcome.DOWNSTREAM_DISCONNECT:
            return OutcomeRule(0, "DC", "", close=True)
        case Outcome.METHOD_NOT_SUPPORTED:
            return OutcomeRule(405, "NR", "CONNECT is not supported by this listener")
        case Outcome.STREAM_DURATION:
            return OutcomeRule(408, "DT", "downstream duration timeout", close=True, grpc_status=4)
        case _:
            assert_never(outcome)


RULES = {outcome: rule(outcome) for outcome in Outcome}
"""Precomputed, for the data path."""
