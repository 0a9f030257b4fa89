"""What becomes of a Gateway's listeners (pure): which are served, with what, for which routes; and the
conditions that say so, in the Gateway API's words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from control_plane.attachment.condition import (
    Conditions,
    RouteCondition,
    accepted_by,
    execution_problem,
    not_accepted,
    partially_invalid,
    resolved_refs,
)
from control_plane.attachment.gateway_conflict import RouteConflicts
from control_plane.attachment.gateway_parent import KINDS_OF_PROTOCOL, attach, invalid_kinds
from control_plane.attachment.grant import is_granted
from control_plane.attachment.support import Problem
from control_plane.discovery.gateway import GATEWAY_LABEL, GatewayObject, authority_problem
from control_plane.discovery.model import ObjectName
from control_plane.discovery.registry import Registry
from control_plane.discovery.route import GATEWAY_GROUP, HttpRoute, ObjectRef, Route
from control_plane.resources.gateway import CaReference, FrontendValidation
from control_plane.resources.gateway_listener import Listener, SecretReference

_OWN_PORTS: Final = frozenset({15000, 15001, 15006, 15021, 15090})
"""Of the proxy's admin, readiness and metrics, and those that a sidecar is given connections on."""
_FAMILIES: Final = {"HTTP": "HTTP", "HTTPS": "TLS", "TLS": "TLS", "TCP": "TCP"}
"""Protocols of one family share a port, told apart by hostname."""


@dataclass(frozen=True, slots=True)
class ServedListener:
    """A listener and what was found out about it."""

    listener: Listener
    certificate: ObjectName | None = None
    """Of the Secret; None where TLS is not ended."""
    client_authorities: str = ""
    """PEM: clients must prove to be of one of these; empty: they need not."""
    problems: tuple[tuple[str, Problem], ...] = ()
    """(condition type, problem)."""
    routes: tuple[tuple[Route, tuple[str, ...]], ...] = ()
    """Attached ones, with the hosts for which they are; an empty host is every host."""

    @property
    def is_served(self) -> bool:
        """It is usable: what is wrong with its kinds leaves the other kinds."""
        return all(problem.reason == "InvalidRouteKinds" for _, problem in self.problems)

    def problem(self, kind: str) -> Problem | None:
        return next((problem for type_, problem in self.problems if type_ == kind), None)


def served_listeners(gateway: GatewayObject, registry: Registry) -> tuple[ServedListener, ...]:
    """In the order of `spec.listeners`."""
    found = [_resolved(gateway, one, registry) for one in gateway.spec.listeners]
    attached = _attached(gateway, registry)
    return tuple(
        ServedListener(
            one.listener,
            one.certificate,
            one.client_authorities,
            one.problems,
            tuple(attached.get(one.listener.name, ())),
        )
        for one in found
    )


# --- routes -------------------------------------------------------------------------------------------------


def attachments(route: Route, number: int, registry: Registry) -> dict[str, tuple[str, ...]] | Problem:
    """Listener -> hosts for the route's parent `number`, a Gateway."""
    ref = route.parents[number]
    field = f"spec.parentRefs[{number}]"
    gateway = registry.gateways.gateways.get(ref.key)
    if gateway is None or not registry.gateways.is_ours(gateway):
        return Problem("NoMatchingParent", f"{field}.name: Gateway {ref.key} does not exist")
    found = _taking(route, number, gateway, registry)
    if isinstance(found, Problem) or not isinstance(route, HttpRoute):
        return found
    conflicts = _conflicts(gateway, registry)
    holders = {name: conflicts.holder(route, name) for name in found}
    free = {name: hosts for name, hosts in found.items() if holders[name] is None}
    if free:
        return free
    others = ", ".join(sorted({f"{one.kind} {one.key}" for one in holders.values() if one is not None}))
    return Problem("Conflicted", f"{field}: {others} is older and has a host of it; kinds are not merged")


