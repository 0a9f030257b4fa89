"""What a Job needs done to its Pods, and its status (pure).

As Kubernetes' job controller without indexes: Pods are made until enough have succeeded, with growing pauses
after failures, and no more once too many failed or the time is over.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from control_plane.resources.job import Job
from control_plane.resources.manifest import Manifest, ObjectKey, section
from control_plane.resources.pod import Pod
from lab.controllers.action import Action, Create, Delete, Plan, Record, UpdateStatus, soonest
from lab.controllers.condition import condition, with_condition
from lab.controllers.moment import seconds_of
from lab.controllers.pod_state import is_active, is_terminating, ready_since
from lab.controllers.replica_set import least_missed, pod_manifest

COMPONENT = "job-controller"
_BACKOFF, _LONGEST_BACKOFF = 10.0, 600.0
"""Seconds before a new Pod after a failure; doubled with each."""


@dataclass(frozen=True, slots=True)
class _Ending:
    """Why a Job needs no more Pods."""

    kind: str
    """`Complete` or `Failed`."""
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class _Counts:
    active: list[Pod]
    succeeded: int
    failed: int
    last_failure: float
    """Seconds since the epoch; 0 when none has failed."""
    restarts: int
    """Of containers in Pods that are restarted in place."""


def plan_job(job: Job, manifest: Manifest, pods: Sequence[Pod], now: float, timestamp: str) -> Plan:
    """The next step, as of `now` (seconds since the epoch; `timestamp` says the same). `pods` are its own."""
    if job.metadata.deletion_timestamp:
        return Plan()
    if is_finished(job):
        return _expire(job, now)
    counts = _count(job, pods)
    if job.spec.suspend:
        return _suspend(job, manifest, counts, pods, timestamp)
    ending = _ending(job, counts, now)
    if ending is not None:
        return _finish(job, manifest, counts, pods, ending, timestamp)
    wanted = _wanted(job, counts)
    pause = _pause(counts, now)
    actions: list[Action] = []
    if len(counts.active) > wanted:
        actions += map(_delete, least_missed(counts.active, len(counts.active) - wanted))
    elif not pause:
        actions += [Create(pod_manifest(manifest))] * (wanted - len(counts.active))
    started = job.status.start_time or timestamp
    status = _status(job, counts, pods, started)
    conditions = _conditions(manifest)
    if any(one.type == "Suspended" for one in job.status.conditions):
        resumed = condition("Suspended", "False", "JobResumed", "Job resumed")
        conditions = with_condition({"conditions": conditions}, "Suspended", resumed, timestamp)
    return _plan(manifest, status, conditions, actions, soonest(pause or None, _time_left(job, started, now)))


def is_finished(job: Job) -> bool:
    """It has been said that it is complete or has failed."""
    return any(one.type in ("Complete", "Failed") and one.status == "True" for one in job.status.conditions)


def _expire(job: Job, now: float) -> Plan:
    """Delete it some time after its end, when it asks for that."""
    if job.spec.ttl_seconds_after_finished is None:
        return Plan()
    ends = [
        seconds_of(one.last_transition_time)
        for one in job.status.conditions
        if one.type in ("Complete", "Failed") and one.status == "True"
    ]
    left = min(ends) + job.spec.ttl_seconds_after_finished - now
    if left > 0:
        return Plan((), left)
    where = ObjectKey("Job", job.metadata.namespace, job.metadata.name)
    return Plan((Delete(where, job.metadata.uid, "Foreground"),))


def _count(job: Job, pods: Sequence[Pod]) -> _Counts:
    """What was counted once stays counted, though the Pod may be gone."""
    succeeded = [pod for pod in pods if pod.status.phase == "Succeeded"]
    failed = [pod for pod in pods if pod.status.phase == "Failed"]
    return _Counts(
        [pod for pod in pods if is_active(pod)],
        max(job.status.succeeded, len(succeeded)),
        max(job.status.failed, len(failed)),
        max(map(_ended_at, failed), default=0.0),
        sum(one.restart_count for pod in pods for one in pod.status.container_statuses),
    )


def _ended_at(pod: Pod) -> float:
    ends = [
        seconds_of(one.state.terminated.finished_at)
        for one in pod.status.container_statuses
        if one.state.terminated is not None
    ]
    return max(ends, default=0.0) or seconds_of(pod.metadata.creation_timestamp)


def _ending(job: Job, counts: _Counts, now: float) -> _Ending | None:
    in_place = job.spec.template.spec.restart_policy == "OnFailure"
    is_restarted_out = in_place and counts.restarts >= max(1, job.spec.backoff_limit)
    if counts.failed > job.spec.backoff_limit or is_restarted_out:
        return _Ending("Failed", "BackoffLimitExceeded", "Job has reached the specified backoff limit")
    left = _time_left(job, job.status.start_time, now)
    if left is not None and left <= 0:
        return _Ending("Failed", "DeadlineExceeded", "Job was active longer than specified deadline")
    if job.spec.completions is None:
        is_done = counts.succeeded > 0 and not counts.active
    else:
        is_done = counts.succeeded >= job.spec.completions
    if is_done:
        text = "Reached expected number of succeeded pods"
        return _Ending("Complete", "CompletionsReached", text)
    return None


def _time_left(job: Job, started: str, now: float) -> float | None:
    """Seconds until `activeDeadlineSeconds` have passed; None when it has none or has not started."""
    if job.spec.active_deadline_seconds is None or not started:
        return None
    return seconds_of(started) + job.spec.active_deadline_seconds - now


def _wanted(job: Job, counts: _Counts) -> int:
    """Pods that shall run now."""
    if job.spec.completions is None:
        return len(counts.active) if counts.succeeded else job.spec.parallelism
    return max(0, min(job.spec.parallelism, job.spec.completions - counts.succeeded))


def _pause(counts: _Counts, now: float) -> float:
    """Seconds until the next Pod may be made after failures."""
    if not counts.failed or not counts.last_failure:
        return 0.0
    pause = min(_LONGEST_BACKOFF, _BACKOFF * 2.0 ** min(counts.failed - 1, 32))
    return max(0.0, counts.last_failure + pause - now)


def _suspend(job: Job, manifest: Manifest, counts: _Counts, pods: Sequence[Pod], timestamp: str) -> Plan:
    status = _status(job, counts, pods, "")
    suspended = condition("Suspended", "True", "JobSuspended", "Job suspended")
    conditions = with_condition({"conditions": _conditions(manifest)}, "Suspended", suspended, timestamp)
    return _plan(manifest, status, conditions, list(map(_delete, counts.active)), None)


def _finish(
    job: Job, manifest: Manifest, counts: _Counts, pods: Sequence[Pod], ending: _Ending, timestamp: str
) -> Plan:
    """First nothing runs any more, then it is said that it has ended: as Kubernetes asks for."""
    started = job.status.start_time or timestamp
    status = _status(job, counts, pods, started)
    is_complete = ending.kind == "Complete"
    heralded = condition(
        "SuccessCriteriaMet" if is_complete else "FailureTarget", "True", ending.reason, ending.message
    )
    conditions = with_condition(
        {"conditions": _conditions(manifest)}, str(heralded["type"]), heralded, timestamp
    )
    if counts.active or status["terminating"]:
        return _plan(manifest, status, conditions, list(map(_delete, counts.active)), None)
    final = condition(ending.kind, "True", ending.reason, ending.message)
    conditions = with_condition({"conditions": conditions}, ending.kind, final, timestamp)
    if is_complete:
        status["completionTime"] = timestamp
    note = Record(manifest, "Warning", ending.reason, ending.message, COMPONENT)
    if is_complete:
        note = Record(manifest, "Normal", "Completed", "Job completed", COMPONENT)
    actions: list[Action] = [note]
    return _plan(manifest, status, conditions, actions, job.spec.ttl_seconds_after_finished)


def _status(job: Job, counts: _Counts, pods: Sequence[Pod], started: str) -> Manifest:
    found: Manifest = {
        "active": len(counts.active),
        "ready": sum(ready_since(pod) is not None for pod in counts.active),
        "terminating": sum(is_terminating(pod) and not _is_over(pod) for pod in pods),
        "succeeded": counts.succeeded,
        "failed": counts.failed,
        "uncountedTerminatedPods": {},
    }
    return {**found, "startTime": started} if started else found


def _is_over(pod: Pod) -> bool:
    return pod.status.phase in ("Succeeded", "Failed")


def _conditions(manifest: Manifest) -> list[Manifest]:
    found = section(manifest, "status").get("conditions")
    return list(found) if isinstance(found, list) else []


def _plan(
    manifest: Manifest,
    status: Manifest,
    conditions: Sequence[Manifest],
    actions: Sequence[Action],
    again_in: float | None,
) -> Plan:
    status = {**status, "conditions": [*conditions]} if conditions else status
    if _shown(status) == _shown(section(manifest, "status")):
        return Plan(tuple(actions), again_in)
    return Plan((*actions, UpdateStatus({**manifest, "status": status})), again_in)


def _shown(status: Manifest) -> Manifest:
    """Without what is 0 or empty: the server may leave that out."""
    return {field: value for field, value in status.items() if value}


def _delete(pod: Pod) -> Delete:
    return Delete(ObjectKey("Pod", pod.metadata.namespace, pod.metadata.name), pod.metadata.uid)
