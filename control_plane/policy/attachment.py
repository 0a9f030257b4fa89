"""Which policy holds where (pure): policies by the objects they name, oldest first (GEP-713).

Of several policies of one kind on one section of one object, the oldest holds, then the one whose
namespace/name comes first; the others are in conflict there, and may still hold elsewhere.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TypeAlias

from control_plane.discovery.model import ObjectName
from control_plane.resources.fault_policy import FaultPolicy, FaultPolicySpec
from control_plane.resources.rate_limit_policy import RateLimitPolicy, RateLimitPolicySpec
from control_plane.resources.target_ref import TargetReference
from control_plane.resources.traffic_policy import TrafficPolicy, TrafficPolicySpec

POLICY_KINDS = (TrafficPolicy.KIND, FaultPolicy.KIND, RateLimitPolicy.KIND)
PolicyResource: TypeAlias = TrafficPolicy | FaultPolicy | RateLimitPolicy
PolicySpec: TypeAlias = TrafficPolicySpec | FaultPolicySpec | RateLimitPolicySpec
PolicyName: TypeAlias = tuple[str, ObjectName]
"""Kind and name."""


@dataclass(frozen=True, slots=True)
class Target:
    """A section of an object that a policy names."""

    kind: str
    """`Service`, `HTTPRoute`, `GRPCRoute` or `ServiceEntry`."""
    key: ObjectName
    section: str = ""
    """Name of a port or of a rule; empty is the whole object."""


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy as far as it holds."""

    kind: str
    key: ObjectName
    created_at: str
    generation: int
    spec: PolicySpec

    @property
    def name(self) -> PolicyName:
        return self.kind, self.key

    @property
    def targets(self) -> tuple[Target, ...]:
        """In the order of `spec.targetRefs`."""
        return tuple(target_of(ref, self.key.namespace) for ref in self.spec.target_refs)

    @property
    def precedence(self) -> tuple[str, ObjectName]:
        """The lowest holds."""
        return self.created_at, self.key


def policy_of(resource: PolicyResource) -> Policy:
    meta = resource.metadata
    key = ObjectName(meta.namespace, meta.name)
    return Policy(resource.KIND, key, meta.creation_timestamp, meta.generation, resource.spec)


def target_of(ref: TargetReference, namespace: str) -> Target:
    return Target(ref.kind, ObjectName(namespace, ref.name), ref.section_name or "")


class PolicySet:
    """Current policies by what they name. A policy that did not change stays the same object."""

    def __init__(self) -> None:
        self._policies: dict[PolicyName, Policy] = {}
        self._by_target: defaultdict[tuple[str, Target], list[Policy]] = defaultdict(list)
        """By kind of policy and target; the first holds."""
        self._by_object: defaultdict[tuple[str, ObjectName], set[PolicyName]] = defaultdict(set)

    def get(self, name: PolicyName) -> Policy | None:
        return self._policies.get(name)

    def holding(self, kind: str, target: Target) -> Policy | None:
        """The policy of `kind` that holds for exactly this section."""
        found = self._by_target.get((kind, target))
        return found[0] if found else None

    def referring_to(self, kind: str, key: ObjectName) -> frozenset[PolicyName]:
        """Policies whose status depends on the object: those that name it or a section of it."""
        return frozenset(self._by_object.get((kind, key), ()))

    def put(self, policy: Policy) -> bool:
        """Add or replace; False when nothing changed."""
        if self._policies.get(policy.name) == policy:
            return False
        self.remove(policy.name)
        self._policies[policy.name] = policy
        for target in policy.targets:
            self._by_object[target.kind, target.key].add(policy.name)
            holders = self._by_target[policy.kind, target]
            holders.append(policy)
            holders.sort(key=lambda one: one.precedence)
        return True

    def remove(self, name: PolicyName) -> bool:
        """False when there was none."""
        old = self._policies.pop(name, None)
        if old is None:
            return False
        for target in old.targets:
            self._by_object[target.kind, target.key].discard(name)
            self._by_target[old.kind, target].remove(old)
        return True
