"""A consistent set of configuration (pure): what the runtime is given, whole, each time something changed."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from meshproxy.config.model import Cluster, Endpoint, Listener
from meshproxy.config.route import RouteTable
from meshproxy.config.tls import TlsCertificate


@dataclass(frozen=True, slots=True)
class ConfigSnapshot:
    """All accepted resources by name. Unchanged resources are the same objects as in the snapshot before."""

    listeners: Mapping[str, Listener] = field(default_factory=lambda: MappingProxyType({}))
    routes: Mapping[str, RouteTable] = field(default_factory=lambda: MappingProxyType({}))
    clusters: Mapping[str, Cluster] = field(default_factory=lambda: MappingProxyType({}))
    endpoints: Mapping[str, tuple[Endpoint, ...]] = field(default_factory=lambda: MappingProxyType({}))
    """By ClusterLoadAssignment name. A cluster whose name is missing here is still warming."""
    secrets: Mapping[str, TlsCertificate] = field(default_factory=lambda: MappingProxyType({}))
    versions: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Accepted `version_info` by short type: `lds`, `rds`, `cds`, `eds`, `sds`."""
    compiled: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))
    """What acceptance compiled of `routes`, to see whether the router takes them, by name: for that router,
    whose types this package does not know. Where one is missing, it is compiled again."""
