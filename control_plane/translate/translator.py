"""One node's whole configuration (pure): the registry as xDS resources, computed again only where something
changed.

Resources that do not depend on the node are built once and shared. Each is remembered with the registry
objects it was built from; registry objects are replaced, never mutated, so identity tells whether it still
holds.
"""

import itertools
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from functools import partial

from control_plane.api.envoy.config.route.v3.route_components_pb2 import VirtualHost
from control_plane.attachment.condition import holder
from control_plane.attachment.precedence import ordered_entries
from control_plane.attachment.service_parent import effective_routes, is_routed
from control_plane.discovery.entry import EntryHost, entry_hosts
from control_plane.discovery.model import (
    NOWHERE,
    MeshPod,
    PortProtocol,
    Service,
    ServicePort,
    ServiceView,
    Workload,
)
from control_plane.discovery.protocol import SIDECAR_PORTS
from control_plane.discovery.registry import Registry
from control_plane.discovery.route import HttpRoute, StreamRoute
from control_plane.discovery.route_index import backend_refs
from control_plane.policy.attachment import Policy
from control_plane.policy.effective import (
    FAULT,
    RATE_LIMIT,
    TRAFFIC,
    by_port,
    for_entry,
    for_port,
    merged,
    rate_limit,
    traffic_policies,
)
from control_plane.snapshot import CLUSTER_TYPE, ENDPOINT_TYPE, Resource, Snapshot, XdsResource, resource_of
from control_plane.translate import (
    clusters,
    endpoints,
    listeners,
    name_table,
    names,
    pod_address,
    routes,
    stream_routes,
    tls,
)
from control_plane.translate.backend_tls import backend_tls_clusters
from control_plane.translate.cluster_policy import subset_keys
from control_plane.translate.external_name import external_clusters
from control_plane.translate.gateway import gateway_resources
from control_plane.translate.listeners import InboundMtls, InboundPort
from control_plane.translate.memory import Memory
from control_plane.translate.pod_part import Filters, PodPart
from control_plane.translate.policy_hooks import apply_to_host, header_timeout, port_policies
from control_plane.translate.policy_routes import apply_to_rules, routed_policies
from control_plane.translate.service_entry import (
    HTTP,
    entry_cluster,
    entry_listeners,
    entry_virtual_host,
    pods_of,
    server_name_chains,
    server_name_listener,
    server_names,
)
from control_plane.translate.settings import Client, MeshSettings, MtlsMode, Node


