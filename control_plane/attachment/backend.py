"""Whether a backend of a route can be sent to (pure), and if not, why, in the standard's reasons."""

from collections.abc import Iterable
from typing import Protocol

from control_plane.attachment.grant import is_granted
from control_plane.attachment.support import Problem
from control_plane.discovery.model import ObjectName, PortProtocol, Service, ServicePort
from control_plane.discovery.route import (
    GATEWAY_GROUP,
    GRPC_ROUTE,
    HTTP_ROUTE,
    ObjectRef,
    ReferenceGrant,
    Route,
)


class KnownObjects(Protocol):
    """What references are looked up in; `discovery.registry.Registry` is one."""

    def service(self, key: ObjectName) -> Service | None: ...

    def grants_of(self, namespace: str) -> Iterable[ReferenceGrant]: ...


def backend_port(ref: ObjectRef, known: KnownObjects) -> ServicePort | None:
    """The Service port a backend names; None when there is no such thing."""
    service = known.service(ref.key) if ref.is_service else None
    if service is None:
        return None
    return next((port for port in service.ports if port.number == ref.port), None)


def is_resolved(ref: ObjectRef, kind: str, known: KnownObjects) -> bool:
    """Whether a mesh client's route of `kind` can send to the backend."""
    port = backend_port(ref, known)
    return port is not None and not _wrong_protocol(port, kind)


def _wrong_protocol(port: ServicePort, kind: str) -> str:
    """Why a route of `kind` cannot send to what the port declares; empty when it can."""
    if kind == GRPC_ROUTE and port.protocol is not PortProtocol.HTTP2:
        return "is not declared HTTP/2: name it grpc, or give it appProtocol kubernetes.io/h2c"
    if kind not in (GRPC_ROUTE, HTTP_ROUTE) and port.protocol.is_http:
        return f"is declared HTTP, which a {kind} cannot send to"
    return ""


def backend_problem(
    field: str, ref: ObjectRef, route: Route, known: KnownObjects, *, needs_grant: bool
) -> Problem | None:
    """Why nothing can be sent to the backend at `field`; None when it can.

    `needs_grant`: routes of Gateways need a ReferenceGrant across namespaces; routes of Services do not,
    because a mesh client may call that Service anyway (GEP-1294, "Namespace boundaries").
    """
    if not ref.is_service:
        return Problem("InvalidKind", f"{field}.kind: {ref.kind} {ref.key} is not supported; name a Service")
    if needs_grant and not _is_permitted(ref, route, known):
        return Problem(
            "RefNotPermitted",
            f"{field}.namespace: no ReferenceGrant in {ref.key.namespace} permits {route.kind}s of "
            f"{route.key.namespace} to refer to Service {ref.key.name}",
        )
    service = known.service(ref.key)
    if service is None:
        return Problem("BackendNotFound", f"{field}.name: Service {ref.key} does not exist")
    port = backend_port(ref, known)
    if port is None:
        problem = f"Service {ref.key} has no port {ref.port}; it has {port_numbers(service.ports)}"
        return Problem("BackendNotFound", f"{field}.port: {problem}")
    if text := _wrong_protocol(port, route.kind):
        problem = f"port {ref.port} of Service {ref.key} {text}"
        return Problem("UnsupportedProtocol", f"{field}.port: {problem}")
    return None


def port_numbers(ports: Iterable[ServicePort]) -> str:
    return ", ".join(str(port.number) for port in ports) or "none"


def _is_permitted(ref: ObjectRef, route: Route, known: KnownObjects) -> bool:
    return is_granted(
        known.grants_of(ref.key.namespace),
        group=GATEWAY_GROUP,
        kind=route.kind,
        namespace=route.key.namespace,
        target=ref,
    )
