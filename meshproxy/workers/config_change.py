"""The difference between two configuration snapshots (pure).

The worker's runtime recognises by identity what did not change. Identity does not survive the way to another
process, so only what changed is sent, and the worker's copies of the rest stay the objects that they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from meshproxy.config.model import Cluster, Endpoint, Listener
from meshproxy.config.route import RouteTable
from meshproxy.config.snapshot import ConfigSnapshot
from meshproxy.config.tls import TlsCertificate

V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class NamedChange(Generic[V]):
    """Of one kind of resource."""

    put: dict[str, V] = field(default_factory=dict)
    removed: tuple[str, ...] = ()

    @classmethod
    def between(cls, before: Mapping[str, V], after: Mapping[str, V]) -> NamedChange[V]:
        """Identity tells what changed; a name that is absent differs from every value."""
        put = {name: value for name, value in after.items() if before.get(name) is not value}
        return cls(put, tuple(name for name in before if name not in after))

    def applied_to(self, before: Mapping[str, V]) -> Mapping[str, V]:
        """`before` itself when nothing changed, else a new mapping."""
        if not self.put and not self.removed:
            return before
        removed = set(self.removed)
        return {**{name: value for name, value in before.items() if name not in removed}, **self.put}


@dataclass(frozen=True, slots=True)
class ConfigChange:
    """From one snapshot to the next."""

    listeners: NamedChange[Listener]
    routes: NamedChange[RouteTable]
    clusters: NamedChange[Cluster]
    endpoints: NamedChange[tuple[Endpoint, ...]]
    secrets: NamedChange[TlsCertificate]
    versions: dict[str, str]

    @classmethod
    def between(cls, before: ConfigSnapshot, after: ConfigSnapshot) -> ConfigChange:
        return cls(
            NamedChange.between(before.listeners, after.listeners),
            NamedChange.between(before.routes, after.routes),
            NamedChange.between(before.clusters, after.clusters),
            NamedChange.between(before.endpoints, after.endpoints),
            NamedChange.between(before.secrets, after.secrets),
            dict(after.versions),
        )

    def applied_to(self, before: ConfigSnapshot) -> ConfigSnapshot:
        return ConfigSnapshot(
            self.listeners.applied_to(before.listeners),
            self.routes.applied_to(before.routes),
            self.clusters.applied_to(before.clusters),
            self.endpoints.applied_to(before.endpoints),
            self.secrets.applied_to(before.secrets),
            self.versions,
        )
