"""Accepted resources -> what the proxy is given, never half of it (pure).

A cluster whose endpoints have not arrived is warming: until they do, the cluster that was published under its
name stays, or none. The same holds for a listener and its route tables. The first snapshot waits for
everything, and so does the first one after each reconnect. Nobody is waited for longer than `PATIENCE`,
Envoy's `initial_fetch_timeout`: the control plane may have nothing to say.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final, TypeVar

from meshproxy.config.model import Cluster, Endpoint, Listener
from meshproxy.config.route import RouteTable
from meshproxy.config.snapshot import ConfigSnapshot
from meshproxy.config.tls import TlsCertificate
from meshproxy.xds.subscription import AdsState, TypeState, references
from meshproxy.xds.translate import (
    CLUSTER_TYPE,
    ENDPOINT_TYPE,
    LISTENER_TYPE,
    ROUTE_TYPE,
    SECRET_TYPE,
    SHORT_NAMES,
)

V = TypeVar("V")
P = TypeVar("P", Cluster, Listener)

PATIENCE: Final = 15.0
"""Seconds a resource that is referred to is waited for."""

_NOTHING: Final = ConfigSnapshot()


class Warming:
    """Remembers what was published and who is waited for since when."""

    def __init__(self, patience: float = PATIENCE) -> None:
        self._patience = patience
        self._waiting: dict[tuple[str, str], float] = {}
        """(type URL, name) -> since when; those given up on stay, so that they are not waited for anew."""
        self._behind_since: float | None = None
        """When a new stream began to tell; None once it has told everything."""
        self.published: ConfigSnapshot | None = None

    def advance(self, state: AdsState, now: float) -> ConfigSnapshot | None:
        """The snapshot to publish now; None while nothing differs from the one before."""
        types = state.types
        blocked, is_behind = self._blocked(state, now), self._is_behind(state, now)
        if self.published is None and (blocked or not _has_both(types)):
            return None
        if is_behind:
            return None
        snapshot = self._assemble(types, blocked)
        if self.published is not None and _is_same(snapshot, self.published):
            return None
        self.published = snapshot
        return snapshot

    def next_deadline(self, now: float) -> float | None:
        """When waiting for somebody ends; None when nobody is waited for."""
        waits = [*self._waiting.values()]
        if self._behind_since is not None:
            waits.append(self._behind_since)
        deadlines = [since + self._patience for since in waits]
        return min((deadline for deadline in deadlines if deadline > now), default=None)

    def _is_behind(self, state: AdsState, now: float) -> bool:
        if state.is_complete():
            self._behind_since = None
            return False
        if self._behind_since is None:
            self._behind_since = now
        return now < self._behind_since + self._patience

    def _blocked(self, state: AdsState, now: float) -> set[tuple[str, str]]:
        """What is referred to, has not arrived, and is still worth waiting for."""
        missing = {
            (type_url, name)
            for type_url in (ENDPOINT_TYPE, ROUTE_TYPE, SECRET_TYPE)
            for name in state.wanted(type_url)
            if name not in state.types[type_url].accepted
        }
        self._waiting = {key: self._waiting.get(key, now) for key in missing}
        return {key for key, since in self._waiting.items() if now < since + self._patience}

    def _assemble(self, types: Mapping[str, TypeState], blocked: set[tuple[str, str]]) -> ConfigSnapshot:
        before = self.published or _NOTHING
        wanted_clusters = _values(types[CLUSTER_TYPE], Cluster)
        wanted_listeners = _values(types[LISTENER_TYPE], Listener)
        clusters = _ready(wanted_clusters, before.clusters, (ENDPOINT_TYPE,), blocked)
        listeners = _ready(wanted_listeners, before.listeners, (ROUTE_TYPE, SECRET_TYPE), blocked)
        routes = _values(types[ROUTE_TYPE], RouteTable)
        endpoints: dict[str, tuple[Endpoint, ...]] = _values(types[ENDPOINT_TYPE], tuple)
        secrets = _values(types[SECRET_TYPE], TlsCertificate)
        return ConfigSnapshot(
            listeners=MappingProxyType(listeners),
            routes=_with_kept(routes, before.routes, ROUTE_TYPE, listeners.values()),
            clusters=MappingProxyType(clusters),
            endpoints=_with_kept(endpoints, before.endpoints, ENDPOINT_TYPE, clusters.values()),
            secrets=_with_kept(secrets, before.secrets, SECRET_TYPE, listeners.values()),
            versions=MappingProxyType({short: types[url].version for url, short in SHORT_NAMES.items()}),
            compiled=_compiled(types[ROUTE_TYPE], routes, before),
        )


def _has_both(types: Mapping[str, TypeState]) -> bool:
    return types[CLUSTER_TYPE].has_response and types[LISTENER_TYPE].has_response


def _values(state: TypeState, kind: type[V]) -> dict[str, V]:
    return {name: item.value for name, item in state.accepted.items() if isinstance(item.value, kind)}


def _ready(
    wanted: Mapping[str, P],
    before: Mapping[str, P],
    children: tuple[str, ...],
    blocked: set[tuple[str, str]],
) -> dict[str, P]:
    """What is wanted; where it is still warming, what was there before, if anything."""
    ready: dict[str, P] = {}
    for name, value in wanted.items():
        if not any((child, name) in blocked for child in children for name in references(value, child)):
            ready[name] = value
        elif name in before:
            ready[name] = before[name]
    return ready


def _with_kept(
    arrived: dict[str, V], before: Mapping[str, V], child: str, users: Iterable[object]
) -> Mapping[str, V]:
    """What arrived, and what a kept cluster or listener from before still needs."""
    for user in users:
        for name in references(user, child):
            if name not in arrived and name in before:
                arrived[name] = before[name]
    return MappingProxyType(arrived)


def _compiled(state: TypeState, routes: Iterable[str], before: ConfigSnapshot) -> Mapping[str, object]:
    """Of every table in `routes`, from where the table is."""
    made = {name: item.made.compiled for name, item in state.accepted.items() if item.made is not None}
    kept = {name: before.compiled[name] for name in routes if name not in made and name in before.compiled}
    return MappingProxyType({**kept, **made})


def _is_same(new: ConfigSnapshot, old: ConfigSnapshot) -> bool:
    """Whether both hold the same objects; versions alone are no reason to publish."""
    pairs = (
        (new.listeners, old.listeners),
        (new.routes, old.routes),
        (new.clusters, old.clusters),
        (new.endpoints, old.endpoints),
        (new.secrets, old.secrets),
    )
    return all(_holds_same(one, other) for one, other in pairs)


def _holds_same(one: Mapping[str, object], other: Mapping[str, object]) -> bool:
    return len(one) == len(other) and all(other.get(name) is value for name, value in one.items())
