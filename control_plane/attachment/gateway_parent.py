"""Gateways as parents (pure): which listeners a route attaches to, and if none, why (Gateway API v1).

A listener takes a route when the parentRef means it, the kind fits protocol and `allowedRoutes.kinds`, the
route's namespace is allowed, and their hostnames meet. The reason told is of the step that the route got
furthest with: a hostname that does not match is told only when a listener would have taken the route.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from control_plane.attachment.hostname import intersections
from control_plane.attachment.support import Problem
from control_plane.discovery.route import GATEWAY_GROUP, GRPC_ROUTE, HTTP_ROUTE, ObjectRef, Route
from control_plane.resources.gateway_listener import Listener

KINDS_OF_PROTOCOL: Mapping[str, tuple[str, ...]] = {
    "HTTP": (HTTP_ROUTE, GRPC_ROUTE),
    "HTTPS": (HTTP_ROUTE, GRPC_ROUTE),
    "TLS": ("TLSRoute", "TCPRoute"),
    "TCP": ("TCPRoute",),
}
"""Kinds that are served on a protocol; a protocol that is not here is not served."""


@dataclass(frozen=True, slots=True)
class Attachment:
    """One listener that takes a route."""

    listener: str
    hostnames: tuple[str, ...]
    """Hosts for which it does; an empty name is every host."""


def supported_kinds(listener: Listener) -> tuple[str, ...]:
    """Route kinds that the listener takes: those of its protocol that `allowedRoutes.kinds` names."""
    possible = KINDS_OF_PROTOCOL.get(listener.protocol, ())
    if not listener.allowed_routes.kinds:
        return possible
    named = {kind.kind for kind in listener.allowed_routes.kinds if kind.group == GATEWAY_GROUP}
    return tuple(kind for kind in possible if kind in named)


def invalid_kinds(listener: Listener) -> tuple[str, ...]:
    """Kinds in `allowedRoutes.kinds` that the listener cannot take: its `ResolvedRefs` is then
    False/InvalidRouteKinds."""
    possible = KINDS_OF_PROTOCOL.get(listener.protocol, ())
    return tuple(
        kind.kind
        for kind in listener.allowed_routes.kinds
        if kind.group != GATEWAY_GROUP or kind.kind not in possible
    )


def allows_namespace(
    listener: Listener, gateway_namespace: str, namespace: str, labels: Mapping[str, str]
) -> bool:
    """Whether routes of `namespace`, whose labels these are, may attach."""
    allowed = listener.allowed_routes.namespaces
    match allowed.from_:
        case "All":
            return True
        case "Same":
            return namespace == gateway_namespace
        case "Selector":
            return allowed.selector is not None and allowed.selector.matches(dict(labels))
        case _:
            return False


def attach(
    route: Route,
    ref: ObjectRef,
    field: str,
    listeners: Iterable[Listener],
    namespace_labels: Mapping[str, str],
) -> tuple[Attachment, ...] | Problem:
    """The listeners of the Gateway `ref` that take the route, or why none does. `field`: path of the ref."""
    meant = [one for one in listeners if ref.section_name in ("", one.name) and ref.port in (None, one.port)]
    if not meant:
        where = ref.section_name or ref.port or "any name"
        return Problem("NoMatchingParent", f"{field}: Gateway {ref.key} has no listener {where}")
    allowing = [
        one
        for one in meant
        if route.kind in supported_kinds(one)
        and allows_namespace(one, ref.key.namespace, route.key.namespace, namespace_labels)
    ]
    if not allowing:
        names = ", ".join(one.name for one in meant)
        return Problem(
            "NotAllowedByListeners",
            f"{field}: listeners {names} of Gateway {ref.key} take no {route.kind} of {route.key.namespace}",
        )
    found = [Attachment(one.name, hosts) for one in allowing if (hosts := _hosts(one, route))]
    if not found:
        names = ", ".join(f"{one.name} ({one.hostname})" for one in allowing)
        return Problem(
            "NoMatchingListenerHostname",
            f"spec.hostnames: none meets those of listeners {names} of Gateway {ref.key}",
        )
    return tuple(found)


def _hosts(listener: Listener, route: Route) -> tuple[str, ...]:
    return intersections(listener.hostname or "", route.hostnames)
