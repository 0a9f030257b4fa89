"""What every balancer answers (pure). One balancer per set of endpoints: a change makes a new one."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol, TypeVar

from meshproxy.config.model import Endpoint
from meshproxy.policy.latency import LatencyEstimate


class Fitness(Enum):
    """What health checks and outlier detection make of an endpoint."""

    FIT = "fit"
    DEGRADED = "degraded"
    """Works, but only for what the fit ones cannot take."""
    UNFIT = "unfit"
    """Used in panic only."""
    EXCLUDED = "excluded"
    """It said itself that it is going (`x-envoy-immediate-health-check-fail`): unfit, and not an outage."""


class Host(Protocol):
    """What balancers read of an endpoint's live twin, `EndpointRuntime`."""

    endpoint: Endpoint
    active_requests: int
    added_at: float
    """When it came, or became fit again; monotonic seconds."""
    latency: LatencyEstimate | None
    """Made by the first peak EWMA balancer that has it; the exchange tells it what attempts took."""

    @property
    def fitness(self) -> Fitness: ...


H = TypeVar("H", bound=Host)
H_co = TypeVar("H_co", bound=Host, covariant=True)


@dataclass(slots=True)
class PickContext:
    """What a request says of where it wants to go. Made for routes with a hash policy, a session or labels;
    every other request has None."""

    hash: int | None = None
    """64 bits, of the route's hash policies (`consistent_hash.combine`); None: no policy found a value."""
    override: str = ""
    """`address:port` that the request's session is bound to; empty: none."""
    is_strict: bool = False
    """The session's endpoint or none at all (`StatefulSession.strict`)."""
    labels: tuple[tuple[str, str], ...] = ()
    """Labels asked for (`metadata_match`), sorted."""


class Balancer(Protocol[H_co]):
    """Chooses among fixed endpoints. Those of weight 0 are never chosen."""

    def pick(
        self, context: PickContext | None = None, exclude: Collection[int] = (), now: float = 0.0
    ) -> H_co | None:
        """The endpoint to use next; None when there is none.

        Endpoints in `exclude` (`id`s of those this exchange tried) are used only when no other is left.
        `now` is monotonic seconds; slow start and peak EWMA heed it.
        """
        ...


def untried(hosts: Sequence[H], exclude: Collection[int]) -> Sequence[H]:
    """`hosts` but for those tried; all of them when nothing else is left. For retries: it makes a list."""
    return [host for host in hosts if id(host) not in exclude] or hosts


def key_of(endpoint: Endpoint) -> str:
    """What consistent hashing knows an endpoint by, as Envoy does: `address:port`, IPv6 in brackets."""
    return endpoint.hash_key or address_of(endpoint)


def address_of(endpoint: Endpoint) -> str:
    """`address:port`, as sessions carry it; IPv6 in brackets."""
    if ":" in endpoint.address:
        return f"[{endpoint.address}]:{endpoint.port}"
    return f"{endpoint.address}:{endpoint.port}"
