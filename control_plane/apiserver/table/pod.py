"""A Pod's row (pure): its status in one word, as `kubectl get pods` is known for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from control_plane.apiserver.table.shape import (
    NONE,
    Cell,
    Column,
    Shape,
    columns,
    condition,
    human_duration,
    number,
    seconds_of,
    text,
)
from control_plane.resources.manifest import Manifest, metadata, objects, section

_FINISHED = ("Succeeded", "Failed")


@dataclass
class _Seen:
    """What the containers' statuses add up to."""

    reason: str
    ready: int = 0
    restarts: int = 0
    sidecar_restarts: int = 0
    last_restart: float | None = None
    is_initializing: bool = False

    def count(self, status: Manifest, *, is_sidecar: bool = False) -> None:
        self.restarts += number(status, "restartCount")
        if is_sidecar:
            self.sidecar_restarts += number(status, "restartCount")
        ended = seconds_of(section(section(status, "lastState"), "terminated").get("finishedAt"))
        if ended is not None:
            self.last_restart = max(ended, self.last_restart or 0.0)


def _cells(manifest: Manifest, now: float) -> Sequence[Cell]:
    spec, status = section(manifest, "spec"), section(manifest, "status")
    sidecars = _sidecars(spec)
    seen = _Seen(text(status, "reason") or text(status, "phase"))
    _add_init_containers(seen, spec, status, sidecars)
    if not seen.is_initializing or condition(status, "Initialized").get("status") == "True":
        seen.restarts = seen.sidecar_restarts
        _add_containers(seen, status)
    total = len(objects(spec, "containers")) + len(sidecars)
    word = _deleted(manifest, status) or seen.reason
    ips = [text(one, "ip") for one in objects(status, "podIPs")] or [text(status, "podIP")]
    return (
        f"{seen.ready}/{total}",
        word,
        _restarts(seen, now),
        ips[0] or NONE,
        text(spec, "nodeName", NONE),
        text(status, "nominatedNodeName", NONE),
        _gates(spec, status),
    )


def _sidecars(spec: Mapping[str, object]) -> set[str]:
    """Init containers that stay."""
    return {
        text(one, "name") for one in objects(spec, "initContainers") if one.get("restartPolicy") == "Always"
    }


def _add_init_containers(seen: _Seen, spec: Manifest, status: Manifest, sidecars: set[str]) -> None:
    total = len(objects(spec, "initContainers"))
    if condition(status, "PodScheduled").get("reason") == "SchedulingGated":
        seen.reason = "SchedulingGated"
    for number_of, one in enumerate(objects(status, "initContainerStatuses")):
        is_sidecar = text(one, "name") in sidecars
        seen.count(one, is_sidecar=is_sidecar)
        state = section(one, "state")
        if is_sidecar and one.get("started"):
            seen.ready += bool(one.get("ready"))
            continue
        if "terminated" in state and number(section(state, "terminated"), "exitCode") == 0:
            continue
        seen.is_initializing = True
        seen.reason = _init_reason(state, f"{number_of}/{total}")
        return


def _init_reason(state: Manifest, progress: str) -> str:
    if "terminated" in state:
        return f"Init:{_ended(section(state, 'terminated'))}"
    reason = text(section(state, "waiting"), "reason")
    return f"Init:{reason if reason not in ('', 'PodInitializing') else progress}"


def _ended(terminated: Manifest) -> str:
    if reason := text(terminated, "reason"):
        return reason
    signal = number(terminated, "signal")
    return f"Signal:{signal}" if signal else f"ExitCode:{number(terminated, 'exitCode')}"


def _add_containers(seen: _Seen, status: Manifest) -> None:
    is_running = False
    for one in reversed(objects(status, "containerStatuses")):
        seen.count(one)
        state = section(one, "state")
        if reason := text(section(state, "waiting"), "reason"):
            seen.reason = reason
        elif "terminated" in state:
            seen.reason = _ended(section(state, "terminated"))
        elif one.get("ready") and "running" in state:
            is_running = True
            seen.ready += 1
    if seen.reason == "Completed" and is_running:
        is_ready = condition(status, "Ready").get("status") == "True"
        seen.reason = "Running" if is_ready else "NotReady"


def _deleted(manifest: Manifest, status: Manifest) -> str:
    """The word for a Pod that is being deleted; empty for others."""
    if not metadata(manifest).get("deletionTimestamp"):
        return ""
    if text(status, "reason") == "NodeLost":
        return "Unknown"
    return "" if status.get("phase") in _FINISHED else "Terminating"


def _restarts(seen: _Seen, now: float) -> str:
    if seen.restarts and seen.last_restart is not None:
        return f"{seen.restarts} ({human_duration(now - seen.last_restart)} ago)"
    return str(seen.restarts)


def _gates(spec: Manifest, status: Manifest) -> str:
    gates = [text(one, "conditionType") for one in objects(spec, "readinessGates")]
    if not gates:
        return NONE
    passed = sum(condition(status, gate).get("status") == "True" for gate in gates)
    return f"{passed}/{len(gates)}"


SHAPE = Shape(
    (Column("Ready"), Column("Status"), Column("Restarts")),
    _cells,
    columns("IP", "Node", "Nominated Node", "Readiness Gates", priority=1),
)