def _taking(
    route: Route, number: int, gateway: GatewayObject, registry: Registry
) -> dict[str, tuple[str, ...]] | Problem:
    """As `attachments`, as if the route were alone."""
    labels = registry.gateways.labels_of(route.key.namespace)
    field = f"spec.parentRefs[{number}]"
    found = attach(route, route.parents[number], field, gateway.spec.listeners, labels)
    return found if isinstance(found, Problem) else {one.listener: one.hostnames for one in found}


def _conflicts(gateway: GatewayObject, registry: Registry) -> RouteConflicts:
    attached = registry.routes.attached_to_gateway(gateway.key)
    routes = [route for route in attached if isinstance(route, HttpRoute)]
    return RouteConflicts(routes, lambda route: _hosts_of(route, gateway, registry))


def _hosts_of(route: Route, gateway: GatewayObject, registry: Registry) -> dict[str, tuple[str, ...]]:
    """By listener; a route that names one listener twice is attached once, for the hosts of both."""
    hosts: dict[str, tuple[str, ...]] = {}
    for number, ref in enumerate(route.parents):
        if not ref.is_gateway or ref.key != gateway.key:
            continue
        found = _taking(route, number, gateway, registry)
        if not isinstance(found, Problem):
            for name, names in found.items():
                hosts[name] = tuple(dict.fromkeys((*hosts.get(name, ()), *names)))
    return hosts


def _attached(gateway: GatewayObject, registry: Registry) -> dict[str, list[tuple[Route, tuple[str, ...]]]]:
    """By listener."""
    if not registry.gateways.is_ours(gateway):
        return {}
    result: dict[str, list[tuple[Route, tuple[str, ...]]]] = {}
    conflicts = _conflicts(gateway, registry)
    for route in registry.routes.attached_to_gateway(gateway.key):
        for name, names in _hosts_of(route, gateway, registry).items():
            if not isinstance(route, HttpRoute) or conflicts.holder(route, name) is None:
                result.setdefault(name, []).append((route, names))
    return result


def gateway_parent_conditions(route: Route, number: int, registry: Registry) -> Conditions:
    """Of the route towards its parent `number`, a Gateway of ours."""
    ref, field = route.parents[number], f"spec.parentRefs[{number}]"
    found = attachments(route, number, registry)
    problem = found if isinstance(found, Problem) else execution_problem(route)
    accepted = not_accepted(problem) if problem else accepted_by(field, f"Gateway {ref.key}")
    resolved = resolved_refs(route, registry, needs_grant=True)
    return accepted, resolved, *partially_invalid(route, accepted)


# --- the listener itself ------------------------------------------------------------------------------------


def _resolved(gateway: GatewayObject, listener: Listener, registry: Registry) -> ServedListener:
    problems = list(_unacceptable(gateway, listener))
    kinds = invalid_kinds(listener)
    if kinds:
        text = f"allowedRoutes.kinds: {', '.join(kinds)} cannot attach to protocol {listener.protocol}"
        problems.append(("ResolvedRefs", Problem("InvalidRouteKinds", text)))
    certificate: ObjectName | None = None
    authorities = ""
    if _ends_tls(listener):
        found = _certificate(gateway, listener, registry)
        if isinstance(found, Problem):
            problems.append(("ResolvedRefs", found))
        else:
            certificate = found
        trusted = _client_authorities(gateway, listener, registry)
        if isinstance(trusted, Problem):
            problems.append(("ResolvedRefs", trusted))
        else:
            authorities = trusted
    return ServedListener(listener, certificate, authorities, tuple(problems))


def _ends_tls(listener: Listener) -> bool:
    return listener.tls is not None and listener.tls.mode == "Terminate"


