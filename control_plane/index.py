"""Which sidecars a stored change concerns (pure): the registry plus the rules of who sees what.

Every sidecar sees every Service, so a change to a Service, its ready endpoints or its producer routes is
everyone's. A consumer route is its namespace's; a Pod's own labels and ports are its own sidecar's.
Everything else is nobody's.
"""

from __future__ import annotations

from dataclasses import dataclass

from control_plane.discovery import parse, parse_route
from control_plane.discovery.entry import service_entry
from control_plane.discovery.model import EVERYONE, NOBODY, Affected, ObjectName
from control_plane.discovery.registry import ChangedServices, Registry
from control_plane.discovery.route import ReferenceGrant, Route
from control_plane.discovery.route_index import key_of
from control_plane.policy.attachment import POLICY_KINDS, PolicyName, PolicyResource, policy_of
from control_plane.resources.base import Resource
from control_plane.resources.endpoint_slice import EndpointSlice
from control_plane.resources.http_route import HttpRoute
from control_plane.resources.manifest import Manifest, ObjectKey
from control_plane.resources.pod import Pod
from control_plane.resources.reference_grant import ReferenceGrant as ReferenceGrantResource
from control_plane.resources.registry import parse as parse_resource
from control_plane.resources.service import Service
from control_plane.resources.service_entry import ServiceEntry
from control_plane.resources.tcp_route import TcpRoute
from control_plane.resources.tls_route import TlsRoute

ROUTE_KINDS = ("HTTPRoute", "TLSRoute", "TCPRoute")
ENTRY_KIND = ServiceEntry.KIND
WATCHED_KINDS = ("Service", "EndpointSlice", "Pod", *ROUTE_KINDS, "ReferenceGrant", *POLICY_KINDS, ENTRY_KIND)
"""Kinds that translation reads; a change of any other kind never concerns a sidecar."""


