"""Writes back to policies what became of them: `status.ancestors[]`, one per target.

`policy/conditions.py` decides (pure); here it is stored, only where something changed.
"""

from collections.abc import Callable
from dataclasses import dataclass

from control_plane.discovery.entry import ServiceEntry
from control_plane.discovery.model import ObjectName, Service
from control_plane.discovery.registry import Registry
from control_plane.discovery.route import HttpRoute
from control_plane.policy.attachment import PolicyResource, policy_of
from control_plane.policy.conditions import TargetRoute, ancestors
from control_plane.resources.manifest import Manifest, ObjectKey, objects, section
from control_plane.resources.registry import parse
from control_plane.resources.timestamp import rfc3339
from control_plane.status_write import write_back
from control_plane.store.api import ObjectStore

CONTROLLER_NAME = "meshproxy.io/control-plane"


@dataclass(frozen=True, slots=True)
class KnownTargets:
    """Targets of policies, as the registry has them."""

    registry: Registry

    def service(self, key: ObjectName) -> Service | None:
        return self.registry.service(key)

    def entry(self, key: ObjectName) -> ServiceEntry | None:
        return self.registry.entry(key)

    def target_route(self, kind: str, key: ObjectName) -> TargetRoute | None:
        route = self.registry.routes.get(ObjectKey(kind, key.namespace, key.name))
        if not isinstance(route, HttpRoute):
            return None
        names = tuple(rule.name for rule in route.rules)
        at_gateway = any(ref.is_gateway for ref in route.parents)
        return TargetRoute(names, at_gateway=at_gateway)


async def write_policy_status(
    key: ObjectKey, registry: Registry, store: ObjectStore, now: Callable[[], float]
) -> bool:
    """Bring the stored status of one policy up to date; False when it changed meanwhile and must be tried
    again. `now`: seconds since the epoch."""

    def judge(stored: Manifest) -> Manifest | None:
        resource = parse(stored)
        assert isinstance(resource, PolicyResource)
        return policy_with_status(stored, resource, registry, now)

    return await write_back(key, store, judge)


def policy_with_status(
    stored: Manifest, resource: PolicyResource, registry: Registry, now: Callable[[], float]
) -> Manifest | None:
    """The object with its new status; None when it says the same already, or when the registry knows another
    version, which will come here too."""
    policy = policy_of(resource)
    if registry.policies.get(policy.name) != policy:
        return None
    status = section(stored, "status")
    before = objects(status, "ancestors")
    found = ancestors(
        policy,
        resource.spec.target_refs,
        registry.policies,
        KnownTargets(registry),
        controller=CONTROLLER_NAME,
        before=before,
        now=lambda: rfc3339(now()),
    )
    return None if found == before else {**stored, "status": {**status, "ancestors": found}}
