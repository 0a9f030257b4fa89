"""What a lab must leave untouched on the host, and how a test drives `meshctl lab`."""

import json
import subprocess
import sys
from dataclasses import dataclass

from lab import netns
from lab.lifecycle import MODULES
from lab.paths import LabPaths
from lab.process import running_with


@dataclass(frozen=True, slots=True)
class HostState:
    """What of the host's own network a lab could change."""

    links: str
    routes: str
    rules: str


def host_state() -> HostState:
    """Of the namespace this process is in."""
    return HostState(
        _output("ip", "-o", "link"), _output("ip", "route", "show", "table", "all"), _output("iptables-save")
    )


def _output(*command: str) -> str:
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return "\n".join(line for line in text.splitlines() if not line.startswith("#"))


def namespaces_of(paths: LabPaths) -> set[netns.Identity]:
    """The network namespaces of a running lab."""
    found = (netns.identity(path) for path in (paths.root / "netns").iterdir())
    return {identity for identity in found if identity is not None}


def assert_nothing_is_left(paths: LabPaths, before: HostState, namespaces: set[netns.Identity]) -> None:
    """No file, mount, process, namespace, interface, route or rule of the lab."""
    assert not paths.root.exists()
    with open("/proc/self/mounts") as mounts:
        assert [line for line in mounts if str(paths.root) in line] == []
    assert running_with(MODULES, str(paths.root)) == []
    assert netns.processes_in(namespaces) == []
    assert host_state() == before


def meshctl(*arguments: str, status: int = 0) -> str:
    """All output of a `meshctl lab` command that must end with `status`."""
    command = [sys.executable, "-m", "meshctl", "lab", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == status, f"{' '.join(command)}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout + done.stderr


def container_pid(paths: LabPaths, pod: str, container: str = "app") -> int:
    """Process of a container, on the host; the pod named exactly or by its Deployment."""
    [record] = list(paths.pods.glob(f"*_{pod}*/pod.json"))[:1]
    return int(json.loads(record.read_text())["containers"][container]["pid"])
