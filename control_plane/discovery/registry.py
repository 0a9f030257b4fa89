"""The joined picture of services, endpoints, workloads and routes (pure), kept up to date change by change.

Each `put_…` and `remove_…` touches only what refers to the object it is given and reports which Services look
different afterwards. Who must hear about it is `control_plane/index.py`'s business.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType

from control_plane.discovery.entry import ServiceEntry
from control_plane.discovery.gateway import GATEWAY_LABEL, GatewayIndex, GatewayObject
from control_plane.discovery.model import (
    NOWHERE,
    Endpoint,
    EndpointSlice,
    Locality,
    MeshPod,
    ObjectName,
    PortProtocol,
    Service,
    ServicePort,
    ServiceView,
    SliceEndpoint,
    Workload,
)
from control_plane.discovery.parse import locality as parse_locality
from control_plane.discovery.peer_authentication import PeerAuthentications
from control_plane.discovery.port_claim import PortClaims
from control_plane.discovery.route import ReferenceGrant, Route
from control_plane.discovery.route_index import RouteIndex, discard
from control_plane.policy.attachment import Policy, PolicyName, PolicySet

ChangedServices = frozenset[ObjectName]


class Registry:
    """Current objects by name, and one `ServiceView` per Service; an unchanged view stays the same object."""

    def __init__(self) -> None:
        self._declared: dict[ObjectName, Service] = {}
        """As they were put; `_services` as their pods let them be: see `_as_pods_say`."""
        self._services: dict[ObjectName, Service] = {}
        self._opaque_pods: set[ObjectName] = set()
        self._redeclared: set[ObjectName] = set()
        self._slices: dict[ObjectName, EndpointSlice] = {}
        self._workloads: dict[ObjectName, Workload] = {}
        self._mesh_pod_of: dict[ObjectName, MeshPod] = {}
        self._mesh_pods: tuple[MeshPod, ...] | None = None
        self._nodes: dict[str, Locality] = {}
        self._clients: Mapping[Locality, int] = {}
        self._are_clients_counted = False
        self._claims = PortClaims()
        self._by_ip: dict[str, Workload] = {}
        self._by_ip_of: tuple[MeshPod, ...] | None = None
        self.routes = RouteIndex(self._advance)
        self._views: dict[ObjectName, ServiceView] = {}
        self._slices_by_service: defaultdict[ObjectName, set[ObjectName]] = defaultdict(set)
        self._slices_by_pod: defaultdict[ObjectName, set[ObjectName]] = defaultdict(set)
        self._revision = 0
        self.policies = PolicySet()
        """TrafficPolicies, FaultPolicies and RateLimitPolicies. Change it by `put_policy` and
        `remove_policy` only."""
        self._entries: dict[ObjectName, ServiceEntry] = {}
        self.gateways = GatewayIndex(self._advance)
        self.peer_authentications = PeerAuthentications()

    # --- reading --------------------------------------------------------------------------------------------

    @property
    def revision(self) -> int:
        """Grows whenever a view or a route changes."""
        return self._revision

    @property
    def views(self) -> Mapping[ObjectName, ServiceView]:
        """Every Service with its endpoints."""
        return MappingProxyType(self._views)

    def _advance(self) -> None:
        self._revision += 1

    def service(self, key: ObjectName) -> Service | None:
        return self._services.get(key)

    def workload(self, key: ObjectName) -> Workload | None:
        return self._workloads.get(key)

    def routes_attached_to(self, service: ObjectName) -> tuple[Route, ...]:
        """Routes of every kind that name the Service as a parent, from any namespace, in a stable order."""
        return self.routes.attached_to(service)

    def grants_of(self, namespace: str) -> tuple[ReferenceGrant, ...]:
        """ReferenceGrants of a namespace."""
        return self.routes.grants_of(namespace)

    def workloads(self) -> tuple[Workload, ...]:
        """Every pod."""
        return tuple(self._workloads.values())

    def services_selecting(self, workload: Workload) -> tuple[Service, ...]:
        """Services of the pod's namespace whose selector its labels satisfy, ordered by name."""
        labels = set(workload.labels)
        return tuple(
            self._services[key]
            for key in sorted(key for key in self._services if key.namespace == workload.key.namespace)
            if self._services[key].selector and labels.issuperset(self._services[key].selector)
        )

    def gateway_of(self, pod: ObjectName) -> GatewayObject | None:
        """The Gateway that a pod serves, by its label; None unless it is one of ours."""
        workload = self._workloads.get(pod)
        name = dict(workload.labels).get(GATEWAY_LABEL, "") if workload is not None else ""
        found = self.gateways.gateways.get(ObjectName(pod.namespace, name))
        return found if found is not None and self.gateways.is_ours(found) else None

    def port_number(self, service: ObjectName, name: str) -> int | None:
        """Of the Service's port called `name`."""
        found = self._services.get(service)
        ports = found.ports if found is not None else ()
        return next((port.number for port in ports if port.name == name), None)

    def gateway_addresses(self, gateway: ObjectName) -> tuple[str, ...]:
        """Of the pods that serve a Gateway, sorted."""
        label = (GATEWAY_LABEL, gateway.name)
        return tuple(
            sorted(
                one.ip
                for one in self._workloads.values()
                if one.ip and one.key.namespace == gateway.namespace and label in one.labels
            )
        )

    # --- services and endpoints -----------------------------------------------------------------------------

    def put_service(self, service: Service) -> ChangedServices:
        if self._declared.get(service.key) == service:
            return frozenset()
        self._declared[service.key] = service
        return self._rebuild({service.key})

    def remove_service(self, key: ObjectName) -> ChangedServices:
        self._declared.pop(key, None)
        return self._rebuild({key})

    def put_slice(self, endpoint_slice: EndpointSlice) -> ChangedServices:
        touched = self._unlink_slice(endpoint_slice.key) | {endpoint_slice.service}
        self._slices[endpoint_slice.key] = endpoint_slice
        self._slices_by_service[endpoint_slice.service].add(endpoint_slice.key)
        for endpoint in endpoint_slice.endpoints:
            if endpoint.pod is not None:
                self._slices_by_pod[endpoint.pod].add(endpoint_slice.key)
        return self._rebuild(touched)

    def remove_slice(self, key: ObjectName) -> ChangedServices:
        return self._rebuild(self._unlink_slice(key))

    def _unlink_slice(self, key: ObjectName) -> set[ObjectName]:
        """Forget a slice; returns the Service it belonged to, if it was known."""
        old = self._slices.pop(key, None)
        if old is None:
            return set()
        discard(self._slices_by_service, old.service, key)
        for endpoint in old.endpoints:
            if endpoint.pod is not None:
                discard(self._slices_by_pod, endpoint.pod, key)
        return {old.service}

    @property
    def mesh_pods(self) -> tuple[MeshPod, ...]:
        """Pods with a sidecar, by address; the same object until one of them changes."""
        if self._mesh_pods is None:
            found = {pod.ip: pod for pod in self._mesh_pod_of.values()}
            self._mesh_pods = tuple(found[ip] for ip in sorted(found))
        return self._mesh_pods

    def _note_pod(self, key: ObjectName, workload: Workload | None) -> None:
        """Before the workload `key` is replaced."""
        self._count_client(self._client_place(self._workloads.get(key)), self._client_place(workload))
        old, new = self._mesh_pod_of.pop(key, None), None if workload is None else workload.mesh_pod
        if new is not None:
            self._mesh_pod_of[key] = new
        if old != new:
            self._mesh_pods = None
            self._revision += 1

    def put_workload(self, workload: Workload) -> ChangedServices:
        self._note_pod(workload.key, workload)
        self._workloads[workload.key] = workload
        self._note_opaque(workload.key, bool(workload.opaque_ports))
        return self._rebuild(self._services_backed_by(workload.key))

    def remove_workload(self, key: ObjectName) -> ChangedServices:
        self._note_pod(key, None)
        self._workloads.pop(key, None)
        self._note_opaque(key, False)
        return self._rebuild(self._services_backed_by(key))

    def _services_backed_by(self, pod: ObjectName) -> set[ObjectName]:
        return {self._slices[key].service for key in self._slices_by_pod.get(pod, ())}

    def _rebuild(self, services: Iterable[ObjectName]) -> ChangedServices:
        """Join again; a view that came out equal keeps its old object and does not count as changed."""
        changed = set()
        for key in services:
            view = self._view(key)
            if view == self._views.get(key):
                continue
            changed.add(key)
            self._claims.note(self._views.get(key), view)
            if view is None:
                del self._views[key]
            else:
                self._views[key] = view
        self._revision += bool(changed)
        return frozenset(changed)

    def _view(self, key: ObjectName) -> ServiceView | None:
        declared = self._declared.get(key)
        if declared is None:
            self._services.pop(key, None)
            return None
        service = self._as_pods_say(declared)
        before = self._services.get(key)
        if before == service:
            service = before  # the same object: who remembers it sees that nothing changed
        elif before is not None and before.ports != service.ports:
            self._redeclared.add(key)
        self._services[key] = service
        return self._join(service)

    def _as_pods_say(self, service: Service) -> Service:
        """With the ports opaque that a pod behind them calls so, ready or not: bytes that are not looked at
        reach every pod, and requests would not reach that one."""
        if not self._opaque_pods:
            return service
        slices = [self._slices[key] for key in self._slices_by_service.get(service.key, ())]
        opaque = {
            port.name
            for one in slices
            for pod in {endpoint.pod for endpoint in one.endpoints} & self._opaque_pods
            for port in one.ports
            if pod is not None and port.number in self._workloads[pod].opaque_ports
        }
        if not opaque:
            return service
        ports = (
            replace(port, protocol=PortProtocol.TCP) if port.name in opaque else port
            for port in service.ports
        )
        return replace(service, ports=tuple(ports))

    def _note_opaque(self, pod: ObjectName, has_opaque_ports: bool) -> None:
        (self._opaque_pods.add if has_opaque_ports else self._opaque_pods.discard)(pod)

    def take_redeclared(self) -> frozenset[ObjectName]:
        """Services whose ports are declared otherwise since the last time, by themselves or by their pods."""
        redeclared, self._redeclared = frozenset(self._redeclared), set()
        return redeclared

    def take_crowded(self) -> frozenset[ObjectName]:
        """Services that share a port with one that declares it differently, where something changed."""
        return self._claims.take_to_tell()

    def beside(self, view: ServiceView) -> tuple[ServiceView, ...]:
        """Other Services that declare a port of the same pods, where not all declare the same."""
        return tuple(self._views[key] for key in sorted(self._claims.rivals(view)) if key in self._views)

    def _join(self, service: Service) -> ServiceView:
        slices = [self._slices[key] for key in sorted(self._slices_by_service.get(service.key, ()))]
        found = (self._port_endpoints(slices, port) for port in service.ports)
        endpoints = tuple(_of_one_family(service.vip, one) for one in found)
        return ServiceView(service, endpoints, self._identities(slices), _pod_addresses(service, slices))

    def _identities(self, slices: list[EndpointSlice]) -> tuple[tuple[str, str], ...]:
        pods = {endpoint.pod for one in slices for endpoint in one.endpoints if endpoint.pod is not None}
        workloads = [self._workloads[pod] for pod in pods if pod in self._workloads]
        return tuple(sorted({(w.key.namespace, w.service_account) for w in workloads if w.meshed}))

    def _port_endpoints(self, slices: list[EndpointSlice], port: ServicePort) -> tuple[Endpoint, ...]:
        """Endpoints of one Service port: those that are ready, and where none is, those that are leaving.

        Who leaves gets nothing new and ends what it has begun; when all leave at once, as the only Pod of a
        Deployment does that is recreated, an answer is better than none. kube-proxy does the same.
        """
        ready = self._joined(slices, port, lambda one: one.ready)
        return ready or self._joined(slices, port, lambda one: one.is_leaving)

    def _joined(
        self, slices: list[EndpointSlice], port: ServicePort, counts: Callable[[SliceEndpoint], bool]
    ) -> tuple[Endpoint, ...]:
        """Endpoints of one Service port that count; the same address in two slices counts once.

        One whose Pod is not known (yet, or any more) is left out: whether mesh TLS ends there cannot be told,
        and plaintext must not be the guess.
        """
        found: dict[tuple[str, int], Endpoint] = {}
        for endpoint_slice in slices:
            for slice_port in endpoint_slice.ports:
                if slice_port.name != port.name:
                    continue
                for endpoint in filter(counts, endpoint_slice.endpoints):
                    workload = None if endpoint.pod is None else self._workloads.get(endpoint.pod)
                    if endpoint.pod is not None and workload is None:
                        continue
                    place = (endpoint.address, slice_port.number)
                    found.setdefault(place, Endpoint(*place, workload, self._place(endpoint, workload)))
        return tuple(found[place] for place in sorted(found))

    # --- places ---------------------------------------------------------------------------------------------

    def put_node(self, name: str, locality: Locality) -> bool:
        """False when nothing changed."""
        return self._moved(name, locality)

    def remove_node(self, name: str) -> bool:
        return self._moved(name, NOWHERE)

    def _moved(self, name: str, locality: Locality) -> bool:
        if self._nodes.get(name, NOWHERE) == locality:
            return False
        self._nodes[name] = locality
        self._are_clients_counted = False
        self._rebuild(list(self._services))
        self._revision += 1
        return True

    def locality_of(self, workload: Workload | None) -> Locality:
        """By the labels that its Node gave it, else by those of the Node."""
        if workload is None:
            return NOWHERE
        own = parse_locality(dict(workload.labels))
        return own if own.zone else self._nodes.get(workload.node_name, NOWHERE)

    def _place(self, endpoint: SliceEndpoint, workload: Workload | None) -> Locality:
        found = self.locality_of(workload)
        if found.zone:
            return found
        found = self._nodes.get(endpoint.node_name, NOWHERE)
        return found if found.zone or not endpoint.zone else Locality(found.region, endpoint.zone)

    def _client_place(self, workload: Workload | None) -> Locality | None:
        """Where the pod counts among `clients`."""
        is_client = workload is not None and workload.meshed and bool(workload.ip)
        return self.locality_of(workload) if is_client else None

    def _count_client(self, before: Locality | None, after: Locality | None) -> None:
        """One of `clients` was at `before` and is at `after`; not counted yet, it will be with all others."""
        if self._are_clients_counted and before != after:
            found = Counter(self._clients)
            found.update([] if after is None else [after])
            found.subtract([] if before is None else [before])
            self._clients = +found

    @property
    def clients(self) -> Mapping[Locality, int]:
        """Pods of the mesh by place; the same object until a number changes."""
        if not self._are_clients_counted:
            places = map(self._client_place, self._workloads.values())
            found = Counter(place for place in places if place is not None)
            self._are_clients_counted = True
            if found != self._clients:
                self._clients = found
        return self._clients

    # --- policies and hosts outside the mesh ----------------------------------------------------------------

    @property
    def entries(self) -> tuple[ServiceEntry, ...]:
        """ServiceEntries, oldest first: of two with one host, the first holds."""
        return tuple(sorted(self._entries.values(), key=lambda entry: (entry.created_at, entry.key)))

    def entry(self, key: ObjectName) -> ServiceEntry | None:
        return self._entries.get(key)

    def workload_at(self, ip: str) -> Workload | None:
        """The pod of the mesh that has the address."""
        if self._by_ip_of is not self.mesh_pods:
            meshed = (one for one in self._workloads.values() if one.mesh_pod is not None)
            self._by_ip, self._by_ip_of = {one.ip: one for one in meshed}, self.mesh_pods
        return self._by_ip.get(ip)

    def put_policy(self, policy: Policy) -> bool:
        """False when nothing changed."""
        return self._counted(self.policies.put(policy))

    def remove_policy(self, name: PolicyName) -> bool:
        return self._counted(self.policies.remove(name))

    def put_entry(self, entry: ServiceEntry) -> bool:
        changed = self._entries.get(entry.key) != entry
        if changed:
            self._entries[entry.key] = entry
        return self._counted(changed)

    def remove_entry(self, key: ObjectName) -> bool:
        return self._counted(self._entries.pop(key, None) is not None)

    def _counted(self, changed: bool) -> bool:
        self._revision += changed
        return changed


def _pod_addresses(service: Service, slices: Iterable[EndpointSlice]) -> tuple[tuple[str, str], ...]:
    if service.vip or service.external_name:
        return ()
    ready = (endpoint for one in slices for endpoint in one.endpoints if endpoint.ready)
    return tuple(sorted({(endpoint.hostname, endpoint.address) for endpoint in ready}))


def _of_one_family(vip: str, endpoints: tuple[Endpoint, ...]) -> tuple[Endpoint, ...]:
    """A pod of two families is one endpoint: by the address of its Service's family."""
    if len({":" in one.address for one in endpoints}) < len(("IPv4", "IPv6")):
        return endpoints
    is_chosen = {id(one): (":" in one.address) == (":" in vip) for one in endpoints}
    reached = {one.workload.key for one in endpoints if one.workload is not None and is_chosen[id(one)]}
    return tuple(
        one
        for one in endpoints
        if is_chosen[id(one)] or one.workload is None or one.workload.key not in reached
    )
