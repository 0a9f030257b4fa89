"""What a lab still waits for before everything declared is ready (pure)."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from control_plane.resources.deployment import Deployment
from control_plane.resources.manifest import ObjectKey
from control_plane.resources.pod import Pod
from lab.controllers.deployment_status import is_rolled_out


@dataclass(frozen=True, slots=True)
class Waiting:
    """One object that is not ready."""

    what: str
    why: str
    pods: tuple[Pod, ...] = ()
    """Pods to look at for the reason."""


def waiting_for(
    declared: Collection[ObjectKey], deployments: Sequence[Deployment], pods: Sequence[Pod]
) -> list[Waiting]:
    """Everything of `declared` that is not ready; empty when the lab is as it was asked for."""
    found = []
    by_key = {ObjectKey(d.kind, d.metadata.namespace, d.metadata.name): d for d in deployments}
    pods_by_key = {ObjectKey(p.kind, p.metadata.namespace, p.metadata.name): p for p in pods}
    for key in declared:
        if key.kind == "Deployment":
            found += _deployment(key, by_key.get(key), pods)
        elif key.kind == "Pod":
            found += _pod(key, pods_by_key.get(key))
    return found


def _deployment(key: ObjectKey, deployment: Deployment | None, pods: Sequence[Pod]) -> list[Waiting]:
    if deployment is None:
        return [Waiting(str(key), "it does not exist")]
    if is_rolled_out(deployment):
        return []
    owned = tuple(
        pod
        for pod in pods
        if pod.metadata.namespace == key.namespace
        and deployment.spec.selector.matches(pod.metadata.labels)
        and not pod.metadata.deletion_timestamp
    )
    ready = sum(pod.status.is_ready for pod in owned)
    return [
        Waiting(
            str(key),
            f"{ready} of {deployment.spec.replicas} pods are ready",
            tuple(pod for pod in owned if not pod.status.is_ready),
        )
    ]


def _pod(key: ObjectKey, pod: Pod | None) -> list[Waiting]:
    if pod is None:
        return [Waiting(str(key), "it does not exist")]
    if pod.status.is_ready or pod.status.phase == "Succeeded":
        return []
    return [Waiting(str(key), reason(pod), (pod,))]


def reason(pod: Pod) -> str:
    """Why a pod is not ready, in its own words."""
    for condition in pod.status.conditions:
        if condition.type in ("Ready", "PodScheduled") and condition.message:
            return condition.message
    return "it has not been started yet" if pod.spec.node_name else "it has not been admitted yet"
