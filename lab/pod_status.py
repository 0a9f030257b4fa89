"""The status of a pod, computed from what is known of its containers (pure)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from control_plane.resources.manifest import Manifest, section
from lab.container import ContainerRecord

_LONGEST_MESSAGE = 500


@dataclass(frozen=True, slots=True)
class PodPlace:
    """Where a pod runs; empty while it has no place yet."""

    pod_ip: str = ""
    host_ip: str = ""
    start_time: str = ""


def pod_status(
    records: Sequence[ContainerRecord],
    place: PodPlace,
    previous: Iterable[object],
    now: str,
    *,
    restart_policy: str = "Always",
    message: str = "",
) -> Manifest:
    """The `status` of the pod. `previous` are the conditions of the last one: unchanged ones keep their
    times.

    `message` says why the pod as a whole cannot run; empty when nothing is wrong with it.
    """
    init = [record for record in records if record.is_init]
    main = [record for record in records if not record.is_init]
    initialized = all(r.is_started if r.is_sidecar else (r.is_done and r.exit_code == 0) for r in init)
    waiting_for = [r for r in (*main, *init) if (not r.is_init or r.is_sidecar) and not r.is_ready]
    reason = "; ".join(_why_not_ready(record) for record in waiting_for)[:_LONGEST_MESSAGE]
    facts = [
        ("PodScheduled", True, "", ""),
        ("Initialized", initialized, "ContainersNotInitialized", ""),
        ("ContainersReady", not waiting_for, "ContainersNotReady", reason),
        ("Ready", not waiting_for and not message, "ContainersNotReady", message or reason),
    ]
    status: Manifest = {
        "phase": _phase(main, restart_policy),
        "conditions": [_condition(*fact, previous=previous, now=now) for fact in facts],
        "containerStatuses": [_container_status(record) for record in main],
    }
    if init:
        status["initContainerStatuses"] = [_container_status(record) for record in init]
    if message:
        status["message"] = message
    return status | _place(place)


def resume(records: Iterable[ContainerRecord], status: Manifest) -> None:
    """Continue the restart counts of a status that an earlier kubelet wrote."""
    for field in ("containerStatuses", "initContainerStatuses"):
        found = status.get(field)
        for entry in found if isinstance(found, list) else []:
            for record in records:
                if record.spec.name == entry.get("name"):
                    record.restarts = int(entry.get("restartCount", 0))
                    record.last_started_at = str(
                        section(section(entry, "state"), "running").get("startedAt", "")
                    )


def _place(place: PodPlace) -> Manifest:
    found: Manifest = {}
    if place.start_time:
        found["startTime"] = place.start_time
    if place.host_ip:
        found |= {"hostIP": place.host_ip, "hostIPs": [{"ip": place.host_ip}]}
    if place.pod_ip:
        found |= {"podIP": place.pod_ip, "podIPs": [{"ip": place.pod_ip}]}
    return found


def _phase(main: Sequence[ContainerRecord], restart_policy: str) -> str:
    if restart_policy != "Always" and all(record.is_done for record in main):
        return "Succeeded" if all(record.exit_code == 0 for record in main) else "Failed"
    has_run = any(record.is_running or record.last_started_at for record in main)
    return "Running" if has_run else "Pending"


def _why_not_ready(record: ContainerRecord) -> str:
    if record.is_running:
        return f"{record.spec.name}: {record.probe_message or 'no probe has succeeded yet'}"
    if record.is_done:
        return f"{record.spec.name}: ended with {record.exit_code}"
    text = record.waiting_message or (
        f"last exit code {record.exit_code}" if record.exit_code is not None else ""
    )
    reason = record.waiting_reason or "not running"
    return f"{record.spec.name}: {reason}{': ' if text else ''}{text}"


def _condition(
    kind: str, is_true: bool, reason: str, message: str, *, previous: Iterable[object], now: str
) -> Manifest:
    state = "True" if is_true else "False"
    since = next(
        (
            old["lastTransitionTime"]
            for old in previous
            if isinstance(old, dict) and (old.get("type"), old.get("status")) == (kind, state)
        ),
        now,
    )
    condition: Manifest = {"type": kind, "status": state, "lastTransitionTime": since}
    if not is_true:
        condition |= {"reason": reason, "message": message}
    return condition


def _container_status(record: ContainerRecord) -> Manifest:
    status: Manifest = {
        "name": record.spec.name,
        "ready": record.is_done and record.exit_code == 0 if _runs_once(record) else record.is_ready,
        "started": record.is_started,
        "restartCount": record.restarts,
        "state": _state(record),
    }
    if record.spec.image:
        status["image"] = record.spec.image
    if record.exit_code is not None and not record.is_done:
        status["lastState"] = _terminated(record)
    return status


def _runs_once(record: ContainerRecord) -> bool:
    return record.is_init and not record.is_sidecar


def _state(record: ContainerRecord) -> Manifest:
    if record.is_running:
        return {"running": {"startedAt": record.running_since}}
    if record.is_done:
        return _terminated(record)
    waiting: Manifest = {"reason": record.waiting_reason or "ContainerCreating"}
    if record.waiting_message:
        waiting["message"] = record.waiting_message
    return {"waiting": waiting}


def _terminated(record: ContainerRecord) -> Manifest:
    ended: Manifest = {
        "exitCode": record.exit_code or 0,
        "reason": "Completed" if record.exit_code == 0 else "Error",
        "startedAt": record.last_started_at,
        "finishedAt": record.finished_at,
    }
    if record.exit_signal:
        ended["signal"] = record.exit_signal
    return {"terminated": ended}
