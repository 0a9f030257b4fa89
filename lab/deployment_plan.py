"""What a Deployment needs done to its Pods, and its status (pure).

There is no ReplicaSet: Pods belong to the Deployment directly, told apart by the label `pod-template-hash`.
A rolling update makes new Pods first, within `maxSurge`, and takes old ones away as new ones become ready,
never going below `maxUnavailable`.
"""

import hashlib
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from control_plane.resources.deployment import Deployment
from control_plane.resources.manifest import Manifest, section
from control_plane.resources.pod import Pod

HASH_LABEL = "pod-template-hash"
_HASH_LENGTH = 10
_LONGEST_PREFIX = 40
"""Characters of the Deployment's name in a Pod's name, so that names of sockets, logs and hosts stay short.
"""


@dataclass(frozen=True, slots=True)
class PodChanges:
    """What to do now; more may be due once these have happened."""

    create: int
    delete: tuple[Pod, ...]


def template_hash(template: Manifest) -> str:
    """A name for the template: equal templates, whatever the order of their keys, have equal hashes."""
    canonical = json.dumps(template, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:_HASH_LENGTH]


def is_owned(pod: Pod, deployment: Deployment) -> bool:
    """The Deployment made the Pod."""
    return any(owner.uid == deployment.metadata.uid for owner in pod.metadata.owner_references)


def plan_pods(deployment: Deployment, pods: Sequence[Pod], current_hash: str) -> PodChanges:
    """The next step towards `replicas` Pods of the current template. `pods` are those it owns."""
    new = [pod for pod in pods if pod.metadata.labels.get(HASH_LABEL) == current_hash]
    old = [pod for pod in pods if pod.metadata.labels.get(HASH_LABEL) != current_hash]
    wanted = deployment.spec.replicas
    if len(new) > wanted:
        return PodChanges(0, (*_least_useful(new, len(new) - wanted), *old))
    if deployment.spec.strategy.type == "Recreate":
        return PodChanges(0, tuple(old)) if old else PodChanges(wanted - len(new), ())
    surge, unavailable = _rolling_limits(deployment)
    room = wanted + (surge if old else 0) - len(pods)
    spare = sum(pod.status.is_ready for pod in pods) - (wanted - unavailable)
    return PodChanges(max(0, min(wanted - len(new), room)), tuple(_removable(old, spare)))


def _removable(old: Sequence[Pod], spare: int) -> list[Pod]:
    """Old Pods that nobody misses: those that are not ready, and as many ready ones as can be spared."""
    useless = [pod for pod in old if not pod.status.is_ready]
    useful = [pod for pod in old if pod.status.is_ready]
    return useless + useful[: max(0, spare)]


def _least_useful(pods: Sequence[Pod], count: int) -> list[Pod]:
    """Not ready before ready, young before old."""
    by_age = sorted(pods, key=lambda pod: pod.metadata.creation_timestamp, reverse=True)
    return sorted(by_age, key=lambda pod: pod.status.is_ready)[:count]


def _rolling_limits(deployment: Deployment) -> tuple[int, int]:
    """(surge, unavailable) as numbers; at least one of them is positive, else nothing could ever move."""
    rolling = deployment.spec.strategy.rolling_update
    wanted = deployment.spec.replicas
    surge = _amount("25%" if rolling is None else rolling.max_surge, wanted, math.ceil)
    unavailable = _amount("25%" if rolling is None else rolling.max_unavailable, wanted, math.floor)
    return (surge, unavailable) if surge or unavailable else (1, 0)


def _amount(value: int | str, of: int, rounded: Callable[[float], int]) -> int:
    return value if isinstance(value, int) else rounded(of * int(value.removesuffix("%")) / 100)


def pod_manifest(deployment: Manifest, current_hash: str, suffix: str) -> Manifest:
    """A Pod made from the template; `suffix` makes its name unique."""
    parent = section(deployment, "metadata")
    template = section(section(deployment, "spec"), "template")
    metadata = section(template, "metadata")
    prefix = str(parent["name"])[:_LONGEST_PREFIX].rstrip("-.")
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"{prefix}-{current_hash}-{suffix}",
            "namespace": parent["namespace"],
            "labels": {**section(metadata, "labels"), HASH_LABEL: current_hash},
            "annotations": section(metadata, "annotations"),
            "ownerReferences": [
                {
                    "apiVersion": "apps/v1",
                    "kind": "Deployment",
                    "name": parent["name"],
                    "uid": parent["uid"],
                    "controller": True,
                }
            ],
        },
        "spec": section(template, "spec"),
    }


def deployment_status(deployment: Deployment, pods: Sequence[Pod], current_hash: str) -> Manifest:
    """Counts and the condition `Available`."""
    wanted = deployment.spec.replicas
    ready = sum(pod.status.is_ready for pod in pods)
    updated = sum(pod.metadata.labels.get(HASH_LABEL) == current_hash for pod in pods)
    is_available = ready >= wanted - _rolling_limits(deployment)[1]
    return {
        "observedGeneration": deployment.metadata.generation,
        "replicas": len(pods),
        "updatedReplicas": updated,
        "readyReplicas": ready,
        "availableReplicas": ready,
        "unavailableReplicas": max(0, wanted - ready),
        "conditions": [
            {
                "type": "Available",
                "status": "True" if is_available else "False",
                "reason": "MinimumReplicasAvailable" if is_available else "MinimumReplicasUnavailable",
                "message": f"{ready} of {wanted} pods are ready",
            }
        ],
    }


def is_complete(deployment: Deployment) -> bool:
    """Every Pod is of the current template and ready, by the status."""
    status, wanted = deployment.status, deployment.spec.replicas
    return (
        status.observed_generation >= deployment.metadata.generation
        and status.replicas == status.updated_replicas == status.ready_replicas == wanted
    )
