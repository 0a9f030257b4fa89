"""Rows of what makes Pods (pure)."""

from collections.abc import Sequence

from control_plane.apiserver.table.shape import (
    Cell,
    Column,
    Shape,
    columns,
    condition,
    human_duration,
    joined,
    number,
    seconds_of,
    selector_text,
    text,
)
from control_plane.resources.manifest import Manifest, metadata, objects, section

_MADE_OF = columns("Containers", "Images", "Selector", priority=1)


def _number_column(name: str) -> Column:
    return Column(name, type="integer")


def _deployment(manifest: Manifest, now: float) -> Sequence[Cell]:
    spec, status = section(manifest, "spec"), section(manifest, "status")
    ready = f"{number(status, 'readyReplicas')}/{_wanted(spec)}"
    counts = (number(status, "updatedReplicas"), number(status, "availableReplicas"))
    return (ready, *counts, *_made_of(spec))


def _replica_set(manifest: Manifest, now: float) -> Sequence[Cell]:
    spec, status = section(manifest, "spec"), section(manifest, "status")
    counts = (number(status, "replicas"), number(status, "readyReplicas"))
    return (_wanted(spec), *counts, *_made_of(spec))


def _job(manifest: Manifest, now: float) -> Sequence[Cell]:
    spec, status = section(manifest, "spec"), section(manifest, "status")
    return (_job_status(manifest), _completions(spec, status), _duration(status, now), *_made_of(spec))


def _wanted(spec: Manifest) -> int:
    return number(spec, "replicas") if "replicas" in spec else 1


def _made_of(spec: Manifest) -> tuple[str, str, str]:
    containers = objects(section(section(spec, "template"), "spec"), "containers")
    names = joined(text(one, "name") for one in containers)
    return names, joined(text(one, "image") for one in containers), selector_text(spec)


def _job_status(manifest: Manifest) -> str:
    status = section(manifest, "status")
    words = {"Complete": "Complete", "Failed": "Failed", "Suspended": "Suspended"}
    for kind, word in words.items():
        if condition(status, kind).get("status") == "True":
            return word
    if metadata(manifest).get("deletionTimestamp"):
        return "Terminating"
    for kind in ("FailureTarget", "SuccessCriteriaMet"):
        if condition(status, kind).get("status") == "True":
            return kind
    return "Running"


def _completions(spec: Manifest, status: Manifest) -> str:
    succeeded = number(status, "succeeded")
    if "completions" in spec:
        return f"{succeeded}/{number(spec, 'completions')}"
    parallel = number(spec, "parallelism")
    return f"{succeeded}/1 of {parallel}" if parallel > 1 else f"{succeeded}/1"


def _duration(status: Manifest, now: float) -> str:
    started = seconds_of(status.get("startTime"))
    if started is None:
        return ""
    ended = seconds_of(status.get("completionTime"))
    return human_duration((now if ended is None else ended) - started)


DEPLOYMENT = Shape(
    (Column("Ready"), _number_column("Up-to-date"), _number_column("Available")), _deployment, _MADE_OF
)
REPLICA_SET = Shape(tuple(map(_number_column, ("Desired", "Current", "Ready"))), _replica_set, _MADE_OF)
JOB = Shape(columns("Status", "Completions", "Duration"), _job, _MADE_OF)