class Translator:
    """Builds snapshots from one registry."""

    def __init__(self, registry: Registry, settings: MeshSettings) -> None:
        self._registry = registry
        self._settings = settings
        self._memory = Memory(lambda: registry.revision)
        self._remember = self._memory.remember
        self._pods = PodPart(registry, settings, self._memory)
        self._outbound_of: dict[Client, tuple[int, tuple[Resource, ...]]] = {}
        self._fixed = self._wrap(*clusters.fixed_clusters())

    def snapshot(self, node: Node) -> Snapshot:
        """Everything `node` should have now."""
        node = self._placed(node)
        if node.is_gateway:
            return Snapshot.of(self._gateway(node))
        return Snapshot.of([*self._fixed, *self._outbound(node.client), *self._inbound(node)])

    def keep_only(self, clients: Collection[Client]) -> None:
        """Forget what was built for kinds of clients other than these."""
        kept = {replace(client, locality=NOWHERE) for client in clients}
        for client in list(self._outbound_of):
            if replace(client, locality=NOWHERE) not in kept:
                del self._outbound_of[client]

    def _placed(self, node: Node) -> Node:
        """Where the node is: by what is known of its Pod, else by its own word."""
        known = self._registry.locality_of(self._registry.workload(node.pod))
        return replace(node, client=replace(node.client, locality=known)) if known.zone else node

    # --- outbound -------------------------------------------------------------------------------------------

    def _outbound(self, client: Client) -> tuple[Resource, ...]:
        """The part that depends on the kind of client only; the same object until the registry changes."""
        revision = self._registry.revision
        known = self._outbound_of.get(client)
        if known is not None and known[0] == revision:
            return known[1]
        views = [self._registry.views[key] for key in sorted(self._registry.views)]
        entries = entry_hosts(self._registry.entries)
        hosts = self._hosts(views, entries, client)
        filters = {number: self._filters_in_use(of_port) for number, of_port in hosts.items()}
        built = list(self._pods.resources(views, filters, client, self._virtual_host))
        built += [one for view in views for one in self._service_resources(view, client, filters)]
        built += self._http_ports(views, entries, hosts, filters, client)
        built += self._entry_resources(entries, client, {one.name for one in built})
        if not client.is_envoy:
            built.append(self._name_table())
        self._outbound_of[client] = (revision, tuple(built))
        self._memory.prune()
        return tuple(built)

    def _name_table(self) -> Resource:
        """For the resolver: the same for every sidecar."""
        views, entries = self._registry.views, self._registry.entries
        inputs = name_table.depends_on(views, entries)
        return self._remember(
            ("name table",), inputs, lambda: resource_of(name_table.name_table(views, entries))
        )

    def _service_resources(self, view: ServiceView, client: Client, filters: Filters) -> Iterator[Resource]:
        key = view.service.key
        policies = traffic_policies(self._registry.policies, view.service)
        inputs = (view, *policies, self._alias(view.service))
        yield from self._remember(
            ("clusters", key, client.is_envoy, client.secrets_dir),
            inputs,
            lambda: self._clusters(view, client, policies),
        )
        placing = self._placing(view, policies, client)
        place = client.locality if placing.balancing else NOWHERE
        # Zone awareness depends on where the clients are; the other ways do not.
        heeded = (placing.clients,) if placing.heeds_clients else ()
        yield from self._remember(
            ("endpoints", key, place), (*inputs, *heeded), lambda: self._endpoints(view, policies, placing)
        )
        yield from self._vip_listeners(view.service, client, filters)

    def _clusters(
        self, view: ServiceView, client: Client, policies: tuple[Policy, ...]
    ) -> tuple[Resource, ...]:
        effective = by_port(policies, view.service)
        if view.service.external_name:
            alias = self._alias(view.service)
            return self._wrap(*external_clusters(view.service, alias, self._settings, client, effective))
        return self._wrap(*clusters.service_clusters(view, self._settings, client, effective))

    def _alias(self, service: Service) -> ServiceView | None:
        """The Service of the mesh that an ExternalName is another name for."""
        key = names.service_named(service.external_name)
        found = None if key is None else self._registry.views.get(key)
        return None if found is None or found.service.external_name else found

    def _placing(self, view: ServiceView, policies: tuple[Policy, ...], client: Client) -> endpoints.Placing:
        balancing = {
            number: spec.load_balancer.locality
            for number, spec in by_port(policies, view.service).items()
            if spec.load_balancer is not None and spec.load_balancer.locality is not None
        }
        return endpoints.Placing(client.locality, self._registry.clients, balancing)

    def _endpoints(
        self, view: ServiceView, policies: tuple[Policy, ...], placing: endpoints.Placing
    ) -> tuple[Resource, ...]:
        effective = by_port(policies, view.service)
        keys = {number: subset_keys(spec) for number, spec in effective.items()}
        return self._wrap(*endpoints.load_assignments(view, self._settings, keys, placing))

    def _entry_resources(
        self, entries: tuple[EntryHost, ...], client: Client, taken: set[str]
    ) -> Iterator[Resource]:
        """`taken`: names of listeners and clusters that Services have; theirs come first."""
        for one in entries:
            if one.cluster not in taken:
                yield self._entry_cluster(one, client)
        yield from self._wrap(*(one for one in entry_listeners(entries) if one.name not in taken))

    def _entry_cluster(self, one: EntryHost, client: Client) -> Resource:
        holding = for_entry(self._registry.policies, TRAFFIC, one.key, one.port.name)

        def build() -> Resource:
            cluster = entry_cluster(one, self._registry, self._settings, client)
            spec = merged(holding)
            if spec is not None and one.spec.resolution == "NONE":
                spec = spec.model_copy(update=pod_address.WITHOUT_ENDPOINTS)
            clusters.finish(cluster, spec, one.host, client)
            return resource_of(cluster)

        key = ("entry cluster", one.host, one.port.number, client.is_envoy, client.secrets_dir)
        return self._remember(key, (one.spec, *holding, *pods_of(one, self._registry)), build)

    def _vip_listeners(self, service: Service, client: Client, filters: Filters) -> tuple[Resource, ...]:
        """Listeners of single ports; they depend on the client only where a TCPRoute or TLSRoute holds."""
        own = tuple((port.number, used) for port in service.ports if (used := filters.get(port.number)))
        held = {
            port.number: found
            for port in service.ports
            if (found := self._stream_routes(service, port, client.namespace))
        }
        found_routes = [route for of_port in held.values() for route in of_port]
        backends = [self._registry.service(ref.key) for route in found_routes for ref in backend_refs(route)]
        return self._remember(
            ("listeners", service.key, client.namespace if held else "", own),
            (service, *found_routes, *backends),
            lambda: self._wrap(*_vip_listeners(service, held, self._registry, filters)),
        )

    def _stream_routes(self, service: Service, port: ServicePort, namespace: str) -> tuple[StreamRoute, ...]:
        attached = self._registry.routes_attached_to(service.key)
        if not attached or not service.vip:
            return ()
        effective = holder(effective_routes(attached, service, port, namespace))
        return tuple(route for route in effective if isinstance(route, StreamRoute))

    def _hosts(
        self, views: list[ServiceView], entries: tuple[EntryHost, ...], client: Client
    ) -> dict[int, list[VirtualHost]]:
        """Virtual hosts by port number."""
        found: dict[int, list[VirtualHost]] = {}
        for view in views:
            for port in view.service.ports:
                if is_routed(port):
                    host = self._virtual_host(view.service, port, client)
                    found.setdefault(port.number, []).append(host)
        taken = {number: {name for host in some for name in host.domains} for number, some in found.items()}
        for one in entries:
            if one.port.protocol == HTTP:
                others = taken.setdefault(one.port.number, set())
                host = self._entry_host(one, client, frozenset(others))
                if host.domains:
                    others.update(host.domains)
                    found.setdefault(one.port.number, []).append(host)
        return found

    def _filters_in_use(self, hosts: list[VirtualHost]) -> frozenset[str]:
        used: frozenset[str] = frozenset()
        for host in hosts:
            used |= self._remember(("filters", id(host)), (host,), partial(routes.filters_in_use, host))
        return used

    def _http_ports(
        self,
        views: list[ServiceView],
        entries: tuple[EntryHost, ...],
        hosts: dict[int, list[VirtualHost]],
        filters: Filters,
        client: Client,
    ) -> Iterator[Resource]:
        for number in sorted(hosts):
            yield self._route_table(number, tuple(hosts[number]), client)
        ports = (port for view in views for port in view.service.ports)
        declared = {port.number for port in ports if port.protocol.is_http}
        declared |= {one.port.number for one in entries if one.port.protocol == HTTP}
        named = server_names(entries)
        for number in sorted(declared):
            yield self._http_listener(number, filters.get(number, frozenset()), named.get(number, ()))
        for number in sorted(named.keys() - declared):
            yield self._server_name_listener(number, named[number])

    def _server_name_listener(self, number: int, named: tuple[EntryHost, ...]) -> Resource:
        pods, policy = self._registry.mesh_pods, self._settings.outbound_traffic_policy

        def build() -> Resource:
            chains = pod_address.pod_chains(pods, self._settings, any_port=False)
            return resource_of(server_name_listener(number, named, policy, chains))

        return self._remember(("names", number, _names(named)), (pods,), build)

    def _http_listener(self, number: int, filters: frozenset[str], named: tuple[EntryHost, ...]) -> Resource:
        pods = self._registry.mesh_pods
        return self._remember(
            ("http", number, filters, _names(named)),
            (pods,),
            lambda: self._build_http_listener(number, filters, pods, named),
        )

    def _build_http_listener(
        self,
        number: int,
        filters: frozenset[str],
        pods: tuple[MeshPod, ...],
        named: tuple[EntryHost, ...],
    ) -> Resource:
        chains = pod_address.pod_chains(pods, self._settings, any_port=False)
        if named:
            chains += server_name_chains(named, self._settings.outbound_traffic_policy)
        return resource_of(listeners.http_listener(number, filters, chains, looks_for_tls=bool(named)))

    def _route_table(self, number: int, hosts: tuple[VirtualHost, ...], client: Client) -> Resource:
        shared = (client.namespace, client.is_envoy)
        policy = self._settings.outbound_traffic_policy
        return self._remember(
            ("routes", number, *shared),
            hosts,
            lambda: resource_of(routes.route_configuration(number, hosts, policy, is_envoy=client.is_envoy)),
        )

    def _virtual_host(self, service: Service, port: ServicePort, client: Client) -> VirtualHost:
        attached = self._registry.routes_attached_to(service.key)
        found = effective_routes(attached, service, port, client.namespace)
        effective = tuple(route for route in found if isinstance(route, HttpRoute))
        backends = tuple(
            self._registry.service(ref.key) for route in effective for ref in backend_refs(route)
        )
        holding = port_policies(self._registry.policies, service.key, port)
        more = routed_policies(self._registry, effective)

        def build() -> VirtualHost:
            host = routes.virtual_host(service, port, effective, self._registry, client)
            apply_to_rules(host, holding, ordered_entries(effective), self._registry, client)
            return host

        return self._remember(
            ("host", service.key, port.number, client.namespace, client.is_envoy),
            (service, *effective, *backends, *holding, *more),
            build,
        )

    def _entry_host(self, one: EntryHost, client: Client, taken: frozenset[str]) -> VirtualHost:
        """Without the domains that others have: twice in a table, Envoy would refuse it."""
        policies = self._registry.policies
        holding = (
            *for_entry(policies, TRAFFIC, one.key, one.port.name),
            *for_entry(policies, FAULT, one.key, one.port.name),
        )

        def build() -> VirtualHost:
            host = entry_virtual_host(one, client)
            apply_to_host(host, holding, is_envoy=client.is_envoy)
            return host

        key = ("entry", one.host, one.port.number, client.is_envoy)
        host = self._remember(key, (one.spec, *holding), build)
        lost = frozenset(host.domains) & taken
        return host if not lost else self._remember((*key, lost), (host,), partial(_without, host, lost))

    # --- gateways -------------------------------------------------------------------------------------------

    def _gateway(self, node: Node) -> Iterator[Resource]:
        """The mesh's clusters, and the listeners of the Gateway that the node's pod serves."""
        origins = {
            one.name: one for one in self._wrap(*backend_tls_clusters(self._registry, self._settings, node))
        }
        for resource in (*self._fixed, *self._outbound(node.client)):
            if resource.type_url in (CLUSTER_TYPE, ENDPOINT_TYPE):
                yield origins.get(resource.name, resource) if resource.type_url == CLUSTER_TYPE else resource
        gateway = self._registry.gateway_of(node.pod)
        if gateway is not None:
            yield from self._wrap(*gateway_resources(gateway, self._registry, node.client))

    # --- inbound --------------------------------------------------------------------------------------------

    def _inbound(self, node: Node) -> Iterator[Resource]:
        """The inbound listener and its clusters; a node without a Pod has the catch-all chains only."""
        workload = self._registry.workload(node.pod)
        found = () if workload is None else self._registry.services_selecting(workload)
        ports = {} if workload is None else inbound_ports(workload, found)
        settings = self._settings
        socket = tls.downstream_socket(str(settings.trust_domain), node.client.secrets_dir)
        opaque = frozenset() if workload is None else workload.opaque_ports
        declared = [
            self._inbound_port(number, service, port, is_opaque=number in opaque)
            for number, (service, port) in sorted(ports.items())
        ]
        mtls = inbound_mtls(workload, settings.mtls_mode)
        yield resource_of(listeners.virtual_inbound(declared, mtls, socket, is_envoy=node.client.is_envoy))
        for port, (_, (service, _)) in zip(declared, sorted(ports.items()), strict=True):
            yield resource_of(clusters.inbound_cluster(port.number, service.key, port.protocol))

    def _inbound_port(
        self, number: int, service: Service, port: ServicePort, *, is_opaque: bool
    ) -> InboundPort:
        policies = self._registry.policies
        limit = rate_limit(for_port(policies, RATE_LIMIT, service.key, port))
        protocol = PortProtocol.TCP if is_opaque else port.protocol
        return InboundPort(number, protocol, limit, header_timeout(policies, service, port))

    @staticmethod
    def _wrap(*messages: XdsResource) -> tuple[Resource, ...]:
        return tuple(resource_of(message) for message in messages)


