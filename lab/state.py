"""The lab's state file: the options it was started with and its processes; read by `meshctl lab`."""

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path

from lab.process import ProcessId


@dataclass(frozen=True, slots=True)
class LabOptions:
    """What `meshctl lab up` chose; handed to the control plane."""

    mtls_mode: str = "STRICT"
    outbound_traffic_policy: str = "ALLOW_ANY"
    leaf_ttl: int = 86400
    """Seconds a workload's certificate is valid."""
    kubeconfig: str = ""
    """Of an API server that is not the lab's own; empty: the lab runs its own control plane."""
    with_controllers: bool = True
    """False: somebody else keeps Deployments, binds Pods and so on."""
    dns_upstream: str = ""
    """DNS server that is asked, from the host, what the cluster does not know; empty: nobody."""


@dataclass(frozen=True, slots=True)
class LabState:
    """A snapshot written by the supervisor."""

    options: LabOptions
    url: str
    """Of the REST API, on the host's loopback."""
    is_ready: bool = False
    """The control plane answers and the lab's own objects are registered."""
    processes: dict[str, ProcessId] = field(default_factory=dict)
    """By name: supervisor, control-plane, controller, and kubelet, or `kubelet-<node>` where there are
    several nodes."""


def write_state(path: Path, state: LabState) -> None:
    """Atomically."""
    write_json(path, asdict(state))


def read_state(path: Path) -> LabState | None:
    """None when there is none, or none that can be read."""
    try:
        values = json.loads(path.read_text())
        processes = {name: ProcessId(**process) for name, process in values.pop("processes").items()}
        return LabState(options=LabOptions(**values.pop("options")), processes=processes, **values)
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def write_json(path: Path, content: object) -> None:
    """Atomically: readers never see half a file."""
    staged = path.with_name(f".{path.name}.new")
    staged.write_text(json.dumps(content, indent=1))
    os.replace(staged, path)
