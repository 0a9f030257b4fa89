"""What holds for a Service's port or a route's rule, all policies taken together (pure).

TrafficPolicies are merged block by block (`timeouts`, `retry`, …): that of a rule before that of its route,
that of a port before that of its Service. Of the other kinds the most specific one holds as a whole.
"""

from collections.abc import Iterable

from control_plane.discovery.model import ObjectName, Service, ServicePort
from control_plane.policy.attachment import Policy, PolicySet, Target
from control_plane.resources.fault_policy import FaultPolicy, FaultPolicySpec
from control_plane.resources.rate_limit_policy import RateLimitPolicy, RateLimitPolicySpec
from control_plane.resources.target_ref import HTTP_ROUTE, SERVICE, SERVICE_ENTRY
from control_plane.resources.traffic_policy import TrafficPolicy, TrafficPolicySpec

_NOT_A_BLOCK = "target_refs"


def for_port(policies: PolicySet, kind: str, service: ObjectName, port: ServicePort) -> tuple[Policy, ...]:
    """Policies of `kind` that hold on a Service's port, most specific first. Remembered values depend on
    them."""
    return _holding(policies, kind, SERVICE, service, port.name)


def for_entry(policies: PolicySet, kind: str, entry: ObjectName, port: str) -> tuple[Policy, ...]:
    """Policies of `kind` that hold on a ServiceEntry's port, most specific first."""
    return _holding(policies, kind, SERVICE_ENTRY, entry, port)


def for_rule(
    policies: PolicySet, kind: str, route: ObjectName, rule: str, route_kind: str = HTTP_ROUTE
) -> tuple[Policy, ...]:
    """Policies of `kind` that hold for a rule (empty: it has no name), most specific first."""
    return _holding(policies, kind, route_kind, route, rule)


def _holding(
    policies: PolicySet, kind: str, target_kind: str, key: ObjectName, section: str
) -> tuple[Policy, ...]:
    sections = (section, "") if section else ("",)
    found = (policies.holding(kind, Target(target_kind, key, one)) for one in sections)
    return tuple(policy for policy in found if policy is not None)


def merged(holding: Iterable[Policy]) -> TrafficPolicySpec | None:
    """One TrafficPolicy out of several, most specific first: each block is that of the first that sets it."""
    specs = [policy.spec for policy in holding if isinstance(policy.spec, TrafficPolicySpec)]
    if not specs:
        return None
    blocks: dict[str, object] = {}
    for spec in specs:
        for name in TrafficPolicySpec.model_fields:
            value = getattr(spec, name)
            if name != _NOT_A_BLOCK and value:
                blocks.setdefault(name, value)
    return specs[0].model_copy(update={**_NOTHING, **blocks})


_NOTHING = {
    name: field.get_default()
    for name, field in TrafficPolicySpec.model_fields.items()
    if name != _NOT_A_BLOCK
}


def traffic(policies: PolicySet, service: ObjectName, port: ServicePort) -> TrafficPolicySpec | None:
    """The effective TrafficPolicy of a Service's port."""
    return merged(for_port(policies, TrafficPolicy.KIND, service, port))


def traffic_policies(policies: PolicySet, service: Service) -> tuple[Policy, ...]:
    """Every TrafficPolicy that holds on some port of a Service; what `by_port` reads."""
    sections = ("", *(port.name for port in service.ports if port.name))
    found = (policies.holding(TrafficPolicy.KIND, Target(SERVICE, service.key, one)) for one in sections)
    return tuple(policy for policy in found if policy is not None)


def by_port(holding: tuple[Policy, ...], service: Service) -> dict[int, TrafficPolicySpec]:
    """The effective TrafficPolicy of each port that has one, by number; from `traffic_policies`."""
    only = PolicySet()
    for policy in holding:
        only.put(policy)
    found = {port.number: traffic(only, service.key, port) for port in service.ports}
    return {number: spec for number, spec in found.items() if spec is not None}


def rule_traffic(policies: PolicySet, route: ObjectName, rule: str) -> TrafficPolicySpec | None:
    """The effective TrafficPolicy of an HTTPRoute's rule, without that of any Service."""
    return merged(for_rule(policies, TrafficPolicy.KIND, route, rule))


def fault(holding: tuple[Policy, ...]) -> FaultPolicySpec | None:
    """The FaultPolicy that holds, of those `for_port` or `for_rule` found."""
    spec = holding[0].spec if holding else None
    return spec if isinstance(spec, FaultPolicySpec) else None


def rate_limit(holding: tuple[Policy, ...]) -> RateLimitPolicySpec | None:
    """The RateLimitPolicy that holds, of those `for_port` or `for_rule` found."""
    spec = holding[0].spec if holding else None
    return spec if isinstance(spec, RateLimitPolicySpec) else None


FAULT, RATE_LIMIT, TRAFFIC = FaultPolicy.KIND, RateLimitPolicy.KIND, TrafficPolicy.KIND
