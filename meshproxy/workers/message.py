"""What the main process and its workers say to each other (pure). Orders go down, answers come up.

Every order has a number and gets at least one answer with that number; the last one says so. Orders are
carried out one after the other, in the order in which they were sent.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from meshproxy.config.model import WorkloadIdentity
from meshproxy.identity.identity import Identity
from meshproxy.telemetry.transfer import MetricsPart
from meshproxy.workers.config_change import ConfigChange

# --- orders ---


@dataclass(frozen=True, slots=True)
class Begin:
    """The first order: who this proxy is."""

    workload: WorkloadIdentity
    spiffe_id: str
    log_level: str
    max_connections: int | None = None
    """Of each listener; None: the default."""
    downstream_codec: str = "scan"
    """Which of `http.codec.CODECS` reads what clients send."""


@dataclass(frozen=True, slots=True)
class UseIdentity:
    """New connections prove this identity. Its private key is in the worker's memory, as in ours."""

    identity: Identity

    @classmethod
    def of(cls, identity: Identity) -> UseIdentity:
        """With a copy that has no TLS contexts yet: those that were built here cannot leave."""
        return cls(replace(identity))


@dataclass(frozen=True, slots=True)
class Configure:
    """Put a configuration in force: what was sent before, changed by `change`. Sent before, not in force
    before: also a refused configuration is one that changes build on."""

    change: ConfigChange


@dataclass(frozen=True, slots=True)
class SetLogLevel:
    level: str


@dataclass(frozen=True, slots=True)
class ReportMetrics:
    """What was counted since the report before; then idle series may be forgotten."""


@dataclass(frozen=True, slots=True)
class ReportPages:
    """`/clusters` and `/listeners` of this worker."""


@dataclass(frozen=True, slots=True)
class CountConnections:
    """Downstream connections that still are."""


@dataclass(frozen=True, slots=True)
class BeginDrain:
    """From now on connections end one by one."""

    over: float
    """Seconds until every response ends its connection."""


@dataclass(frozen=True, slots=True)
class EndDrain:
    """Stop listening, close what is idle."""


Order = (
    Begin
    | UseIdentity
    | Configure
    | SetLogLevel
    | ReportMetrics
    | ReportPages
    | CountConnections
    | BeginDrain
    | EndDrain
)

# --- answers ---


@dataclass(frozen=True, slots=True)
class Done:
    """It was carried out."""


@dataclass(frozen=True, slots=True)
class Refused:
    """It was not, and nothing changed; `reason` names resource, field and value."""

    reason: str


@dataclass(frozen=True, slots=True)
class Pages:
    """Admin pages as JSON, because they show values of classes that are no part of messages."""

    clusters: str
    listeners: str


@dataclass(frozen=True, slots=True)
class Connections:
    count: int


Answer = Done | Refused | MetricsPart | Pages | Connections


@dataclass(frozen=True, slots=True)
class Ordered:
    """An order on its way."""

    number: int
    order: Order


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer on its way back."""

    number: int
    answer: Answer
    is_last: bool = True
