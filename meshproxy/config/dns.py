"""Clusters whose endpoints are names (pure)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from math import isfinite

from meshproxy.errors import ConfigError


class LookupFamily(Enum):
    """`Cluster.DnsLookupFamily`: which addresses of a name are used."""

    AUTO = "auto"
    """IPv6, and IPv4 when there is none."""
    V4_ONLY = "v4_only"
    V6_ONLY = "v6_only"
    V4_PREFERRED = "v4_preferred"
    """IPv4, and IPv6 when there is none."""
    ALL = "all"


@dataclass(frozen=True, slots=True)
class DnsSettings:
    """Of clusters of type STRICT_DNS and LOGICAL_DNS. Refused: a rate that is not positive."""

    refresh_rate: float = 5.0
    """Seconds between lookups; Envoy's default. The machine's resolver does not tell how long its answers are
    good for, so `respect_dns_ttl` leaves it at this."""
    family: LookupFamily = LookupFamily.AUTO
    is_logical: bool = False
    """LOGICAL_DNS: one address at a time."""

    def __post_init__(self) -> None:
        rate = self.refresh_rate
        if not (isfinite(rate) and rate >= 0.001):
            raise ConfigError(f"dns_refresh_rate {rate} s: must be at least a millisecond")
