"""Routes and ReferenceGrants by what they refer to (pure), kept up to date change by change."""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator
from typing import TypeVar

from control_plane.discovery.model import ObjectName
from control_plane.discovery.route import (
    REQUEST_ROUTES,
    HttpRoute,
    ObjectRef,
    ReferenceGrant,
    Route,
    StreamRoute,
)
from control_plane.resources.manifest import ObjectKey

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class RouteIndex:
    """Current routes of every kind; an unchanged route stays the same object."""

    def __init__(self, on_change: Callable[[], None]) -> None:
        """`on_change` is called after each change of a route."""
        self._on_change = on_change
        self._routes: dict[ObjectKey, Route] = {}
        self._by_parent: defaultdict[tuple[str, ObjectName], set[ObjectKey]] = defaultdict(set)
        self._by_backend: defaultdict[ObjectName, set[ObjectKey]] = defaultdict(set)
        self._grants: dict[ObjectName, ReferenceGrant] = {}

    def get(self, key: ObjectKey) -> Route | None:
        return self._routes.get(key)

    def attached_to(self, service: ObjectName) -> tuple[Route, ...]:
        """Routes that name the Service as a parent, from any namespace, ordered by kind and name."""
        return self._sorted(self._by_parent.get(("Service", service), set()))

    def attached_to_gateway(self, gateway: ObjectName) -> tuple[Route, ...]:
        """Routes that name the Gateway as a parent, from any namespace, ordered by kind and name."""
        return self._sorted(self._by_parent.get(("Gateway", gateway), set()))

    def _sorted(self, keys: set[ObjectKey]) -> tuple[Route, ...]:
        return tuple(self._routes[key] for key in sorted(keys))

    def referring_to(self, service: ObjectName) -> frozenset[ObjectKey]:
        """Routes whose status depends on the Service: they attach to it, send to it, or compete for it."""
        attached = self._by_parent.get(("Service", service), set())
        return frozenset(attached | self._by_backend.get(service, set()))

    def rivals_of(self, route: Route) -> frozenset[ObjectKey]:
        """`route` and the routes that it may displace, or that may come back without it: TLSRoutes and
        TCPRoutes of the same parents, and where HTTPRoutes meet GRPCRoutes, these too."""
        own = key_of(route)
        shared = {own, *(key for parent in _parent_keys(route) for key in self._by_parent.get(parent, ()))}
        is_mixed = {key.kind for key in shared}.issuperset(REQUEST_ROUTES)
        return frozenset(key for key in shared if is_mixed or key == own or key.kind not in REQUEST_ROUTES)

    def put(self, route: Route) -> None:
        self._unlink(key_of(route))
        self._routes[key_of(route)] = route
        for parent in _parent_keys(route):
            self._by_parent[parent].add(key_of(route))
        for ref in backend_refs(route):
            self._by_backend[ref.key].add(key_of(route))
        self._on_change()

    def remove(self, key: ObjectKey) -> None:
        self._unlink(key)
        self._on_change()

    def _unlink(self, key: ObjectKey) -> None:
        old = self._routes.pop(key, None)
        if old is None:
            return
        for parent in _parent_keys(old):
            discard(self._by_parent, parent, key)
        for ref in backend_refs(old):
            discard(self._by_backend, ref.key, key)

    # --- grants ---------------------------------------------------------------------------------------------

    def grants_of(self, namespace: str) -> tuple[ReferenceGrant, ...]:
        """ReferenceGrants of a namespace, ordered by name."""
        return tuple(self._grants[key] for key in sorted(self._grants) if key.namespace == namespace)

    def grant(self, key: ObjectName) -> ReferenceGrant | None:
        return self._grants.get(key)

    def put_grant(self, grant: ReferenceGrant) -> None:
        self._grants[grant.key] = grant
        self._on_change()

    def remove_grant(self, key: ObjectName) -> None:
        self._grants.pop(key, None)
        self._on_change()

    def crossing_into(self, namespace: str) -> frozenset[ObjectKey]:
        """Routes of other namespaces with a backend in `namespace`."""
        return frozenset(
            key
            for key, route in self._routes.items()
            if key.namespace != namespace
            and any(ref.key.namespace == namespace for ref in backend_refs(route))
        )


def key_of(route: Route) -> ObjectKey:
    return ObjectKey(route.kind, route.key.namespace, route.key.name)


def backend_refs(route: Route) -> Iterator[ObjectRef]:
    """Services the route sends to, mirrors included."""
    if isinstance(route, StreamRoute):
        yield from (backend.ref for backend in route.backends if backend.ref.is_service)
        return
    yield from (ref for ref in _http_refs(route) if ref.is_service)


def _http_refs(route: HttpRoute) -> Iterator[ObjectRef]:
    for rule in route.rules:
        yield from (mirror.target for mirror in rule.filters.mirrors)
        for backend in rule.backends:
            yield backend.ref
            yield from (mirror.target for mirror in backend.filters.mirrors)


def _parent_keys(route: Route) -> Iterator[tuple[str, ObjectName]]:
    for ref in route.parents:
        if ref.is_service:
            yield "Service", ref.key
        elif ref.is_gateway:
            yield "Gateway", ref.key


def discard(index: defaultdict[K, set[V]], key: K, value: V) -> None:
    """Remove a reverse-index entry, and the key with its last one, so that churn leaves nothing behind."""
    members = index.get(key)
    if members is None:
        return
    members.discard(value)
    if not members:
        del index[key]
