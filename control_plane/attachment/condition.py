"""What a route is told about each of its parents (pure): conditions in the Gateway API's words.

Every message begins with the field that it is about, because that is what its reader will edit.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from control_plane.attachment.backend import KnownObjects, backend_problem, port_numbers
from control_plane.attachment.service_parent import (
    KINDS_BY_SPECIFICITY,
    carries,
    is_executable,
    routes_of_namespace,
    selected_ports,
)
from control_plane.attachment.support import Problem, rule_problem
from control_plane.discovery.model import ObjectName, Service, ServicePort
from control_plane.discovery.route import (
    GRPC_ROUTE,
    HTTP_ROUTE,
    REQUEST_ROUTES,
    HttpRoute,
    ObjectRef,
    Route,
    StreamRoute,
)


class KnownRoutes(KnownObjects, Protocol):
    """As `KnownObjects`, with the routes that compete for a Service."""

    def routes_attached_to(self, service: ObjectName) -> Iterable[Route]: ...


@dataclass(frozen=True, slots=True)
class RouteCondition:
    """One condition, without the time of its last change."""

    type: str
    status: bool
    reason: str
    message: str


Conditions = tuple[RouteCondition, ...]


def service_parent_conditions(route: Route, number: int, known: KnownRoutes) -> Conditions:
    """Of the route towards its parent `number`, a Service."""
    ref, field = route.parents[number], f"spec.parentRefs[{number}]"
    problem = _attachment_problem(field, ref, route, known) or execution_problem(route)
    accepted = not_accepted(problem) if problem else accepted_by(field, f"Service {ref.key}")
    resolved = resolved_refs(route, known, needs_grant=False)
    return accepted, resolved, *partially_invalid(route, accepted)


def accepted_by(field: str, parent: str) -> RouteCondition:
    return RouteCondition("Accepted", True, "Accepted", f"{field}: attached to {parent}")


def not_accepted(problem: Problem) -> RouteCondition:
    return RouteCondition("Accepted", False, problem.reason, problem.message)


# --- attachment to a Service --------------------------------------------------------------------------------


def _attachment_problem(field: str, ref: ObjectRef, route: Route, known: KnownRoutes) -> Problem | None:
    service = known.service(ref.key)
    if service is None:
        return _no_parent(f"{field}.name: Service {ref.key} does not exist")
    ports = selected_ports(ref, service)
    if not ports:
        return _no_parent(_missing_port(field, ref, service))
    if not any(carries(port, route.kind) for port in ports):
        return _no_parent(_wrong_protocol(field, ref, route, ports))
    if not service.vip and (text := _headless_problem(field, ref, route, ports)):
        return _no_parent(text)
    return _conflict(field, route, service, [port for port in ports if carries(port, route.kind)], known)


def _no_parent(message: str) -> Problem:
    return Problem("NoMatchingParent", message)


def _missing_port(field: str, ref: ObjectRef, service: Service) -> str:
    if ref.section_name and not any(port.name == ref.section_name for port in service.ports):
        names = ", ".join(port.name for port in service.ports if port.name) or "none"
        return f"{field}.sectionName: Service {ref.key} has no port named {ref.section_name}; it has {names}"
    return f"{field}.port: Service {ref.key} has no TCP port {ref.port}; it has {port_numbers(service.ports)}"


def _wrong_protocol(field: str, ref: ObjectRef, route: Route, ports: tuple[ServicePort, ...]) -> str:
    where = f"{field}: port {port_numbers(ports)} of Service {ref.key}"
    if route.kind == GRPC_ROUTE:
        return f"{where} is not declared HTTP/2: name it grpc, or give it appProtocol kubernetes.io/h2c"
    if route.kind == HTTP_ROUTE:
        return (
            f"{where} is opaque by its appProtocol, name or number: its requests are not looked at; "
            "declare it http"
        )
    return f"{where} is declared HTTP: use an HTTPRoute, or declare it tcp"


def _headless_problem(field: str, ref: ObjectRef, route: Route, ports: tuple[ServicePort, ...]) -> str:
    """Without an address of its own a Service is told by Host only, on ports that declare HTTP."""
    if route.kind in REQUEST_ROUTES and any(port.protocol.is_http for port in ports):
        return ""
    if route.kind in REQUEST_ROUTES:
        return (
            f"{field}: Service {ref.key} is headless and its port {port_numbers(ports)} undeclared: its "
            "requests are not looked at; declare it http"
        )
    return f"{field}: Service {ref.key} is headless: its connections cannot be told from others"


def _conflict(
    field: str, route: Route, service: Service, ports: list[ServicePort], known: KnownRoutes
) -> Problem | None:
    """A more specific kind of route, or an older route of a kind of which only one can hold, has the port."""
    rivals = tuple(known.routes_attached_to(service.key))
    winners = [holder(routes_of_namespace(rivals, service, port, route.key.namespace)) for port in ports]
    if any(route in winner for winner in winners):
        return None
    holding = (one for winner in winners for one in winner)
    other = next((one for one in holding if route.kind not in REQUEST_ROUTES or one.kind != route.kind), None)
    if other is None:  # nothing of it can be done: routes of requests share ports with those of their kind
        return None
    return Problem(
        "Conflicted", f"{field}: {other.kind} {other.key} holds this port of Service {service.key}"
    )


def holder(routes: tuple[Route, ...]) -> tuple[Route, ...]:
    """Of the routes that hold on one port: all, but of TCPRoutes only the oldest, then by namespace/name."""
    if routes and routes[0].kind == KINDS_BY_SPECIFICITY[-1]:
        return (min(routes, key=lambda route: (route.created_at, route.key)),)
    return routes


# --- what the route asks for --------------------------------------------------------------------------------


def execution_problem(route: Route) -> Problem | None:
    """Why nothing of the route can be done; None when at least one rule can."""
    if is_executable(route):
        return None
    _, problem = next(_dropped(route))
    return problem


def partially_invalid(route: Route, accepted: RouteCondition) -> Conditions:
    """The condition of a route of which some rules are dropped; it is only ever True."""
    dropped = list(_dropped(route)) if accepted.status else []
    if not dropped:
        return ()
    text = "; ".join(f"{number}: {problem.message}" for number, problem in dropped)
    return (RouteCondition("PartiallyInvalid", True, dropped[0][1].reason, f"Dropped Rule {text}"),)


def _dropped(route: Route) -> Iterator[tuple[int, Problem]]:
    if isinstance(route, StreamRoute):
        return
    for number, rule in enumerate(route.rules):
        if (problem := rule_problem(rule)) is not None:
            yield number, Problem(problem.reason, f"spec.rules[{number}].{problem.message}")


def resolved_refs(route: Route, known: KnownObjects, *, needs_grant: bool) -> RouteCondition:
    """Whether every backend can be sent to."""
    problems = [
        problem
        for field, ref in _references(route)
        if (problem := backend_problem(field, ref, route, known, needs_grant=needs_grant)) is not None
    ]
    if not problems:
        return RouteCondition("ResolvedRefs", True, "ResolvedRefs", "every backendRef names an existing port")
    share = "connections is refused"
    if isinstance(route, HttpRoute):
        share = "calls answers UNAVAILABLE" if route.is_grpc else "requests answers 500"
    text = "; ".join(problem.message for problem in problems) + f"; their share of {share}"
    return RouteCondition("ResolvedRefs", False, problems[0].reason, text)


def _references(route: Route) -> Iterator[tuple[str, ObjectRef]]:
    """Every backend with its field, mirrors included."""
    if isinstance(route, StreamRoute):
        for number, backend in enumerate(route.backends):
            yield f"spec.rules[0].backendRefs[{number}]", backend.ref
        return
    for rule_number, rule in enumerate(route.rules):
        field = f"spec.rules[{rule_number}]"
        for number, backend in enumerate(rule.backends):
            yield f"{field}.backendRefs[{number}]", backend.ref
            for mirror in backend.filters.mirrors:
                yield f"{field}.backendRefs[{number}].filters.requestMirror.backendRef", mirror.target
        for mirror in rule.filters.mirrors:
            yield f"{field}.filters.requestMirror.backendRef", mirror.target
