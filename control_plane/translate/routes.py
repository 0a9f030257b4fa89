"""RouteConfigurations of outbound HTTP ports (pure): HTTPRoutes in Gateway API's order, or the Service
itself.

- A Service with attached routes answers 404 to what none of them matches; without any, everything goes to it.
- Producer routes (of the Service's namespace) hold for every client. A client namespace that has routes of
  its own for that Service and port (consumer routes) uses those instead (GEP-1426).
- Order: Exact before PathPrefix, longer prefixes first, then the older route, then namespace/name, then rule
  order.
- A backend that does not exist keeps its share, which answers 500; so does a rule with nothing to send to.
  hostnames play no part: a mesh client has already named the Service.
"""

from collections.abc import Iterable
from typing import NamedTuple

from google.protobuf.duration_pb2 import Duration
from google.protobuf.wrappers_pb2 import UInt32Value

from control_plane.api.envoy.config.route.v3 import route_components_pb2 as components
from control_plane.api.envoy.config.route.v3.route_pb2 import RouteConfiguration
from control_plane.api.envoy.extensions.retry.host.previous_hosts.v3.previous_hosts_pb2 import (
    PreviousHostsPredicate,
)
from control_plane.discovery.model import (
    Backend,
    HttpRoute,
    ObjectName,
    PathMatch,
    PathMatchKind,
    PortProtocol,
    RouteRule,
    Service,
    ServicePort,
)
from control_plane.discovery.registry import Registry
from control_plane.translate import names
from control_plane.translate.settings import Client, OutboundTrafficPolicy
from control_plane.translate.tls import packed

REQUEST_TIMEOUT_SECONDS = 15
"""For the whole exchange, retries included; Envoy's default, said aloud."""
NUM_RETRIES = 2
HOST_SELECTION_ATTEMPTS = 5
"""How often a retry draws again when it draws an endpoint that was tried."""

RETRY_ON = "connect-failure,refused-stream,reset"
"""Our sidecar retries `reset` only for idempotent methods and before any response byte."""
RETRY_ON_ENVOY = "connect-failure,refused-stream,reset-before-request"
"""Envoy's `reset` would send a POST twice that the first endpoint may have processed."""

_NO_TIMEOUT = Duration(seconds=0)


class Entry(NamedTuple):
    """One match of one rule of one route: what precedence orders."""

    match: PathMatch
    route: HttpRoute
    rule_index: int
    match_index: int

    @property
    def rule(self) -> RouteRule:
        return self.route.rules[self.rule_index]


def is_routed(port: ServicePort) -> bool:
    """Whether requests on the port are looked at, so that HTTPRoutes can apply."""
    return port.protocol is not PortProtocol.TCP


def effective_routes(
    routes: Iterable[HttpRoute], service: ObjectName, port: int, client_namespace: str
) -> tuple[HttpRoute, ...]:
    """Which of the `routes` attached to `service` hold on `port` for clients of a namespace."""
    on_port = [route for route in routes if attaches(route, service, port)]
    own = tuple(route for route in on_port if route.key.namespace == client_namespace)
    return own or tuple(route for route in on_port if route.key.namespace == service.namespace)


def attaches(route: HttpRoute, service: ObjectName, port: int) -> bool:
    """Whether a parentRef names the Service, and this port or none."""
    return any(ref.is_service and ref.key == service and ref.port in (None, port) for ref in route.parents)


def ordered_entries(routes: Iterable[HttpRoute]) -> list[Entry]:
    """Every match of every rule, first to be tried first; the same whatever order the routes come in."""
    entries = [
        Entry(match, route, rule_index, match_index)
        for route in routes
        for rule_index, rule in enumerate(route.rules)
        for match_index, match in enumerate(rule.matches)
    ]
    return sorted(entries, key=_precedence)


def _precedence(entry: Entry) -> tuple[bool, int, str, ObjectName, int, int]:
    is_prefix = entry.match.kind is PathMatchKind.PREFIX
    length = len(entry.match.value.rstrip("/")) if is_prefix else 0
    route = entry.route
    return (is_prefix, -length, route.created_at, route.key, entry.rule_index, entry.match_index)


