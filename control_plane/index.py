"""Which sidecars a stored change concerns (pure): the registry plus the rules of who sees what.

Every sidecar sees every Service, so a change to a Service, its ready endpoints or its producer routes is
everyone's. A consumer route is its namespace's; a Pod's own labels and ports are its own sidecar's.
Everything else is nobody's.
"""

from __future__ import annotations

from dataclasses import dataclass

from control_plane.discovery import parse
from control_plane.discovery.model import EVERYONE, NOBODY, Affected, HttpRoute, ObjectName
from control_plane.discovery.registry import ChangedServices, Registry
from control_plane.resources.endpoint_slice import EndpointSlice
from control_plane.resources.http_route import HttpRoute as HttpRouteResource
from control_plane.resources.manifest import Manifest
from control_plane.resources.pod import Pod
from control_plane.resources.service import Service

WATCHED_KINDS = ("Service", "EndpointSlice", "Pod", "HTTPRoute")
"""Kinds that translation reads; a change of any other kind never concerns a sidecar."""


@dataclass(frozen=True, slots=True)
class Change:
    """What one stored change means."""

    affected: Affected = NOBODY
    routes: frozenset[ObjectName] = frozenset()
    """HTTPRoutes whose status may read differently now."""


NO_CHANGE = Change()


class Index:
    """Feeds stored objects into the registry, one change at a time."""

    def __init__(self) -> None:
        self.registry = Registry()

    def apply(self, manifest: Manifest) -> Change:
        """An object was added or changed. Raises InvalidResource when it cannot be read."""
        match manifest.get("kind"):
            case "Service":
                return self._put_service(Service.parse(manifest))
            case "EndpointSlice":
                return self._put_slice(EndpointSlice.parse(manifest))
            case "Pod":
                return self._put_pod(Pod.parse(manifest))
            case "HTTPRoute":
                return self._put_route(HttpRouteResource.parse(manifest))
        return NO_CHANGE

    def delete(self, kind: str, namespace: str, name: str) -> Change:
        """An object is gone."""
        key = ObjectName(namespace, name)
        match kind:
            case "Service":
                referring = self.registry.routes_referring_to(key)
                return Change(_of_services(self.registry.remove_service(key)), referring)
            case "EndpointSlice":
                return Change(_of_services(self.registry.remove_slice(key)))
            case "Pod":
                own = Affected(pods=frozenset({key})) if self.registry.workload(key) else NOBODY
                return Change(own | _of_services(self.registry.remove_workload(key)))
            case "HTTPRoute":
                old = self.registry.route(key)
                self.registry.remove_route(key)
                return Change(_of_route(old))
        return NO_CHANGE

    def _put_service(self, resource: Service) -> Change:
        service = parse.service(resource)
        changed = self.registry.put_service(service)
        referring = self.registry.routes_referring_to(service.key) if changed else frozenset()
        return Change(_of_services(changed), referring)

    def _put_slice(self, resource: EndpointSlice) -> Change:
        endpoint_slice = parse.endpoint_slice(resource)
        if endpoint_slice is None:
            return self.delete("EndpointSlice", resource.metadata.namespace, resource.metadata.name)
        return Change(_of_services(self.registry.put_slice(endpoint_slice)))

    def _put_pod(self, resource: Pod) -> Change:
        workload = parse.workload(resource)
        if self.registry.workload(workload.key) == workload:
            return NO_CHANGE
        own = Affected(pods=frozenset({workload.key}))
        return Change(own | _of_services(self.registry.put_workload(workload)))

    def _put_route(self, resource: HttpRouteResource) -> Change:
        route = parse.http_route(resource)
        old = self.registry.route(route.key)
        if old == route:  # its status has changed: if by somebody else, it must be set right
            return Change(routes=frozenset({route.key}))
        self.registry.put_route(route)
        return Change(_of_route(old) | _of_route(route), frozenset({route.key}))


def _of_services(changed: ChangedServices) -> Affected:
    return EVERYONE if changed else NOBODY


def _of_route(route: HttpRoute | None) -> Affected:
    if route is None:
        return NOBODY
    if any(ref.key.namespace == route.key.namespace for ref in route.parents):
        return EVERYONE
    return Affected(namespaces=frozenset({route.key.namespace}))
