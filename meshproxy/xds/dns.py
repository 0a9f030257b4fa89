"""STRICT_DNS and LOGICAL_DNS -> `DnsSettings` (pure)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from control_plane.api.envoy.config.cluster.v3.cluster_pb2 import Cluster as Proto
from meshproxy.config.dns import DnsSettings, LookupFamily
from meshproxy.config.model import Endpoint
from meshproxy.errors import ConfigError
from meshproxy.xds.strict import require, seconds_or

_FAMILIES: Mapping[int, LookupFamily] = {
    Proto.AUTO: LookupFamily.AUTO,
    Proto.V4_ONLY: LookupFamily.V4_ONLY,
    Proto.V6_ONLY: LookupFamily.V6_ONLY,
    Proto.V4_PREFERRED: LookupFamily.V4_PREFERRED,
    Proto.ALL: LookupFamily.ALL,
}
_FIELDS = ("dns_refresh_rate", "dns_lookup_family", "respect_dns_ttl")


def translate_dns(cluster: Proto, endpoints: Sequence[Endpoint], path: str) -> DnsSettings | None:
    """None for clusters of other types. Raises ConfigError."""
    is_logical = cluster.type == Proto.LOGICAL_DNS
    if not is_logical and cluster.type != Proto.STRICT_DNS:
        for field, _ in cluster.ListFields():
            place = f"{path}.{field.name}"
            require(field.name not in _FIELDS, place, "only for clusters of type STRICT_DNS and LOGICAL_DNS")
        return None
    is_right = len(endpoints) == 1 or not is_logical
    require(is_right, f"{path}.load_assignment", "LOGICAL_DNS needs exactly one endpoint")
    rate = seconds_or(cluster, "dns_refresh_rate", DnsSettings().refresh_rate, path)
    try:
        return DnsSettings(rate, _FAMILIES[cluster.dns_lookup_family], is_logical)
    except ConfigError as error:
        raise ConfigError(f"{path}.dns_refresh_rate: {error}") from error