@dataclass(frozen=True, slots=True)
class Change:
    """What one stored change means."""

    affected: Affected = NOBODY
    routes: frozenset[ObjectKey] = frozenset()
    """Routes and policies whose status may read differently now."""


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
                return self._put_route(parse_route.http_route(HttpRoute.parse(manifest)))
            case "TCPRoute":
                return self._put_route(parse_route.stream_route(TcpRoute.parse(manifest)))
            case "TLSRoute":
                return self._put_route(parse_route.stream_route(TlsRoute.parse(manifest)))
            case "ReferenceGrant":
                resource = ReferenceGrantResource.parse(manifest)
                return self._put_grant(parse_route.reference_grant(resource))
            case "ServiceEntry":
                entry = service_entry(ServiceEntry.parse(manifest))
                return _of_everyone(self.registry.put_entry(entry))
            case "TrafficPolicy" | "FaultPolicy" | "RateLimitPolicy":
                return self._put_policy(parse_resource(manifest))
        return NO_CHANGE

    def delete(self, kind: str, namespace: str, name: str) -> Change:
        """An object is gone."""
        key = ObjectName(namespace, name)
        match kind:
            case "Service":
                referring = self.registry.routes.referring_to(key) | self._policies_of("Service", key)
                return Change(_of_services(self.registry.remove_service(key)), referring)
            case "EndpointSlice":
                return Change(_of_services(self.registry.remove_slice(key)))
            case "Pod":
                return self._delete_pod(key)
            case "HTTPRoute" | "TCPRoute" | "TLSRoute":
                return self._delete_route(ObjectKey(kind, namespace, name))
            case "ReferenceGrant":
                self.registry.routes.remove_grant(key)
                return Change(routes=self.registry.routes.crossing_into(namespace))
            case "ServiceEntry":
                return _of_everyone(self.registry.remove_entry(key))
            case "TrafficPolicy" | "FaultPolicy" | "RateLimitPolicy":
                return self._delete_policy((kind, key))
        return NO_CHANGE

    def _put_policy(self, resource: Resource) -> Change:
        assert isinstance(resource, PolicyResource)
        policy = policy_of(resource)
        own = frozenset({_policy_key(policy.name)})
        before = self._rivals_of(policy.name)
        if not self.registry.put_policy(policy):
            return Change(routes=own)  # its status has changed: if by somebody else, it must be set right
        return Change(EVERYONE, own | before | self._rivals_of(policy.name))

    def _delete_policy(self, name: PolicyName) -> Change:
        rivals = self._rivals_of(name)
        if not self.registry.remove_policy(name):
            return NO_CHANGE
        return Change(EVERYONE, rivals - {_policy_key(name)})

    def _rivals_of(self, name: PolicyName) -> frozenset[ObjectKey]:
        """Policies that name something the policy names, itself among them."""
        policy = self.registry.policies.get(name)
        targets = () if policy is None else policy.targets
        return frozenset(key for target in targets for key in self._policies_of(target.kind, target.key))

    def _policies_of(self, kind: str, key: ObjectName) -> frozenset[ObjectKey]:
        """Policies whose status depends on the object."""
        return frozenset(map(_policy_key, self.registry.policies.referring_to(kind, key)))

    def _put_service(self, resource: Service) -> Change:
        service = parse.service(resource)
        changed = self.registry.put_service(service)
        if not changed:
            return NO_CHANGE
        referring = self.registry.routes.referring_to(service.key) | self._policies_of("Service", service.key)
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
        old = self.registry.workload(workload.key)
        own = Affected(pods=frozenset({workload.key}))
        if (old and old.mesh_pod) != workload.mesh_pod:  # everybody may dial its address
            own = EVERYONE
        return Change(own | _of_services(self.registry.put_workload(workload)))

    def _delete_pod(self, key: ObjectName) -> Change:
        old = self.registry.workload(key)
        if old is None:
            return Change(_of_services(self.registry.remove_workload(key)))
        own = EVERYONE if old.mesh_pod else Affected(pods=frozenset({key}))
        return Change(own | _of_services(self.registry.remove_workload(key)))

    def _put_route(self, route: Route) -> Change:
        routes = self.registry.routes
        old = routes.get(key_of(route))
        if old == route:  # its status has changed: if by somebody else, it must be set right
            return Change(routes=frozenset({key_of(route)}))
        routes.put(route)
        judged = routes.rivals_of(route) | (routes.rivals_of(old) if old else frozenset())
        named = self._policies_of(route.kind, route.key)
        return Change(_of_route(old) | _of_route(route), judged | named)

    def _delete_route(self, key: ObjectKey) -> Change:
        old = self.registry.routes.get(key)
        self.registry.routes.remove(key)
        if old is None:
            return NO_CHANGE
        named = self._policies_of(key.kind, ObjectName(key.namespace, key.name))
        return Change(_of_route(old), self.registry.routes.rivals_of(old) - {key} | named)

    def _put_grant(self, grant: ReferenceGrant) -> Change:
        """Routes of Services need no grant, so no sidecar is concerned."""
        routes = self.registry.routes
        if routes.grant(grant.key) == grant:
            return NO_CHANGE
        routes.put_grant(grant)
        return Change(routes=routes.crossing_into(grant.key.namespace))


def _policy_key(name: PolicyName) -> ObjectKey:
    kind, key = name
    return ObjectKey(kind, key.namespace, key.name)


def _of_everyone(changed: bool) -> Change:
    return Change(EVERYONE) if changed else NO_CHANGE


def _of_services(changed: ChangedServices) -> Affected:
    return EVERYONE if changed else NOBODY


def _of_route(route: Route | None) -> Affected:
    """A route of the Service's own namespace holds for every client, one of another for its own namespace."""
    parents = [ref for ref in route.parents if ref.is_service] if route else []
    if route is None or not parents:
        return NOBODY
    if any(ref.key.namespace == route.key.namespace for ref in parents):
        return EVERYONE
    return Affected(namespaces=frozenset({route.key.namespace}))