def virtual_host(
    service: Service, port: ServicePort, routes: tuple[HttpRoute, ...], registry: Registry, client: Client
) -> components.VirtualHost:
    """The virtual host of a Service; `routes` are those effective for the client."""
    same_namespace = client.namespace == service.key.namespace
    host = components.VirtualHost(
        name=f"{names.fqdn(service.key)}:{port.number}",
        domains=names.domains(service.key, service.vip, port.number, same_namespace=same_namespace),
    )
    if routes:
        host.routes.extend(_rule_route(entry, registry, client) for entry in ordered_entries(routes))
    else:
        host.routes.append(_default_route(names.outbound_cluster(service.key, port.number), client))
    return host


def route_configuration(
    port: int, hosts: Iterable[components.VirtualHost], policy: OutboundTrafficPolicy
) -> RouteConfiguration:
    """All virtual hosts of one port number, and the catch-all for hosts that no Service stands for."""
    return RouteConfiguration(name=names.route_table(port), virtual_hosts=[*hosts, _catch_all(policy)])


def single_cluster_host(name: str, cluster: str, route_name: str) -> components.VirtualHost:
    """Everything to one cluster, without timeout or retry: for inbound, where the client has set both."""
    action = components.RouteAction(cluster=cluster, timeout=_NO_TIMEOUT)
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


def _default_route(cluster: str, client: Client) -> components.Route:
    action = components.RouteAction(cluster=cluster)
    _add_resilience(action, client)
    return components.Route(name="default", match=components.RouteMatch(prefix="/"), route=action)


def _rule_route(entry: Entry, registry: Registry, client: Client) -> components.Route:
    route = components.Route(
        name=f"{entry.route.key}/{entry.rule_index}/{entry.match_index}", match=_match(entry.match)
    )
    shares = [(_backend_cluster(backend, registry), backend.weight) for backend in entry.rule.backends]
    if any(cluster is not None and weight for cluster, weight in shares):
        route.route.CopyFrom(_weighted(entry.rule.backends, registry))
        _add_resilience(route.route, client)
    else:
        route.direct_response.status = 500
    return route


def _match(match: PathMatch) -> components.RouteMatch:
    if match.kind is PathMatchKind.EXACT:
        return components.RouteMatch(path=match.value)
    prefix = match.value.rstrip("/")  # Gateway API: a trailing slash means the same
    if not prefix:
        return components.RouteMatch(prefix="/")
    return components.RouteMatch(path_separated_prefix=prefix)


def _weighted(backends: Iterable[Backend], registry: Registry) -> components.RouteAction:
    """A split in which the share of a missing backend goes to a cluster that is never defined."""
    shares = [
        components.WeightedCluster.ClusterWeight(
            name=_backend_cluster(backend, registry)
            or names.missing_backend(backend.ref.key, backend.ref.port),
            weight=UInt32Value(value=backend.weight),
        )
        for backend in backends
    ]
    return components.RouteAction(
        weighted_clusters=components.WeightedCluster(clusters=shares),
        cluster_not_found_response_code=components.RouteAction.INTERNAL_SERVER_ERROR,
    )


def _backend_cluster(backend: Backend, registry: Registry) -> str | None:
    """Name of the cluster of a backend; None when there is no such Service or port."""
    service = registry.service(backend.ref.key) if backend.ref.is_service else None
    if service is None or all(port.number != backend.ref.port for port in service.ports):
        return None
    assert backend.ref.port is not None
    return names.outbound_cluster(service.key, backend.ref.port)


def _add_resilience(action: components.RouteAction, client: Client) -> None:
    action.timeout.CopyFrom(Duration(seconds=REQUEST_TIMEOUT_SECONDS))
    other_host = components.RetryPolicy.RetryHostPredicate(
        name="envoy.retry_host_predicates.previous_hosts", typed_config=packed(PreviousHostsPredicate())
    )
    action.retry_policy.CopyFrom(
        components.RetryPolicy(
            retry_on=RETRY_ON_ENVOY if client.is_envoy else RETRY_ON,
            num_retries=UInt32Value(value=NUM_RETRIES),
            retry_host_predicate=[other_host],
            host_selection_retry_max_attempts=HOST_SELECTION_ATTEMPTS,
        )
    )
