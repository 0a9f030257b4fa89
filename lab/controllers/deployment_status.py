"""The status of a Deployment (pure): counts, and conditions in the words that `kubectl rollout` waits for."""

from collections.abc import Sequence
from dataclasses import dataclass

from control_plane.resources.deployment import Deployment
from control_plane.resources.manifest import Manifest, section
from control_plane.resources.replica_set import ReplicaSet
from lab.controllers.condition import condition, find_condition, with_condition
from lab.controllers.moment import seconds_of
from lab.controllers.rollout import limits

AVAILABLE, PROGRESSING, FAILURE = "Available", "Progressing", "ReplicaFailure"
_CREATED, _FOUND, _DONE = "NewReplicaSetCreated", "FoundNewReplicaSet", "NewReplicaSetAvailable"
_UPDATED, _TIMED_OUT = "ReplicaSetUpdated", "ProgressDeadlineExceeded"
_PAUSED, _RESUMED = "DeploymentPaused", "DeploymentResumed"


@dataclass(frozen=True, slots=True)
class Rollout:
    """A Deployment and its ReplicaSets, as they are."""

    deployment: Deployment
    manifest: Manifest
    new: ReplicaSet | None
    """Of the present template."""
    sets: Sequence[ReplicaSet]
    """All, `new` included."""
    created: str = ""
    """Name of the new one that is being made in this step."""
    is_stepping: bool = True
    """False while paused or scaled: then progress is not judged."""
    collisions: int = 0
    """Names for the new ReplicaSet that others had."""


def deployment_status(rollout: Rollout, now: float, timestamp: str) -> Manifest:
    """As of `now`, seconds since the epoch; `timestamp` says the same."""
    counts = _counts(rollout)
    conditions = {"conditions": [*_conditions(rollout, counts, now, timestamp)]}
    extra: Manifest = {"collisionCount": rollout.collisions} if rollout.collisions else {}
    return {**counts, **extra, **conditions}


def _counts(rollout: Rollout) -> dict[str, int]:
    sets = [one.status for one in rollout.sets]
    available = sum(one.available_replicas for one in sets)
    return {
        "observedGeneration": rollout.deployment.metadata.generation,
        "replicas": sum(one.replicas for one in sets),
        "updatedReplicas": rollout.new.status.replicas if rollout.new is not None else 0,
        "readyReplicas": sum(one.ready_replicas for one in sets),
        "availableReplicas": available,
        "unavailableReplicas": max(0, sum(one.spec.replicas for one in rollout.sets) - available),
    }


def _conditions(rollout: Rollout, counts: dict[str, int], now: float, timestamp: str) -> list[Manifest]:
    status = section(rollout.manifest, "status")
    enough = rollout.deployment.spec.replicas - limits(rollout.deployment).unavailable
    found = _available(counts["availableReplicas"] >= enough)
    status = {
        **status,
        "conditions": with_condition(status, AVAILABLE, found, timestamp, has_update_time=True),
    }
    progress = _progress(rollout, counts, status, now)
    if progress is not None:
        is_step = progress["reason"] == _UPDATED
        status["conditions"] = with_condition(
            status, PROGRESSING, progress, timestamp, has_update_time=True, refresh=is_step
        )
    return with_condition(status, FAILURE, _failure(rollout), timestamp, has_update_time=True)


def _available(is_so: bool) -> Manifest:
    if is_so:
        return condition(
            AVAILABLE, "True", "MinimumReplicasAvailable", "Deployment has minimum availability."
        )
    text = "Deployment does not have minimum availability."
    return condition(AVAILABLE, "False", "MinimumReplicasUnavailable", text)


def _failure(rollout: Rollout) -> Manifest | None:
    """Why a ReplicaSet could not make its Pods; the new one's word first."""
    ordered = [*([rollout.new] if rollout.new is not None else []), *rollout.sets]
    for one in ordered:
        for found in one.status.conditions:
            if found.type == FAILURE and found.status == "True":
                return condition(FAILURE, "True", found.reason, found.message)
    return None


def _progress(rollout: Rollout, counts: dict[str, int], status: Manifest, now: float) -> Manifest | None:
    """The condition `Progressing`; None to leave it as it is."""
    before = find_condition(status, PROGRESSING) or {}
    reason, name = before.get("reason"), rollout.new.metadata.name if rollout.new is not None else ""
    if rollout.deployment.spec.paused:
        is_kept = reason in (_PAUSED, _TIMED_OUT)
        return None if is_kept else condition(PROGRESSING, "Unknown", _PAUSED, "Deployment is paused")
    if reason == _PAUSED:
        return condition(PROGRESSING, "Unknown", _RESUMED, "Deployment is resumed")
    if rollout.created:
        text = f'Created new replica set "{rollout.created}"'
        return condition(PROGRESSING, "True", _CREATED, text)
    if not rollout.is_stepping or (reason == _DONE and counts["replicas"] == counts["updatedReplicas"]):
        return None
    if is_complete(rollout.deployment, counts):
        text = f'ReplicaSet "{name}" has successfully progressed.'
        return condition(PROGRESSING, "True", _DONE, text)
    if _has_moved(rollout.deployment, counts):
        return condition(PROGRESSING, "True", _UPDATED, f'ReplicaSet "{name}" is progressing.')
    if not before and name:
        return condition(PROGRESSING, "True", _FOUND, f'Found new replica set "{name}"')
    left = progress_left(rollout.deployment, before, now)
    if left is not None and left <= 0:
        text = f'ReplicaSet "{name}" has timed out progressing.'
        return condition(PROGRESSING, "False", _TIMED_OUT, text)
    return None


def _has_moved(deployment: Deployment, counts: dict[str, int]) -> bool:
    before = deployment.status
    old_before, old_now = (
        before.replicas - before.updated_replicas,
        counts["replicas"] - counts["updatedReplicas"],
    )
    return (
        counts["updatedReplicas"] > before.updated_replicas
        or old_now < old_before
        or counts["readyReplicas"] > before.ready_replicas
        or counts["availableReplicas"] > before.available_replicas
    )


def progress_left(deployment: Deployment, progress: Manifest, now: float) -> float | None:
    """Seconds until the deadline for progress passes; None when none is running: it is done, or it has
    passed."""
    if not progress or progress.get("reason") in (_DONE, _TIMED_OUT, _PAUSED):
        return None
    since = seconds_of(str(progress.get("lastUpdateTime", "")))
    return since + deployment.spec.progress_deadline_seconds - now


def is_complete(deployment: Deployment, counts: dict[str, int]) -> bool:
    """Every Pod is of the present template and available, and none is too many."""
    return (
        counts["updatedReplicas"]
        == counts["replicas"]
        == counts["availableReplicas"]
        == deployment.spec.replicas
    )


def is_rolled_out(deployment: Deployment) -> bool:
    """By its status: what `kubectl rollout status` waits for."""
    status = deployment.status
    counts = {
        "replicas": status.replicas,
        "updatedReplicas": status.updated_replicas,
        "availableReplicas": status.available_replicas,
    }
    return status.observed_generation >= deployment.metadata.generation and is_complete(deployment, counts)
