"""The status of a pod, computed from what is known of its containers (pure)."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from control_plane.resources.manifest import Manifest, objects, section
from lab.container import ContainerRecord

_LONGEST_MESSAGE = 500
_KILLED = 137
"""Exit code of what SIGKILL ended."""
OWN_CONDITIONS = frozenset(
    {"PodReadyToStartContainers", "Initialized", "ContainersReady", "Ready", "PodScheduled"}
)
"""Those that the node decides about; the rest is readiness gates' and others'."""
TERMINAL_PHASES = frozenset({"Succeeded", "Failed"})


@dataclass(frozen=True, slots=True)
class PodPlace:
    """Where a pod runs; empty while it has no place yet."""

    pod_ip: str = ""
    host_ip: str = ""
    start_time: str = ""
    pod_ips: tuple[str, ...] = ()
    """All of them, when there is more than one."""
    host_ips: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PodVerdict:
    """What is decided for a pod as a whole, rather than by its containers."""

    message: str = ""
    """Why it cannot run, or was ended; empty when nothing is wrong with it."""
    reason: str = ""
    """In one word, such as `DeadlineExceeded`: the pod has failed."""


@dataclass(frozen=True, slots=True)
class PodOutline:
    """What a status takes from the pod itself."""

    uid: str = ""
    restart_policy: str = "Always"
    readiness_gates: tuple[str, ...] = ()
    previous: Sequence[Manifest] = field(default_factory=tuple)
    """Conditions of the last status: unchanged ones keep their times, those of others stay."""
    generation: int = 0


def pod_status(
    records: Sequence[ContainerRecord],
    place: PodPlace,
    outline: PodOutline,
    now: str,
    verdict: PodVerdict = PodVerdict(),
) -> Manifest:
    """The `status` of the pod; `now` is RFC 3339."""
    init = [record for record in records if record.is_init]
    main = [record for record in records if not record.is_init]
    phase = "Failed" if verdict.reason else _phase(init, main, outline.restart_policy)
    status: Manifest = {
        "phase": phase,
        "conditions": _conditions(init, main, phase, place, outline, verdict.message, now),
        "containerStatuses": [_container_status(record, outline.uid) for record in main],
    }
    if init:
        status["initContainerStatuses"] = [_container_status(record, outline.uid) for record in init]
    if verdict.message:
        status["message"] = verdict.message
    if verdict.reason:
        status["reason"] = verdict.reason
    if outline.generation:
        status["observedGeneration"] = outline.generation
    return status | _place(place)


def _conditions(
    init: Sequence[ContainerRecord],
    main: Sequence[ContainerRecord],
    phase: str,
    place: PodPlace,
    outline: PodOutline,
    message: str,
    now: str,
) -> list[Manifest]:
    incomplete = [r for r in init if not (r.is_started if r.is_sidecar else r.is_done and r.exit_code == 0)]
    waiting_for = [r for r in (*main, *init) if (not r.is_init or r.is_sidecar) and not r.is_ready]
    others = [one for one in outline.previous if one.get("type") not in OWN_CONDITIONS]
    gates = {str(one.get("type")) for one in others if one.get("status") == "True"}
    closed = [gate for gate in outline.readiness_gates if gate not in gates]
    unready = _unready(waiting_for, phase)
    ready = unready if unready[0] or not closed else ("ReadinessGatesNotReady", _gates_message(closed))
    if message:
        ready = (unready[0] or "ContainersNotReady", message)
    uninitialized = ("", "")
    if incomplete and phase not in TERMINAL_PHASES:
        uninitialized = ("ContainersNotInitialized", _listed("incomplete", incomplete))
    facts = {
        "PodReadyToStartContainers": (
            "" if place.pod_ip and phase not in TERMINAL_PHASES else "PodHasNoSandbox",
            "",
        ),
        "Initialized": uninitialized,
        "Ready": ready,
        "ContainersReady": unready,
        "PodScheduled": ("", ""),
    }
    made = [_condition(kind, *fact, outline.previous, now) for kind, fact in facts.items()]
    return [*made, *others]


def _unready(waiting_for: Sequence[ContainerRecord], phase: str) -> tuple[str, str]:
    if phase == "Succeeded":
        return "PodCompleted", ""
    if phase == "Failed":
        return "PodFailed", ""
    if not waiting_for:
        return "", ""
    why = "; ".join(_why_not_ready(record) for record in waiting_for)
    return "ContainersNotReady", f"{_listed('unready', waiting_for)}: {why}"[:_LONGEST_MESSAGE]


def _listed(word: str, records: Iterable[ContainerRecord]) -> str:
    names = " ".join(record.spec.name for record in records)
    return f"containers with {word} status: [{names}]"


def _gates_message(closed: Iterable[str]) -> str:
    return "; ".join(f'the status of pod readiness gate "{gate}" is not "True"' for gate in closed)


def resume(records: Iterable[ContainerRecord], status: Manifest) -> None:
    """Continue from a status that an earlier kubelet wrote: restart counts, and how the last runs ended."""
    known = {
        entry.get("name"): entry
        for kind in ("containerStatuses", "initContainerStatuses")
        for entry in objects(status, kind)
    }
    for record in records:
        entry = known.get(record.spec.name)
        if entry is not None:
            _resume(record, entry)


def _resume(record: ContainerRecord, entry: Mapping[str, object]) -> None:
    count = entry.get("restartCount")
    record.restarts = count if isinstance(count, int) else 0
    state = section(entry, "state")
    running, ended = section(state, "running"), section(state, "terminated")
    if running:  # it was killed with the kubelet that ran it
        record.last_started_at = str(running.get("startedAt", ""))
        record.exit_code, record.exit_signal, record.finished_at = _KILLED, 9, record.last_started_at
    elif ended or section(section(entry, "lastState"), "terminated"):
        last = ended or section(section(entry, "lastState"), "terminated")
        record.last_started_at = str(last.get("startedAt", ""))
        record.finished_at = str(last.get("finishedAt", ""))
        code = last.get("exitCode")
        record.exit_code = code if isinstance(code, int) else None


def _place(place: PodPlace) -> Manifest:
    found: Manifest = {}
    if place.start_time:
        found["startTime"] = place.start_time
    if place.host_ip:
        found |= {"hostIP": place.host_ip, "hostIPs": _addresses(place.host_ip, place.host_ips)}
    if place.pod_ip:
        found |= {"podIP": place.pod_ip, "podIPs": _addresses(place.pod_ip, place.pod_ips)}
    return found


def _addresses(first: str, every: Sequence[str]) -> list[Manifest]:
    return [{"ip": address} for address in every or (first,)]


def _phase(init: Sequence[ContainerRecord], main: Sequence[ContainerRecord], restart_policy: str) -> str:
    if any(r.is_done and r.exit_code != 0 and not r.is_sidecar for r in init) and not any(
        r.is_running for r in (*init, *main)
    ):
        return "Failed"
    sidecars = [record for record in init if record.is_sidecar]
    if restart_policy != "Always" and all(record.is_done for record in (*main, *sidecars)):
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


def _condition(kind: str, reason: str, message: str, previous: Iterable[Manifest], now: str) -> Manifest:
    """True when there is no reason against it."""
    state = "False" if reason else "True"
    old = next((one for one in previous if (one.get("type"), one.get("status")) == (kind, state)), {})
    since = old.get("lastTransitionTime") or now
    condition: Manifest = {"type": kind, "status": state, "lastTransitionTime": since}
    if reason and reason != "PodHasNoSandbox":
        condition["reason"] = reason
    if message:
        condition["message"] = message
    return condition


def _container_status(record: ContainerRecord, uid: str) -> Manifest:
    status: Manifest = {
        "name": record.spec.name,
        "ready": record.is_done and record.exit_code == 0 if _runs_once(record) else record.is_ready,
        "started": record.is_started,
        "restartCount": record.restarts,
        "state": _state(record, uid),
        "lastState": {},
        "image": record.spec.image,
        "imageID": "",
    }
    if record.last_started_at:
        status["containerID"] = _container_id(record, uid, record.restarts)
    if record.exit_code is not None and not record.is_done:
        before = record.restarts - 1 if record.is_running else record.restarts
        status["lastState"] = _terminated(record, uid, before)
    return status


def _container_id(record: ContainerRecord, uid: str, run: int) -> str:
    """Kubernetes' form, `<runtime>://<id>`."""
    return f"lab://{uid}/{record.spec.name}/{run}"


def _runs_once(record: ContainerRecord) -> bool:
    return record.is_init and not record.is_sidecar


def _state(record: ContainerRecord, uid: str) -> Manifest:
    if record.is_running:
        return {"running": {"startedAt": record.running_since}}
    if record.is_done and not record.is_given_up and record.exit_code is not None:
        return _terminated(record, uid, record.restarts)
    waiting: Manifest = {"reason": record.waiting_reason or "ContainerCreating"}
    if record.waiting_message:
        waiting["message"] = record.waiting_message
    return {"waiting": waiting}


def _terminated(record: ContainerRecord, uid: str, run: int) -> Manifest:
    code = record.exit_code or 0
    ended: Manifest = {
        "exitCode": code,
        "reason": "Completed" if code == 0 else "Error",
        "startedAt": record.previous_started_at or record.last_started_at,
        "finishedAt": record.finished_at,
        "containerID": _container_id(record, uid, max(0, run)),
    }
    if message := record.last_end_message or record.end_message:
        ended["message"] = message
    return {"terminated": ended}