def _unacceptable(gateway: GatewayObject, listener: Listener) -> Iterator[tuple[str, Problem]]:
    if listener.protocol not in KINDS_OF_PROTOCOL:
        text = f"protocol: {listener.protocol} is not supported; HTTP, HTTPS, TLS and TCP are"
        yield "Accepted", Problem("UnsupportedProtocol", text)
        return
    if listener.port in _OWN_PORTS:
        yield "Accepted", Problem("PortUnavailable", f"port: {listener.port} is one of the proxy's own")
    if listener.tls is not None and listener.tls.options:
        names = ", ".join(sorted(listener.tls.options))
        yield "Accepted", Problem("UnsupportedValue", f"tls.options: {names} are not supported")
    if listener.protocol == "HTTPS" and listener.tls is None:
        yield "ResolvedRefs", Problem("InvalidCertificateRef", "tls.certificateRefs: none is given")
    for other in gateway.spec.listeners:
        if other is listener or other.port != listener.port or other.protocol not in _FAMILIES:
            continue
        if _FAMILIES[other.protocol] != _FAMILIES[listener.protocol]:
            text = f"protocol: listener {other.name} has {other.protocol} on the same port"
            yield "Conflicted", Problem("ProtocolConflict", text)
            return
        if (other.hostname or "") == (listener.hostname or ""):
            text = f"hostname: listener {other.name} has the same on the same port"
            yield "Conflicted", Problem("HostnameConflict", text)
            return


def _certificate(gateway: GatewayObject, listener: Listener, registry: Registry) -> ObjectName | Problem:
    assert listener.tls is not None
    refs = listener.tls.certificate_refs
    if len(refs) != 1:
        text = f"tls.certificateRefs: {len(refs)} given; exactly one is supported"
        return Problem("InvalidCertificateRef", text)
    ref, field = refs[0], "tls.certificateRefs[0]"
    key = ObjectName(ref.namespace or gateway.key.namespace, ref.name)
    if (ref.group, ref.kind) != ("", "Secret"):
        return Problem("InvalidCertificateRef", f"{field}.kind: {ref.kind} is not supported; Secret is")
    if not _may_refer(gateway, ref, "Secret", key, registry):
        text = f"{field}.namespace: no ReferenceGrant in {key.namespace} permits it"
        return Problem("RefNotPermitted", text)
    found = registry.gateways.certificates.get(key)
    if found is None:
        return Problem("InvalidCertificateRef", f"{field}.name: no Secret {key} of type kubernetes.io/tls")
    if found.problem:
        return Problem("InvalidCertificateRef", f"{field}.name: Secret {key}: {found.problem}")
    return key


def _client_authorities(gateway: GatewayObject, listener: Listener, registry: Registry) -> str | Problem:
    validation, field = client_validation(gateway, listener)
    if validation is None:
        return ""
    if validation.mode != "AllowValidOnly":
        return Problem("InvalidCACertificateRef", f"{field}.mode: {validation.mode} is not supported")
    gathered = []
    for number, ref in enumerate(validation.ca_certificate_refs):
        found = _authority(gateway, ref, f"{field}.caCertificateRefs[{number}]", registry)
        if isinstance(found, Problem):
            return found
        gathered.append(found.strip())
    return "\n".join(gathered) + "\n"


def client_validation(gateway: GatewayObject, listener: Listener) -> tuple[FrontendValidation | None, str]:
    """What holds for the listener's port, and its field."""
    frontend = gateway.spec.tls.frontend if gateway.spec.tls is not None else None
    if frontend is None:
        return None, ""
    for number, entry in enumerate(frontend.per_port):
        if entry.port == listener.port:
            return entry.tls.validation, f"spec.tls.frontend.perPort[{number}].tls.validation"
    return frontend.default.validation, "spec.tls.frontend.default.validation"


def _authority(gateway: GatewayObject, ref: CaReference, field: str, registry: Registry) -> str | Problem:
    key = ObjectName(ref.namespace or gateway.key.namespace, ref.name)
    if (ref.group, ref.kind) != ("", "ConfigMap"):
        return Problem("InvalidCACertificateKind", f"{field}.kind: {ref.kind} is not supported; ConfigMap is")
    if not _may_refer(gateway, ref, "ConfigMap", key, registry):
        return Problem(
            "RefNotPermitted", f"{field}.namespace: no ReferenceGrant in {key.namespace} permits it"
        )
    pem = registry.gateways.authorities.get(key)
    if pem is None:
        return Problem("InvalidCACertificateRef", f"{field}.name: no ConfigMap {key} with ca.crt")
    if problem := authority_problem(pem):
        return Problem("InvalidCACertificateRef", f"{field}.name: ConfigMap {key}: {problem}")
    return pem