def inbound_mtls(workload: Workload | None, of_mesh: MtlsMode) -> InboundMtls:
    """What PeerAuthentications say, else what the mesh does. Where the mesh sends plaintext, all must take
    it."""
    if workload is None or of_mesh is MtlsMode.DISABLE:
        return InboundMtls(of_mesh)
    said = workload.transport
    ports = {port: MtlsMode(mode) for port, mode in said.ports}
    return InboundMtls(MtlsMode(said.mode) if said.mode else of_mesh, ports)


def inbound_ports(
    workload: Workload, services: tuple[Service, ...]
) -> dict[int, tuple[Service, ServicePort]]:
    """Ports of the local app that Services name; of two that declare one port, the oldest Service wins."""
    found: dict[int, tuple[Service, ServicePort]] = {}
    named = dict(reversed(workload.named_ports))
    for service in sorted(services, key=lambda one: (one.created_at, one.key)):
        for port in service.ports:
            number = named.get(port.target) if isinstance(port.target, str) else port.target
            # To itself the sidecar would relay for ever; what is not listed there is refused (`blocked`).
            if number is not None and number not in SIDECAR_PORTS and workload.intercepts(number):
                found.setdefault(number, (service, port))
    return found


def _vip_listeners(
    service: Service, held: Mapping[int, tuple[StreamRoute, ...]], registry: Registry, filters: Filters
) -> Iterator[XdsResource]:
    """Ports that cannot share the wildcard listener: opaque and undeclared ones, with the routes that hold on
    them. A headless Service has none."""
    for vip, port in itertools.product(service.vips, service.ports):
        at = service if vip == service.vip else replace(service, vip=vip)
        if port.number in held:
            yield stream_routes.routed_listener(at, port, held[port.number], registry)
        elif port.protocol is PortProtocol.TCP:
            yield listeners.tcp_listener(at, port)
        elif port.protocol is PortProtocol.UNDECLARED:
            yield listeners.detecting_listener(at, port, filters.get(port.number, frozenset()))


def _names(hosts: tuple[EntryHost, ...]) -> tuple[tuple[str, str], ...]:
    return tuple((one.host, one.cluster) for one in hosts)


def _without(host: VirtualHost, domains: frozenset[str]) -> VirtualHost:
    kept = VirtualHost()
    kept.CopyFrom(host)
    del kept.domains[:]
    kept.domains.extend(domain for domain in host.domains if domain not in domains)
    return kept
