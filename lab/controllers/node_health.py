"""Nodes whose kubelet is silent: their readiness becomes unknown (Kubernetes' node lifecycle controller)."""

from collections.abc import Iterable

from control_plane.resources.manifest import Manifest, ObjectKey, objects, section
from control_plane.resources.node import Node
from lab.controllers.action import Plan, UpdateStatus
from lab.controllers.cache import Change
from lab.controllers.moment import seconds_of
from lab.controllers.reconciler import Workplace

SILENCE = 40.0
"""Seconds without a heartbeat, Kubernetes' `--node-monitor-grace-period` of old; a kubelet has one in ten."""
LAB_VERSION = "-lab"
"""How the lab's kubelets end their version."""
_REASON, _MESSAGE = "NodeStatusUnknown", "Kubelet stopped posting node status."


class NodeHealth:
    """Node → condition `Ready`."""

    name = "node"

    def __init__(self, place: Workplace) -> None:
        self._place = place

    def affected(self, change: Change) -> Iterable[ObjectKey]:
        if change.key.kind == "Node" and change.new is not None:
            yield change.key

    async def reconcile(self, key: ObjectKey) -> float | None:
        node, manifest = self._place.cache.typed(Node, key), self._place.cache.manifest(key)
        if node is None or manifest is None:
            return None
        return await self._place.carry_out(plan_health(node, manifest, *self._place.moment()))


def plan_health(node: Node, manifest: Manifest, now: float, timestamp: str) -> Plan:
    """As of `now` (seconds since the epoch; `timestamp` says the same).

    Only of the lab's own kubelets, which renew this status: others renew a Lease instead.
    """
    if not node.status.node_info.kubelet_version.endswith(LAB_VERSION):
        return Plan()
    ready = next((one for one in node.status.conditions if one.type == "Ready"), None)
    if ready is None or ready.status == "Unknown" or not ready.last_heartbeat_time:
        return Plan()
    left = seconds_of(ready.last_heartbeat_time) + SILENCE - now
    if left > 0:
        return Plan((), left)
    status = section(manifest, "status")
    conditions = [_silenced(one, timestamp) for one in objects(status, "conditions")]
    return Plan((UpdateStatus({**manifest, "status": {**status, "conditions": conditions}}),))


def _silenced(condition: Manifest, timestamp: str) -> Manifest:
    told = {"reason": _REASON, "message": _MESSAGE, "lastTransitionTime": timestamp}
    return {**condition, "status": "Unknown", **told}
