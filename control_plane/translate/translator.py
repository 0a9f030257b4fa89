"""One node's whole configuration (pure): the registry as xDS resources, computed again only where something
changed.

Resources that do not depend on the node are built once and shared. Each is remembered with the registry
objects it was built from; registry objects are replaced, never mutated, so identity tells whether it still
holds.
"""

from collections.abc import Callable, Collection, Hashable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

from control_plane.api.envoy.config.route.v3.route_components_pb2 import VirtualHost
from control_plane.attachment.condition import holder
from control_plane.attachment.service_parent import effective_routes, is_routed
from control_plane.discovery.model import (
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
from control_plane.snapshot import Resource, Snapshot, XdsResource, resource_of
from control_plane.translate import clusters, endpoints, listeners, routes, stream_routes, tls
from control_plane.translate.listeners import InboundPort
from control_plane.translate.settings import Client, MeshSettings, Node

T = TypeVar("T")

_UNPRUNED = 1_000
"""Remembered entries that are kept without asking whether anybody still uses them."""


@dataclass(slots=True)
class _Remembered:
    inputs: tuple[object, ...]
    value: object
    used_at: int
    """Registry revision of the last use."""


class Translator:
    """Builds snapshots from one registry."""

    def __init__(self, registry: Registry, settings: MeshSettings) -> None:
        self._registry = registry
        self._settings = settings
        self._memo: dict[Hashable, _Remembered] = {}
        self._kept = 0
        self._outbound_of: dict[Client, tuple[int, tuple[Resource, ...]]] = {}
        self._fixed = self._wrap(
            *clusters.fixed_clusters(), listeners.virtual_outbound(settings.outbound_traffic_policy)
        )

    def snapshot(self, node: Node) -> Snapshot:
        """Everything `node` should have now."""
        return Snapshot.of([*self._fixed, *self._outbound(node.client), *self._inbound(node)])

    def keep_only(self, clients: Collection[Client]) -> None:
        """Forget what was built for kinds of clients other than these."""
        for client in self._outbound_of.keys() - set(clients):
            del self._outbound_of[client]

    # --- outbound -------------------------------------------------------------------------------------------

    def _outbound(self, client: Client) -> tuple[Resource, ...]:
        """The part that depends on the kind of client only; the same object until the registry changes."""
        revision = self._registry.revision
        known = self._outbound_of.get(client)
        if known is not None and known[0] == revision:
            return known[1]
        views = [self._registry.views[key] for key in sorted(self._registry.views)]
        built = [resource for view in views for resource in self._service_resources(view, client)]
        built += self._http_ports(views, client)
        self._outbound_of[client] = (revision, tuple(built))
        self._prune()
        return tuple(built)

    def _service_resources(self, view: ServiceView, client: Client) -> Iterator[Resource]:
        key, secrets_dir = view.service.key, client.secrets_dir
        yield from self._remember(
            ("clusters", key, secrets_dir),
            (view,),
            lambda: self._wrap(*clusters.service_clusters(view, self._settings, secrets_dir)),
        )
        yield from self._remember(
            ("endpoints", key), (view,), lambda: self._wrap(*endpoints.load_assignments(view, self._settings))
        )
        yield from self._vip_listeners(view.service, client)

    def _vip_listeners(self, service: Service, client: Client) -> tuple[Resource, ...]:
        """Listeners of single ports; they depend on the client only where a TCPRoute or TLSRoute holds."""
        held = {
            port.number: found
            for port in service.ports
            if (found := self._stream_routes(service, port, client.namespace))
        }
        found_routes = [route for of_port in held.values() for route in of_port]
        backends = [self._registry.service(ref.key) for route in found_routes for ref in backend_refs(route)]
        return self._remember(
            ("listeners", service.key, client.namespace if held else ""),
            (service, *found_routes, *backends),
            lambda: self._wrap(*_vip_listeners(service, held, self._registry)),
        )

    def _stream_routes(self, service: Service, port: ServicePort, namespace: str) -> tuple[StreamRoute, ...]:
        attached = self._registry.routes_attached_to(service.key)
        if not attached or not service.vip:
            return ()
        effective = holder(effective_routes(attached, service, port, namespace))
        return tuple(route for route in effective if isinstance(route, StreamRoute))

    def _http_ports(self, views: list[ServiceView], client: Client) -> Iterator[Resource]:
        by_port: dict[int, list[tuple[Service, ServicePort]]] = {}
        declared: set[int] = set()
        for view in views:
            for port in view.service.ports:
                if is_routed(port):
                    by_port.setdefault(port.number, []).append((view.service, port))
                if port.protocol is PortProtocol.HTTP:
                    declared.add(port.number)
        for number in sorted(by_port):
            yield self._route_table(number, by_port[number], client)
        for number in sorted(declared):
            yield self._http_listener(number)

    def _http_listener(self, number: int) -> Resource:
        return self._remember(("http", number), (), lambda: resource_of(listeners.http_listener(number)))

    def _route_table(
        self, number: int, members: list[tuple[Service, ServicePort]], client: Client
    ) -> Resource:
        hosts = tuple(self._virtual_host(service, port, client) for service, port in members)
        shared = (client.namespace, client.is_envoy)
        policy = self._settings.outbound_traffic_policy
        return self._remember(
            ("routes", number, *shared),
            hosts,
            lambda: resource_of(routes.route_configuration(number, hosts, policy)),
        )

    def _virtual_host(self, service: Service, port: ServicePort, client: Client) -> VirtualHost:
        attached = self._registry.routes_attached_to(service.key)
        found = effective_routes(attached, service, port, client.namespace)
        effective = tuple(route for route in found if isinstance(route, HttpRoute))
        backends = tuple(
            self._registry.service(ref.key) for route in effective for ref in backend_refs(route)
        )
        return self._remember(
            ("host", service.key, port.number, client.namespace, client.is_envoy),
            (service, *effective, *backends),
            lambda: routes.virtual_host(service, port, effective, self._registry, client),
        )

    # --- inbound --------------------------------------------------------------------------------------------

    def _inbound(self, node: Node) -> Iterator[Resource]:
        """The inbound listener and its clusters; a node without a Pod has the catch-all chains only."""
        workload = self._registry.workload(node.pod)
        found = () if workload is None else self._registry.services_selecting(workload)
        ports = {} if workload is None else inbound_ports(workload, found)
        settings = self._settings
        socket = tls.downstream_socket(str(settings.trust_domain), node.client.secrets_dir)
        declared = [InboundPort(number, port.protocol) for number, (_, port) in sorted(ports.items())]
        yield resource_of(listeners.virtual_inbound(declared, settings.mtls_mode, socket))
        for number, (service, _) in sorted(ports.items()):
            yield resource_of(clusters.inbound_cluster(number, service.key))

    # --- remembering ----------------------------------------------------------------------------------------

    def _remember(self, key: Hashable, inputs: tuple[object, ...], build: Callable[[], T]) -> T:
        """The value built from exactly these input objects, if it is still there; else build it."""
        known = self._memo.get(key)
        if known is not None and _same(known.inputs, inputs):
            known.used_at = self._registry.revision
            return known.value  # type: ignore[return-value]  # the key's first element fixes the type
        value = build()
        self._memo[key] = _Remembered(inputs, value, self._registry.revision)
        return value

    def _prune(self) -> None:
        """Drop what this revision did not use, once the memory has doubled; who needs it again builds it
        again."""
        if len(self._memo) <= 2 * self._kept + _UNPRUNED:
            return
        revision = self._registry.revision
        self._memo = {key: entry for key, entry in self._memo.items() if entry.used_at == revision}
        self._kept = len(self._memo)

    @staticmethod
    def _wrap(*messages: XdsResource) -> tuple[Resource, ...]:
        return tuple(resource_of(message) for message in messages)


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
    service: Service, held: Mapping[int, tuple[StreamRoute, ...]], registry: Registry
) -> Iterator[XdsResource]:
    """Ports that cannot share the wildcard listener: opaque and undeclared ones, with the routes that hold on
    them. A headless Service has none."""
    if not service.vip:
        return
    for port in service.ports:
        if port.number in held:
            yield stream_routes.routed_listener(service, port, held[port.number], registry)
        elif port.protocol is PortProtocol.TCP:
            yield listeners.tcp_listener(service, port)
        elif port.protocol is PortProtocol.UNDECLARED:
            yield listeners.detecting_listener(service, port)


def _same(left: tuple[object, ...], right: tuple[object, ...]) -> bool:
    return len(left) == len(right) and all(one is other for one, other in zip(left, right, strict=True))
