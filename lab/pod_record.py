"""`pod.json`: where a pod's containers run, written by the kubelet and read by `meshctl lab`."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from lab.paths import LabPaths
from lab.state import write_json


@dataclass(frozen=True, slots=True)
class ContainerPlace:
    """A running container."""

    pid: int
    """On the host."""
    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class PodRecord:
    """One pod of the node."""

    namespace: str
    name: str
    uid: str
    ip: str
    first_container: str
    """What `exec` and `logs` mean when they name none."""
    containers: dict[str, ContainerPlace]
    """Those that run now."""


def write_pod_record(path: Path, record: PodRecord) -> None:
    """Atomically."""
    write_json(path, asdict(record))


def read_pod_record(path: Path) -> PodRecord | None:
    """None when the pod has gone meanwhile."""
    try:
        values = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    places = {name: ContainerPlace(**place) for name, place in values.pop("containers").items()}
    return PodRecord(containers=places, **values)


def find_pod(paths: LabPaths, wanted: str) -> PodRecord | None:
    """The pod named `wanted`: `namespace/name` or `name`; else the first whose name begins with `wanted-`."""
    namespace, _, name = wanted.rpartition("/")
    found = [read_pod_record(path) for path in sorted(paths.pods.glob("*/pod.json"))]
    records = [record for record in found if record is not None and namespace in ("", record.namespace)]
    exact = [record for record in records if record.name == name]
    return next(iter(exact or [record for record in records if record.name.startswith(f"{name}-")]), None)