def _may_refer(
    gateway: GatewayObject, ref: SecretReference | CaReference, kind: str, key: ObjectName, registry: Registry
) -> bool:
    return is_granted(
        registry.grants_of(key.namespace),
        group=GATEWAY_GROUP,
        kind="Gateway",
        namespace=gateway.key.namespace,
        target=ObjectRef("", kind, key),
    )


# --- conditions ---------------------------------------------------------------------------------------------


def listener_conditions(served: ServedListener) -> tuple[RouteCondition, ...]:
    """Accepted, Programmed, ResolvedRefs, Conflicted."""
    conflict, refused = served.problem("Conflicted"), served.problem("Accepted")
    unresolved = served.problem("ResolvedRefs")
    name = served.listener.name
    blocking = conflict or refused
    accepted = (
        RouteCondition("Accepted", False, blocking.reason, blocking.message)
        if blocking
        else RouteCondition("Accepted", True, "Accepted", f"listener {name} is accepted")
    )
    programmed = (
        RouteCondition("Programmed", True, "Programmed", f"listener {name} is sent to the gateway's pods")
        if served.is_served
        else RouteCondition("Programmed", False, "Invalid", (blocking or unresolved or _UNKNOWN).message)
    )
    resolved = (
        RouteCondition("ResolvedRefs", False, unresolved.reason, unresolved.message)
        if unresolved
        else RouteCondition("ResolvedRefs", True, "ResolvedRefs", "every reference is resolved")
    )
    conflicted = (
        RouteCondition("Conflicted", True, conflict.reason, conflict.message)
        if conflict
        else RouteCondition("Conflicted", False, "NoConflicts", "no other listener has its place")
    )
    return accepted, programmed, resolved, conflicted


_UNKNOWN: Final = Problem("Invalid", "the listener cannot be served")


def gateway_conditions(
    gateway: GatewayObject, served: tuple[ServedListener, ...], addresses: Iterable[str]
) -> tuple[RouteCondition, ...]:
    """Accepted and Programmed. `addresses`: of the pods that serve it."""
    reachable = tuple(addresses)
    usable = [one for one in served if one.is_served]
    parameters = gateway.spec.infrastructure and gateway.spec.infrastructure.parameters_ref
    names = ", ".join(one.listener.name for one in served if not one.is_served)
    if parameters:
        accepted = RouteCondition(
            "Accepted", False, "InvalidParameters", "spec.infrastructure.parametersRef: is not supported"
        )
    elif not usable:
        accepted = RouteCondition(
            "Accepted", False, "ListenersNotValid", f"spec.listeners: {names} cannot be served"
        )
    elif names:
        accepted = RouteCondition(
            "Accepted", True, "ListenersNotValid", f"spec.listeners: {names} cannot be served"
        )
    else:
        accepted = RouteCondition("Accepted", True, "Accepted", "every listener can be served")
    wanted = [address.value for address in gateway.spec.addresses if address.value]
    missing = [value for value in wanted if value not in reachable]
    if not accepted.status:
        programmed = RouteCondition("Programmed", False, "Invalid", accepted.message)
    elif missing:
        text = f"spec.addresses: {', '.join(missing)} is not an address of its pods"
        programmed = RouteCondition("Programmed", False, "AddressNotUsable", text)
    elif not reachable:
        text = f"no pod with the label {GATEWAY_LABEL}: {gateway.key.name} has an address"
        programmed = RouteCondition("Programmed", False, "AddressNotAssigned", text)
    else:
        programmed = RouteCondition("Programmed", True, "Programmed", f"{len(reachable)} pods serve it")
    return accepted, programmed
