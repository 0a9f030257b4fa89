"""What a ReplicaSet needs done to its Pods, and its status (pure).

As Kubernetes' controller: Pods are made from the template until as many as `replicas` are active; of too many
those go first that are missed least.
"""

from collections import Counter
from collections.abc import Sequence

from control_plane.resources.manifest import Manifest, ObjectKey, metadata, section
from control_plane.resources.pod import Pod
from control_plane.resources.replica_set import ReplicaSet
from lab.controllers.action import Action, Create, Delete, Plan, Record, UpdateStatus, soonest
from lab.controllers.condition import condition, with_condition
from lab.controllers.moment import seconds_of
from lab.controllers.ownership import controller_reference
from lab.controllers.pod_state import available_in, is_active, is_available, ready_since, restarts

_BURST = 500
"""Pods made or deleted in one step, as in Kubernetes."""
_LONGEST_BASE = 58
"""Characters of the name that `generateName` may have, so that pods' names are valid host names."""
_DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"
COMPONENT = "replicaset-controller"


def pod_manifest(owner: Manifest) -> Manifest:
    """A Pod made from the template of `owner`; the server completes its name."""
    parent = metadata(owner)
    template = section(section(owner, "spec"), "template")
    meta = section(template, "metadata")
    made = {
        "generateName": f"{str(parent['name'])[: _LONGEST_BASE - 1]}-",
        "namespace": parent["namespace"],
        "labels": section(meta, "labels"),
        "annotations": section(meta, "annotations"),
        "finalizers": meta.get("finalizers"),
        "ownerReferences": [controller_reference(owner)],
    }
    filled = {field: value for field, value in made.items() if value}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": filled, "spec": section(template, "spec")}


def plan_pods(owner: ReplicaSet, manifest: Manifest, pods: Sequence[Pod]) -> tuple[Action, ...]:
    """The Pods to make or to delete. `pods` are those it controls."""
    if owner.metadata.deletion_timestamp:
        return ()
    active = [pod for pod in pods if is_active(pod)]
    missing = owner.spec.replicas - len(active)
    if missing >= 0:
        return (Create(pod_manifest(manifest)),) * min(missing, _BURST)
    going = least_missed(active, min(-missing, _BURST))
    return tuple(
        action
        for pod in going
        for action in (_delete(pod), _note(manifest, "SuccessfulDelete", f"Deleted pod: {pod.metadata.name}"))
    )


def _delete(pod: Pod) -> Delete:
    return Delete(ObjectKey("Pod", pod.metadata.namespace, pod.metadata.name), pod.metadata.uid)


def _note(manifest: Manifest, reason: str, message: str) -> Record:
    return Record(manifest, "Normal", reason, message, COMPONENT)


def note_created(manifest: Manifest, pod: str) -> Record:
    """The Event that a Pod was made."""
    return _note(manifest, "SuccessfulCreate", f"Created pod: {pod}")


def least_missed(pods: Sequence[Pod], count: int) -> list[Pod]:
    """The order of Kubernetes' `ActivePodsWithRanks`: not bound, pending, not ready, cheap, crowded on their
    node, ready for a short time, often restarted, young."""
    crowds = Counter(pod.spec.node_name for pod in pods)
    return sorted(pods, key=lambda pod: _worth(pod, crowds[pod.spec.node_name]))[:count]


def _worth(pod: Pod, crowd: int) -> tuple[object, ...]:
    phase = {"Pending": 0, "Unknown": 1}.get(pod.status.phase, 2)
    since = ready_since(pod)
    return (
        bool(pod.spec.node_name),
        phase,
        since is not None,
        _deletion_cost(pod),
        -crowd,
        -(since or 0.0),
        -restarts(pod),
        -seconds_of(pod.metadata.creation_timestamp),
        pod.metadata.name,
    )


def _deletion_cost(pod: Pod) -> int:
    """What is not a number counts as none was given."""
    try:
        return int(pod.metadata.annotations.get(_DELETION_COST, "0"))
    except ValueError:
        return 0


def plan_status(
    owner: ReplicaSet, manifest: Manifest, pods: Sequence[Pod], now: float, timestamp: str, failure: str = ""
) -> Plan:
    """The counts, as of `now` (seconds since the epoch; `timestamp` says the same); `failure` is why Pods
    could not be made or deleted."""
    active = [pod for pod in pods if is_active(pod)]
    labels, wait = owner.spec.template.metadata.labels.items(), owner.spec.min_ready_seconds
    status: Manifest = {
        "replicas": len(active),
        "fullyLabeledReplicas": sum(labels <= pod.metadata.labels.items() for pod in active),
        "readyReplicas": sum(ready_since(pod) is not None for pod in active),
        "availableReplicas": sum(is_available(pod, wait, now) for pod in active),
        "observedGeneration": owner.metadata.generation,
    }
    before = section(manifest, "status")
    made = condition("ReplicaFailure", "True", "FailedCreate", failure) if failure else None
    conditions = with_condition(before, "ReplicaFailure", made, timestamp)
    status |= {"conditions": conditions} if conditions else {}
    waits = (available_in(pod, wait, now) for pod in active)
    again_in = soonest(*(left for left in waits if left))
    if _without_zeros(before) == _without_zeros(status):
        return Plan((), again_in)
    return Plan((UpdateStatus({**manifest, "status": status}),), again_in)


def _without_zeros(status: Manifest) -> Manifest:
    """The server may leave out what is 0 or empty."""
    return {field: value for field, value in status.items() if value}
