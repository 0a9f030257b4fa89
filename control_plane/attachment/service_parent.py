"""Services as parents (pure; GEP-1294): which routes hold on a port of a Service, for clients of a namespace.

Routes of the client's own namespace (consumer routes) go before those of the Service's (producer routes); the
two are never merged. Of routes of several kinds on one port only the most specific kind holds.
"""

from collections.abc import Iterable

from control_plane.attachment.support import rule_problem
from control_plane.discovery.model import PortProtocol, Service, ServicePort
from control_plane.discovery.route import GRPC_ROUTE, HTTP_ROUTE, HttpRoute, ObjectRef, Route

KINDS_BY_SPECIFICITY = (GRPC_ROUTE, HTTP_ROUTE, "TLSRoute", "TCPRoute")


def is_routed(port: ServicePort) -> bool:
    """Whether requests on the port are looked at, so that HTTPRoutes can apply."""
    return port.protocol is not PortProtocol.TCP


def carries(port: ServicePort, kind: str) -> bool:
    """Whether routes of a kind can apply to what the port declares. Calls are HTTP/2, and where nothing is
    declared that is opaque."""
    if kind == GRPC_ROUTE:
        return port.protocol.is_http
    return is_routed(port) if kind == HTTP_ROUTE else not port.protocol.is_http


def selected_ports(ref: ObjectRef, service: Service) -> tuple[ServicePort, ...]:
    """Ports that a parentRef means: by number, by name, or all."""
    return tuple(
        port
        for port in service.ports
        if ref.port in (None, port.number) and ref.section_name in ("", port.name)
    )


def attaches(route: Route, service: Service, port: ServicePort) -> bool:
    """Whether a parentRef of the route names the Service and this port of it."""
    return any(
        ref.is_service and ref.key == service.key and port in selected_ports(ref, service)
        for ref in route.parents
    )


def is_executable(route: Route) -> bool:
    """Whether any of the route can be acted on; if not, it is not accepted and changes nothing. One without
    rules, which GRPCRoutes may be, matches nothing."""
    if not isinstance(route, HttpRoute) or not route.rules:
        return True
    return any(rule_problem(rule) is None for rule in route.rules)


def routes_of_namespace(
    routes: Iterable[Route], service: Service, port: ServicePort, namespace: str
) -> tuple[Route, ...]:
    """Routes of one namespace that hold on the port: all those of the most specific kind."""
    attached = [
        route
        for route in routes
        if route.key.namespace == namespace
        and carries(port, route.kind)
        and attaches(route, service, port)
        and is_executable(route)
    ]
    for kind in KINDS_BY_SPECIFICITY:
        if of_kind := tuple(route for route in attached if route.kind == kind):
            return of_kind
    return ()


def effective_routes(
    routes: Iterable[Route], service: Service, port: ServicePort, client_namespace: str
) -> tuple[Route, ...]:
    """The routes, all of one kind, that hold on the port for clients of a namespace; empty: the Service
    itself."""
    candidates = tuple(routes)
    return routes_of_namespace(candidates, service, port, client_namespace) or routes_of_namespace(
        candidates, service, port, service.key.namespace
    )
