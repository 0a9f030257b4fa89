"""RouteConfigurations of outbound HTTP ports (pure): routes in Gateway API's order, or the Service
itself.

- A Service with attached routes answers 404 to what none of them matches; without any, everything goes to it.
- Which routes hold for a client: `attachment/service_parent.py`; in which order: `attachment/precedence.py`.
- A backend that does not exist keeps its share, which answers 500; so does a rule with nothing to send to.
  Of a GRPCRoute it is 503, which gRPC calls UNAVAILABLE.
  hostnames play no part: a mesh client has already named the Service.
"""

from collections.abc import Iterable

from google.protobuf.duration_pb2 import Duration

from control_plane.api.envoy.config.route.v3 import route_components_pb2 as components
from control_plane.api.envoy.config.route.v3.route_pb2 import RouteConfiguration
from control_plane.attachment.backend import KnownObjects
from control_plane.attachment.precedence import Entry, ordered_entries
from control_plane.discovery.model import PortProtocol, Service, ServicePort
from control_plane.discovery.route import HttpRoute
from control_plane.translate import names
from control_plane.translate.call_time import heed_calls
from control_plane.translate.route_action import Parent, add_defaults, fill_route
from control_plane.translate.route_match import route_match
from control_plane.translate.settings import Client, OutboundTrafficPolicy

_NO_TIMEOUT = Duration(seconds=0)
BY_DESTINATION = "by_destination"
"""Key in a table's metadata."""


def virtual_host(
    service: Service, port: ServicePort, routes: tuple[HttpRoute, ...], known: KnownObjects, client: Client
) -> components.VirtualHost:
    """The virtual host of a Service; `routes` are those effective for the client."""
    same_namespace = client.namespace == service.key.namespace
    host = components.VirtualHost(
        name=f"{names.fqdn(service.key)}:{port.number}",
        domains=names.domains(service.key, service.vips, port.number, same_namespace=same_namespace),
    )
    if routes:
        host.routes.extend(
            _rule_route(entry, service, port, known, client) for entry in ordered_entries(routes)
        )
    else:
        cluster = names.outbound_cluster(service.key, port.number)
        host.routes.append(default_route(cluster, client, may_last=port.protocol is PortProtocol.HTTP2))
    return host


def route_configuration(
    port: int, hosts: Iterable[components.VirtualHost], policy: OutboundTrafficPolicy, *, is_envoy: bool
) -> RouteConfiguration:
    """All virtual hosts of one port number, and the catch-all for hosts that no Service stands for.

    Our sidecars route a request whose Host names nobody by the address it was sent to: the virtual host
    that has the ClusterIP among its domains. Envoy knows no such match.
    """
    table = table_of(names.route_table(port), (*hosts, _catch_all(policy)))
    if not is_envoy:
        table.metadata.filter_metadata[names.LABEL_METADATA].update({BY_DESTINATION: "true"})
    return table


def table_of(name: str, hosts: Iterable[components.VirtualHost]) -> RouteConfiguration:
    """Virtual hosts under a name."""
    table = RouteConfiguration(name=name, virtual_hosts=hosts)
    if any(_changes_headers_of_a_share(route) for host in table.virtual_hosts for route in host.routes):
        # A backend's header filters run after its rule's.
        table.most_specific_header_mutations_wins = True
    return table


def filters_in_use(host: components.VirtualHost) -> frozenset[str]:
    """Names of the HTTP filters that some route has settings for: the listener must have them."""
    found: set[str] = set()
    for route in host.routes:
        found.update(route.typed_per_filter_config)
        for share in route.route.weighted_clusters.clusters:
            found.update(share.typed_per_filter_config)
    return frozenset(found)


def _changes_headers_of_a_share(route: components.Route) -> bool:
    return any(
        share.request_headers_to_add
        or share.request_headers_to_remove
        or share.response_headers_to_add
        or share.response_headers_to_remove
        for share in route.route.weighted_clusters.clusters
    )


def single_cluster_host(
    name: str, cluster: str, route_name: str, *, has_calls: bool = False
) -> components.VirtualHost:
    """Everything to one cluster, without timeout or retry: for inbound, where the client has set both; calls
    bring a deadline of their own along."""
    action = components.RouteAction(cluster=cluster, timeout=_NO_TIMEOUT)
    if has_calls:
        heed_calls(action)
    route = components.Route(name=route_name, match=components.RouteMatch(prefix="/"), route=action)
    return components.VirtualHost(name=name, domains=["*"], routes=[route])


def _catch_all(policy: OutboundTrafficPolicy) -> components.VirtualHost:
    if policy is OutboundTrafficPolicy.ALLOW_ANY:
        return single_cluster_host("allow_any", names.PASSTHROUGH_CLUSTER, "allow_any")
    route = components.Route(
        name="block_all",
        match=components.RouteMatch(prefix="/"),
        direct_response=components.DirectResponseAction(status=502),
    )
    return components.VirtualHost(name="block_all", domains=["*"], routes=[route])


def default_route(cluster: str, client: Client, *, may_last: bool = False) -> components.Route:
    """Everything to one cluster, with the mesh's timeout and retries."""
    action = components.RouteAction(cluster=cluster)
    add_defaults(action, client, may_last=may_last)
    return components.Route(name="default", match=components.RouteMatch(prefix="/"), route=action)


def _rule_route(
    entry: Entry, service: Service, port: ServicePort, known: KnownObjects, client: Client
) -> components.Route:
    route = components.Route(name=f"{entry.rule_name}/{entry.match_index}", match=route_match(entry.match))
    parent = Parent(service.key, port.number, port.protocol is PortProtocol.HTTP2)
    fill_route(route, entry, parent, known, client)
    return route
