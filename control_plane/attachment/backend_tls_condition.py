"""What a BackendTLSPolicy is told about each Gateway whose routes send to its targets (pure)."""

from __future__ import annotations

from collections.abc import Iterator

from control_plane.attachment.backend_tls import authorities_of, policy_for
from control_plane.attachment.condition import RouteCondition
from control_plane.attachment.gateway_listener import served_listeners
from control_plane.attachment.support import Problem
from control_plane.discovery.gateway import BackendTls
from control_plane.discovery.model import ObjectName, Service
from control_plane.discovery.registry import Registry
from control_plane.discovery.route_index import backend_refs


def ancestor_conditions(
    policy: BackendTls, registry: Registry
) -> tuple[tuple[ObjectName, tuple[RouteCondition, ...]], ...]:
    """(Gateway, conditions) for each of ours that it concerns, by name."""
    targets = {
        ObjectName(policy.key.namespace, ref.name)
        for ref in policy.spec.target_refs
        if (ref.group, ref.kind) == ("", "Service")
    }
    conditions = (_accepted(policy, targets, registry), _resolved(policy, registry))
    found = [
        gateway.key
        for gateway in registry.gateways.ours()
        if any(
            ref.key in targets
            for one in served_listeners(gateway, registry)
            for route, _ in one.routes
            for ref in backend_refs(route)
        )
    ]
    return tuple((key, conditions) for key in found)


def _accepted(policy: BackendTls, targets: set[ObjectName], registry: Registry) -> RouteCondition:
    services = [service for key in sorted(targets) if (service := registry.service(key)) is not None]
    if not services:
        return RouteCondition("Accepted", False, "TargetNotFound", "spec.targetRefs: no such Service")
    others = sorted({holder for service in services for holder in _holders(service, registry)})
    if policy.key not in others:
        names = ", ".join(map(str, others)) or "none"
        text = f"spec.targetRefs: held by BackendTLSPolicy {names}"
        return RouteCondition("Accepted", False, "Conflicted" if others else "TargetNotFound", text)
    authorities = authorities_of(policy, registry)
    if isinstance(authorities, Problem):
        reason = "Invalid" if authorities.reason == "Invalid" else "NoValidCACertificate"
        return RouteCondition("Accepted", False, reason, authorities.message)
    return RouteCondition("Accepted", True, "Accepted", "gateways speak TLS to the Service's pods")


def _holders(service: Service, registry: Registry) -> Iterator[ObjectName]:
    for port in service.ports:
        if (policy := policy_for(service, port, registry)) is not None:
            yield policy.key


def _resolved(policy: BackendTls, registry: Registry) -> RouteCondition:
    authorities = authorities_of(policy, registry)
    if isinstance(authorities, Problem) and authorities.reason != "Invalid":
        return RouteCondition("ResolvedRefs", False, authorities.reason, authorities.message)
    return RouteCondition("ResolvedRefs", True, "ResolvedRefs", "every reference is resolved")
