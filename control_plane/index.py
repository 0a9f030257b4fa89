"""Which sidecars a stored change concerns (pure): the registry plus the rules of who sees what.

Every sidecar sees every Service, so a change to a Service, its ready endpoints or its producer routes is
everyone's. A consumer route is its namespace's; a Pod's own labels and ports are its own sidecar's.
Everything else is nobody's.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from control_plane.discovery import gateway_change, parse, parse_route
from control_plane.discovery.entry import ServiceEntry as Entry
from control_plane.discovery.entry import rivals, service_entry
from control_plane.discovery.gateway import GATEWAY_LABEL
from control_plane.discovery.model import EVERYONE, NOBODY, Affected, ObjectName, Workload
from control_plane.discovery.peer_authentication import PeerAuthentication, peer_authentication
from control_plane.discovery.registry import ChangedServices, Registry
from control_plane.discovery.route import ReferenceGrant, Route
from control_plane.discovery.route_index import key_of
from control_plane.policy.attachment import POLICY_KINDS, PolicyName, PolicyResource, policy_of
from control_plane.resources.base import Resource
from control_plane.resources.endpoint_slice import EndpointSlice
from control_plane.resources.grpc_route import GrpcRoute
from control_plane.resources.http_route import HttpRoute
from control_plane.resources.manifest import Manifest, ObjectKey
from control_plane.resources.node import Node
from control_plane.resources.peer_authentication import PeerAuthentication as PeerAuthenticationResource
from control_plane.resources.pod import Pod
from control_plane.resources.reference_grant import ReferenceGrant as ReferenceGrantResource
from control_plane.resources.registry import parse as parse_resource
from control_plane.resources.service import Service
from control_plane.resources.service_entry import ServiceEntry
from control_plane.resources.tcp_route import TcpRoute
from control_plane.resources.tls_route import TlsRoute

ROUTE_KINDS = ("GRPCRoute", "HTTPRoute", "TLSRoute", "TCPRoute")
ENTRY_KIND = ServiceEntry.KIND
PEER_KIND = PeerAuthenticationResource.KIND
INGRESS_KINDS = ("IngressClass", "Ingress")
GATEWAY_KINDS = (
    "GatewayClass",
    "Gateway",
    "Secret",
    "ConfigMap",
    "Namespace",
    "BackendTLSPolicy",
    *INGRESS_KINDS,
)
WATCHED_KINDS = (
    *("Service", "EndpointSlice", "Pod", "Node", *ROUTE_KINDS, "ReferenceGrant", *POLICY_KINDS, ENTRY_KIND),
    PEER_KIND,
    *GATEWAY_KINDS,
)
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
        return self._with_services(self._apply(manifest))

    def delete(self, kind: str, namespace: str, name: str) -> Change:
        """An object is gone."""
        return self._with_services(self._delete(kind, namespace, name))

    def _with_services(self, change: Change) -> Change:
        """With the Services that another one came or went beside, and what refers to Services whose pods say
        otherwise now what their ports are."""
        redeclared = self.registry.take_redeclared()
        crowded = self.registry.take_crowded() | redeclared
        if not crowded:
            return change
        told = change.routes | {ObjectKey("Service", *_parts(key)) for key in crowded}
        for key in redeclared:
            told |= self.registry.routes.referring_to(key) | self._policies_of("Service", key)
        return replace(change, routes=told)

    def _apply(self, manifest: Manifest) -> Change:
        match manifest.get("kind"):
            case "Service":
                return self._put_service(Service.read(manifest))
            case "EndpointSlice":
                return self._put_slice(EndpointSlice.read(manifest))
            case "Pod":
                return self._put_pod(Pod.read(manifest))
            case "Node":
                node = Node.read(manifest).metadata
                return _of_everyone(self.registry.put_node(node.name, parse.locality(node.labels)))
            case "HTTPRoute":
                return self._put_route(parse_route.http_route(HttpRoute.read(manifest)))
            case "GRPCRoute":
                return self._put_route(parse_route.grpc_route(GrpcRoute.read(manifest)))
            case "TCPRoute":
                return self._put_route(parse_route.stream_route(TcpRoute.read(manifest)))
            case "TLSRoute":
                return self._put_route(parse_route.stream_route(TlsRoute.read(manifest)))
            case "ReferenceGrant":
                resource = ReferenceGrantResource.read(manifest)
                return self._put_grant(parse_route.reference_grant(resource))
            case "ServiceEntry":
                return self._put_entry(service_entry(ServiceEntry.read(manifest)))
            case "PeerAuthentication":
                return self._put_peer(peer_authentication(PeerAuthenticationResource.read(manifest)))
            case "TrafficPolicy" | "FaultPolicy" | "RateLimitPolicy":
                return self._put_policy(parse_resource(manifest))
            case kind if kind in GATEWAY_KINDS:
                return self._put_of_gateways(manifest)
        return NO_CHANGE

    def _delete(self, kind: str, namespace: str, name: str) -> Change:
        key = ObjectName(namespace, name)
        match kind:
            case "Service":
                referring = self.registry.routes.referring_to(key) | self._policies_of("Service", key)
                return Change(_of_services(self.registry.remove_service(key)), referring)
            case "EndpointSlice":
                return Change(_of_services(self.registry.remove_slice(key)))
            case "Pod":
                return self._delete_pod(key)
            case "Node":
                return _of_everyone(self.registry.remove_node(name))
            case kind if kind in ROUTE_KINDS:
                return self._delete_route(ObjectKey(kind, namespace, name))
            case "ReferenceGrant":
                self.registry.routes.remove_grant(key)
                crossing = Change(routes=self.registry.routes.crossing_into(namespace))
                return _both(crossing, self._of_gateways())
            case "ServiceEntry":
                return self._delete_entry(key)
            case "PeerAuthentication":
                return self._delete_peer(key)
            case "TrafficPolicy" | "FaultPolicy" | "RateLimitPolicy":
                return self._delete_policy((kind, key))
            case kind if kind in GATEWAY_KINDS:
                return self._delete_of_gateways(kind, key)
        return NO_CHANGE

    def _put_entry(self, entry: Entry) -> Change:
        old, own = self.registry.entry(entry.key), frozenset({_entry_key(entry.key)})
        if not self.registry.put_entry(entry):
            return Change(routes=own)  # its status has changed: if by somebody else, it must be set right
        return Change(EVERYONE, self._told_of(entry) | (self._told_of(old) if old else frozenset()))

    def _delete_entry(self, key: ObjectName) -> Change:
        old = self.registry.entry(key)
        if old is None:
            return NO_CHANGE
        self.registry.remove_entry(key)
        return Change(EVERYONE, self._told_of(old) - {_entry_key(key)})

    def _told_of(self, entry: Entry) -> frozenset[ObjectKey]:
        """Entries and policies whose status depends on the entry."""
        others = frozenset(map(_entry_key, rivals(entry, self.registry.entries)))
        return others | self._policies_of(ENTRY_KIND, entry.key)

    def _put_peer(self, one: PeerAuthentication) -> Change:
        known = self.registry.peer_authentications
        old = known.get(one.key)
        told = frozenset(_peer_key(other) for other in known.beside(old)) if old else frozenset()
        if not known.put(one):
            return Change(routes=frozenset({_peer_key(one)}))  # if by somebody else, it must be set right
        told |= frozenset(_peer_key(other) for other in known.beside(one))
        return _both(self._stamp_again(), Change(routes=told))

    def _delete_peer(self, key: ObjectName) -> Change:
        known = self.registry.peer_authentications
        old = known.remove(key)
        if old is None:
            return NO_CHANGE
        told = frozenset(_peer_key(other) for other in known.beside(old))
        return _both(self._stamp_again(), Change(routes=told))

    def _stamp_again(self) -> Change:
        """Of every pod, what holds for it now."""
        change = NO_CHANGE
        for workload in self.registry.workloads():
            change = _both(change, self._put_workload(self.registry.peer_authentications.stamped(workload)))
        return change

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

    def _put_of_gateways(self, manifest: Manifest) -> Change:
        before = self._of_gateways()
        if gateway_change.put(self.registry.gateways, manifest):
            return _both(before, self._of_gateways())
        own = gateway_change.own_key(manifest)  # its status has changed: if by somebody else, set it right
        return Change(routes=frozenset({own})) if own is not None else NO_CHANGE

    def _delete_of_gateways(self, kind: str, key: ObjectName) -> Change:
        before = self._of_gateways()
        if not gateway_change.delete(self.registry.gateways, kind, key):
            return NO_CHANGE
        return _both(before, self._of_gateways())

    def _of_gateways(self) -> Change:
        """Pods of Gateways, and everything whose status depends on one. Gateways are few."""
        index = self.registry.gateways
        keys = [ObjectKey("GatewayClass", "", name) for name in index.classes]
        keys += [ObjectKey("Gateway", key.namespace, key.name) for key in index.gateways]
        keys += [ObjectKey("BackendTLSPolicy", key.namespace, key.name) for key in index.backend_tls]
        keys += [ObjectKey("Ingress", key.namespace, key.name) for key in index.ingresses]
        attached = (
            route for key in index.gateways for route in self.registry.routes.attached_to_gateway(key)
        )
        namespaces = frozenset(key.namespace for key in index.gateways)
        return Change(Affected(namespaces=namespaces), frozenset((*keys, *map(key_of, attached))))

    def _backend_tls_keys(self) -> frozenset[ObjectKey]:
        """They are told of every Gateway that they concern."""
        known = self.registry.gateways.backend_tls
        return frozenset(ObjectKey("BackendTLSPolicy", key.namespace, key.name) for key in known)

    def _put_service(self, resource: Service) -> Change:
        service = parse.service(resource)
        changed = self.registry.put_service(service)
        if not changed:
            return NO_CHANGE
        referring = self.registry.routes.referring_to(service.key) | self._policies_of("Service", service.key)
        referring |= self._backend_tls_keys()
        return Change(_of_services(changed), referring)

    def _put_slice(self, resource: EndpointSlice) -> Change:
        endpoint_slice = parse.endpoint_slice(resource)
        if endpoint_slice is None:
            return self._delete("EndpointSlice", resource.metadata.namespace, resource.metadata.name)
        return Change(_of_services(self.registry.put_slice(endpoint_slice)))

    def _put_pod(self, resource: Pod) -> Change:
        return self._put_workload(self.registry.peer_authentications.stamped(parse.workload(resource)))

    def _put_workload(self, workload: Workload) -> Change:
        if self.registry.workload(workload.key) == workload:
            return NO_CHANGE
        old = self.registry.workload(workload.key)
        own = Affected(pods=frozenset({workload.key}))
        served = self._gateways_served(old, workload)
        if (old and old.mesh_pod) != workload.mesh_pod:  # everybody may dial its address
            own = EVERYONE
        return Change(own | _of_services(self.registry.put_workload(workload)), served)

    def _delete_pod(self, key: ObjectName) -> Change:
        old = self.registry.workload(key)
        if old is None:
            return Change(_of_services(self.registry.remove_workload(key)))
        own = EVERYONE if old.mesh_pod else Affected(pods=frozenset({key}))
        served = self._gateways_served(old)
        return Change(own | _of_services(self.registry.remove_workload(key)), served)

    def _gateways_served(self, *pods: Workload | None) -> frozenset[ObjectKey]:
        """Gateways, and Ingresses, whose addresses may be others now."""
        named = [(pod.key.namespace, dict(pod.labels).get(GATEWAY_LABEL)) for pod in pods if pod is not None]
        served = [ObjectKey("Gateway", namespace, name) for namespace, name in named if name]
        if served:
            ingresses = self.registry.gateways.ingresses
            served += [ObjectKey("Ingress", key.namespace, key.name) for key in ingresses]
        return frozenset(served)

    def _put_route(self, route: Route) -> Change:
        routes = self.registry.routes
        old = routes.get(key_of(route))
        if old == route:  # its status has changed: if by somebody else, it must be set right
            return Change(routes=frozenset({key_of(route)}))
        routes.put(route)
        judged = routes.rivals_of(route) | (routes.rivals_of(old) if old else frozenset())
        named = self._policies_of(route.kind, route.key)
        gateways = _gateways_of(old) | _gateways_of(route)
        if gateways:
            gateways |= self._backend_tls_keys()
        return Change(_of_route(old) | _of_route(route), judged | named | gateways)

    def _delete_route(self, key: ObjectKey) -> Change:
        old = self.registry.routes.get(key)
        self.registry.routes.remove(key)
        if old is None:
            return NO_CHANGE
        named = self._policies_of(key.kind, ObjectName(key.namespace, key.name))
        told = self.registry.routes.rivals_of(old) - {key} | named | _gateways_of(old)
        return Change(_of_route(old), told)

    def _put_grant(self, grant: ReferenceGrant) -> Change:
        """Routes of Services need no grant, so of all proxies only gateways are concerned."""
        routes = self.registry.routes
        if routes.grant(grant.key) == grant:
            return NO_CHANGE
        routes.put_grant(grant)
        return _both(Change(routes=routes.crossing_into(grant.key.namespace)), self._of_gateways())


def _both(one: Change, other: Change) -> Change:
    return Change(one.affected | other.affected, one.routes | other.routes)


def _gateways_of(route: Route | None) -> frozenset[ObjectKey]:
    """Their status counts the routes."""
    parents = [ref.key for ref in route.parents if ref.is_gateway] if route else []
    return frozenset(ObjectKey("Gateway", key.namespace, key.name) for key in parents)


def _parts(key: ObjectName) -> tuple[str, str]:
    return key.namespace, key.name


def _policy_key(name: PolicyName) -> ObjectKey:
    kind, key = name
    return ObjectKey(kind, key.namespace, key.name)


def _of_everyone(changed: bool) -> Change:
    return Change(EVERYONE) if changed else NO_CHANGE


def _peer_key(one: PeerAuthentication) -> ObjectKey:
    return ObjectKey(PEER_KIND, one.key.namespace, one.key.name)


def _entry_key(key: ObjectName) -> ObjectKey:
    return ObjectKey(ENTRY_KIND, key.namespace, key.name)


def _of_services(changed: ChangedServices) -> Affected:
    return EVERYONE if changed else NOBODY


def _of_route(route: Route | None) -> Affected:
    """A route of the Service's own namespace holds for every client, one of another for its own namespace."""
    parents = [ref for ref in route.parents if ref.is_service] if route else []
    at_gateways = frozenset(ref.key.namespace for ref in route.parents if ref.is_gateway) if route else None
    if route is None:
        return NOBODY
    if any(ref.key.namespace == route.key.namespace for ref in parents):
        return EVERYONE
    return Affected(namespaces=(at_gateways or frozenset()) | {route.key.namespace for _ in parents[:1]})
