"""What the admin server tells about the ADS client: values, read at any time."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class TypeReport:
    """One resource type."""

    version: str
    """Last accepted version; empty before the first."""
    resources: int
    updates: int
    """Responses accepted."""
    rejected: int
    """Responses refused."""
    last_rejection: str
    """Why the last response was refused; empty when it was accepted."""


@dataclass(slots=True)
class ClientCounters:
    """They only grow."""

    streams: int = 0
    """Streams on which the control plane answered."""
    failures: int = 0
    """Streams that failed, and attempts that came to none."""
    callback_errors: int = 0
    """Snapshots whose application raised: our bug."""


@dataclass(frozen=True, slots=True)
class XdsStatus:
    """The client at one moment."""

    connected: bool
    connected_at: float
    """Seconds since the Unix epoch of the live stream's first answer; 0 while there is none."""
    last_error: str
    """Why the last stream or attempt ended; empty when the live stream is newer."""
    types: dict[str, TypeReport] = field(default_factory=dict)
    """By `cds`, `eds`, `lds`, `rds`."""
