"""The part of a client's configuration that is for addresses of pods (pure): from the registry."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import TypeAlias

from control_plane.api.envoy.config.route.v3.route_components_pb2 import VirtualHost
from control_plane.attachment.service_parent import is_routed
from control_plane.discovery.model import MeshPod, Service, ServicePort, ServiceView
from control_plane.discovery.registry import Registry
from control_plane.policy.effective import by_port, traffic_policies
from control_plane.snapshot import Resource, XdsResource, resource_of
from control_plane.translate import listeners, names, pod_address, routes
from control_plane.translate.memory import Memory
from control_plane.translate.settings import Client, MeshSettings

Filters: TypeAlias = Mapping[int, frozenset[str]]
"""By port number: names of the HTTP filters that its routes have settings for."""
HostOf: TypeAlias = Callable[[Service, ServicePort, Client], VirtualHost]


class PodPart:
    """One translator's; `control_plane/translate/pod_address.py` says what it is made of."""

    def __init__(self, registry: Registry, settings: MeshSettings, memory: Memory) -> None:
        self._registry = registry
        self._settings = settings
        self._remember = memory.remember

    def resources(
        self, views: list[ServiceView], filters: Filters, client: Client, host_of: HostOf
    ) -> Iterator[Resource]:
        """Of two headless Services with one pod's port, the older has it. `host_of`: the virtual host of a
        Service's port."""
        pods, settings, named = self._registry.mesh_pods, self._settings, set[str]()
        yield from self._remember(("outbound",), (pods,), lambda: _wrap(self._virtual_outbound(pods)))
        yield from self._remember(
            ("pods", client.secrets_dir),
            (),
            lambda: _wrap(*pod_address.pod_clusters(settings, client.secrets_dir)),
        )
        headless = sorted(filter(pod_address.is_headless, views), key=lambda view: view.service.age)
        for view in headless:
            for listener in self._headless_listeners(view, filters):
                if listener.name not in named:
                    named.add(listener.name)
                    yield listener
            yield from self._headless_clusters(view, client)
        exceptional = self._remember(
            ("exceptional",),
            (pods,),
            lambda: _wrap(*pod_address.exceptional_listeners(pods, settings)),
        )
        yield from (listener for listener in exceptional if listener.name not in named)
        yield from self._headless_tables(headless, client, host_of)

    def _virtual_outbound(self, pods: tuple[MeshPod, ...]) -> XdsResource:
        chains = pod_address.pod_chains(pods, self._settings, any_port=True)
        return listeners.virtual_outbound(self._settings.outbound_traffic_policy, chains)

    def _headless_listeners(self, view: ServiceView, filters: Filters) -> tuple[Resource, ...]:
        own = tuple((port.number, used) for port in view.service.ports if (used := filters.get(port.number)))
        return self._remember(
            ("headless", view.service.key, own),
            (view,),
            lambda: _wrap(*pod_address.headless_listeners(view, self._settings, filters)),
        )

    def _headless_clusters(self, view: ServiceView, client: Client) -> tuple[Resource, ...]:
        policies = traffic_policies(self._registry.policies, view.service)

        def build() -> tuple[Resource, ...]:
            effective = by_port(policies, view.service)
            return _wrap(*pod_address.headless_clusters(view, self._settings, client, effective))

        key = ("direct", view.service.key, client.is_envoy, client.secrets_dir)
        return self._remember(key, (view, *policies), build)

    def _headless_tables(
        self, views: list[ServiceView], client: Client, host_of: HostOf
    ) -> Iterator[Resource]:
        """Requests to pods of headless Services: routed by the Host of such a Service, else to the pod."""
        hosts: dict[int, list[VirtualHost]] = {}
        tables: set[tuple[int, bool]] = set()
        for view in views:
            tables |= pod_address.headless_tables(view, self._settings)
            for port in filter(is_routed, view.service.ports):
                hosts.setdefault(port.number, []).append(host_of(view.service, port, client))
        for number, is_meshed in sorted(tables):
            name = names.headless_table(number, is_meshed=is_meshed)
            cluster = names.POD_HTTP_CLUSTER if is_meshed else names.PASSTHROUGH_CLUSTER
            yield self._remember(
                ("headless", name, client.namespace, client.is_envoy),
                tuple(hosts[number]),
                partial(self._headless_table, name, tuple(hosts[number]), cluster),
            )

    @staticmethod
    def _headless_table(name: str, hosts: tuple[VirtualHost, ...], cluster: str) -> Resource:
        pod = routes.single_cluster_host("pod", cluster, "pod")
        return resource_of(routes.table_of(name, (*hosts, pod)))


def _wrap(*messages: XdsResource) -> tuple[Resource, ...]:
    return tuple(resource_of(message) for message in messages)
