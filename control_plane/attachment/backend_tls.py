"""Which BackendTLSPolicy holds for a Service's port, and whom it trusts (pure)."""

from __future__ import annotations

from control_plane.attachment.support import Problem
from control_plane.discovery.gateway import BackendTls, authority_problem
from control_plane.discovery.model import ObjectName, Service, ServicePort
from control_plane.discovery.registry import Registry


def policy_for(service: Service, port: ServicePort, registry: Registry) -> BackendTls | None:
    """One that names the port goes before one of the whole Service; then the older, then namespace/name."""
    found = [
        (ref.section_name is None, policy.created_at, policy.key, policy)
        for policy in registry.gateways.backend_tls.values()
        for ref in policy.spec.target_refs
        if policy.key.namespace == service.key.namespace
        and (ref.group, ref.kind, ref.name) == ("", "Service", service.key.name)
        and ref.section_name in (None, port.name)
    ]
    return min(found, key=lambda one: one[:3])[3] if found else None


def authorities_of(policy: BackendTls, registry: Registry) -> str | Problem:
    """PEM; empty for those of the system."""
    validation = policy.spec.validation
    if policy.spec.options:
        names = ", ".join(sorted(policy.spec.options))
        return Problem("Invalid", f"spec.options: {names} are not supported")
    gathered = []
    for number, ref in enumerate(validation.ca_certificate_refs):
        field = f"spec.validation.caCertificateRefs[{number}]"
        if (ref.group, ref.kind) != ("", "ConfigMap"):
            return Problem("InvalidKind", f"{field}.kind: {ref.kind} is not supported; ConfigMap is")
        key = ObjectName(policy.key.namespace, ref.name)
        pem = registry.gateways.authorities.get(key)
        if pem is None:
            return Problem("InvalidCACertificateRef", f"{field}.name: no ConfigMap {key} with ca.crt")
        if problem := authority_problem(pem):
            return Problem("InvalidCACertificateRef", f"{field}.name: ConfigMap {key}: {problem}")
        gathered.append(pem.strip())
    return "\n".join(gathered) + "\n" if gathered else ""
