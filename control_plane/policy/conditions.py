"""What a policy's status says of each of its targets: `status.ancestors[]` (GEP-713) (pure)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from control_plane.discovery.entry import ServiceEntry
from control_plane.discovery.model import ObjectName, PortProtocol, Service, ServicePort
from control_plane.policy.attachment import Policy, PolicySet, Target
from control_plane.resources.manifest import Manifest
from control_plane.resources.rate_limit_policy import RateLimitPolicySpec
from control_plane.resources.status_condition import dated, undated
from control_plane.resources.target_ref import GRPC_ROUTE, HTTP_ROUTE, SERVICE, SERVICE_ENTRY, TargetReference
from control_plane.resources.traffic_policy import TrafficPolicySpec


@dataclass(frozen=True, slots=True)
class PolicyCondition:
    """`Accepted`, without the time of its last change."""

    accepted: bool
    reason: str
    """`Accepted`, `Conflicted`, `Invalid` or `TargetNotFound`."""
    message: str


@dataclass(frozen=True, slots=True)
class TargetRoute:
    """What of an HTTPRoute or GRPCRoute matters to policies."""

    rules: tuple[str, ...]
    """Their names; empty for those without."""
    at_gateway: bool
    """A Gateway is among its parents, and keeps limits of its routes."""


class Targets(Protocol):
    """Where targets are looked up."""

    def service(self, key: ObjectName) -> Service | None: ...

    def target_route(self, kind: str, key: ObjectName) -> TargetRoute | None: ...

    def entry(self, key: ObjectName) -> ServiceEntry | None: ...


def condition(number: int, policy: Policy, policies: PolicySet, targets: Targets) -> PolicyCondition:
    """Of `spec.targetRefs[number]`. Every message begins with the field that it is about."""
    target = policy.targets[number]
    field = f"spec.targetRefs[{number}]"
    problem = _JUDGES[target.kind](field, policy, target, targets)
    if problem is not None:
        return problem
    holder = policies.holding(policy.kind, target)
    if holder is not None and holder.key != policy.key:
        text = f"{field}: {policy.kind} {holder.key} is older and holds for {_named(target)}"
        return PolicyCondition(False, "Conflicted", text)
    return PolicyCondition(True, "Accepted", f"{field}: holds for {_named(target)}")


def _named(target: Target) -> str:
    section = f", section {target.section}" if target.section else ""
    return f"{target.kind} {target.key}{section}"


def _not_found(text: str) -> PolicyCondition:
    return PolicyCondition(False, "TargetNotFound", text)


def _service_problem(field: str, policy: Policy, target: Target, targets: Targets) -> PolicyCondition | None:
    service = targets.service(target.key)
    if service is None:
        return _not_found(f"{field}.name: Service {target.key} does not exist")
    ports = [port for port in service.ports if target.section in ("", port.name)]
    if not ports:
        names = ", ".join(port.name for port in service.ports if port.name) or "none with a name"
        return _not_found(f"{field}.sectionName: Service {target.key} has no such port; it has {names}")
    blocks = _http_blocks(policy)
    if blocks and all(port.protocol is PortProtocol.TCP for port in ports):
        return PolicyCondition(False, "Invalid", _opaque(blocks, target, ports))
    if _asks_by_call(policy) and all(port.protocol is not PortProtocol.HTTP2 for port in ports):
        text = f"spec.healthCheck.grpc: no port of Service {target.key} is declared HTTP/2; name it grpc"
        return PolicyCondition(False, "Invalid", text)
    return None


def _opaque(blocks: str, target: Target, ports: list[ServicePort]) -> str:
    numbers = ", ".join(str(port.number) for port in ports)
    return f"{blocks}: port {numbers} of Service {target.key} is opaque: it has no requests; declare it http"


def _asks_by_call(policy: Policy) -> bool:
    check = policy.spec.health_check if isinstance(policy.spec, TrafficPolicySpec) else None
    return check is not None and check.grpc is not None


def _http_blocks(policy: Policy) -> str:
    """The fields that need requests, where without them the policy would do nothing that it says."""
    spec = policy.spec
    if not isinstance(spec, TrafficPolicySpec):
        return "spec"
    found = [
        name
        for name, given in (
            ("retry", spec.retry),
            ("sessionAffinity", spec.session_affinity),
            ("h2UpgradePolicy", spec.h2_upgrade_policy == "Upgrade"),
        )
        if given
    ]
    if spec.health_check is not None and spec.health_check.http is not None:
        found.append("healthCheck.http")
    return ", ".join(f"spec.{name}" for name in found)


def _route_problem(field: str, policy: Policy, target: Target, targets: Targets) -> PolicyCondition | None:
    route = targets.target_route(target.kind, target.key)
    if route is None:
        return _not_found(f"{field}.name: {target.kind} {target.key} does not exist")
    if target.section and target.section not in route.rules:
        names = ", ".join(filter(None, route.rules)) or "none with a name"
        return _not_found(f"{field}.sectionName: {target.kind} {target.key} has no such rule; it has {names}")
    if isinstance(policy.spec, RateLimitPolicySpec) and not route.at_gateway:
        text = f"{field}: limits are kept where requests arrive, which knows no routes; target the Service"
        return PolicyCondition(False, "Invalid", text)
    return None


def _entry_problem(field: str, policy: Policy, target: Target, targets: Targets) -> PolicyCondition | None:
    entry = targets.entry(target.key)
    if entry is None:
        return _not_found(f"{field}.name: ServiceEntry {target.key} does not exist")
    ports = [port for port in entry.spec.ports if target.section in ("", port.name)]
    if not ports:
        names = ", ".join(port.name for port in entry.spec.ports)
        return _not_found(f"{field}.sectionName: ServiceEntry {target.key} has no such port; it has {names}")
    text = _entry_refusal(field, policy, target, entry, [port.protocol for port in ports])
    return PolicyCondition(False, "Invalid", text) if text else None


def _entry_refusal(
    field: str, policy: Policy, target: Target, entry: ServiceEntry, protocols: list[str]
) -> str:
    spec = policy.spec
    if isinstance(spec, RateLimitPolicySpec):
        return f"{field}: limits are kept where requests arrive, which is not in the mesh"
    blocks = _http_blocks(policy)
    if blocks and "HTTP" not in protocols:
        return f"{blocks}: ServiceEntry {target.key} has no requests on these ports; declare them HTTP"
    if not isinstance(spec, TrafficPolicySpec):
        return ""
    if _asks_by_call(policy):
        return f"spec.healthCheck.grpc: ports of ServiceEntry {target.key} cannot be declared HTTP/2"
    if spec.subsets:
        return f"spec.subsets: endpoints of ServiceEntry {target.key} have no labels"
    if spec.load_balancer is not None and spec.load_balancer.locality is not None:
        return f"spec.loadBalancer.locality: endpoints of ServiceEntry {target.key} are in no zone"
    given = [name for name in _OF_ENDPOINTS if getattr(spec, name) is not None]
    if entry.spec.resolution == "NONE" and given:
        named = ", ".join(f"spec.{_OF_ENDPOINTS[name]}" for name in given)
        return f"{named}: ServiceEntry {target.key} has resolution NONE, and with it no endpoints"
    return ""


_OF_ENDPOINTS = {
    "load_balancer": "loadBalancer",
    "outlier_detection": "outlierDetection",
    "circuit_breaker": "circuitBreaker",
    "health_check": "healthCheck",
}
_JUDGES = {
    SERVICE: _service_problem,
    HTTP_ROUTE: _route_problem,
    GRPC_ROUTE: _route_problem,
    SERVICE_ENTRY: _entry_problem,
}


def ancestors(
    policy: Policy,
    refs: tuple[TargetReference, ...],
    policies: PolicySet,
    targets: Targets,
    *,
    controller: str,
    before: list[Manifest],
    now: Callable[[], str],
) -> list[Manifest]:
    """`status.ancestors`: entries of other controllers as they are, then one per target.

    `before`: the entries so far, of which the time of the last change is kept where the status is the same.
    """
    others = [entry for entry in before if entry.get("controllerName") != controller]
    own: list[Manifest] = []
    for number, ref in enumerate(refs):
        reference: Manifest = ref.model_dump(by_alias=True, exclude_none=True)
        found = condition(number, policy, policies, targets)
        old = next((one for one in before if one not in others and one.get("ancestorRef") == reference), {})
        accepted = undated("Accepted", found.accepted, found.reason, found.message)
        conditions = dated([accepted], old, policy.generation, now())
        own.append({"ancestorRef": reference, "controllerName": controller, "conditions": conditions})
    return others + own
