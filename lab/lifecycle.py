"""Starting and ending a lab from another process, also after everything of it was killed. Blocking calls."""

import asyncio
import contextlib
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from ipaddress import IPv4Address
from pathlib import Path

import httpx

from control_plane.client import ApiClient, ApiError
from control_plane.kubeconfig import KubeconfigError
from lab import foreign
from lab.destruction import destroy_lab
from lab.injector_host import injector_objects, injector_pod
from lab.lab_file import LabFileError, LabPlan
from lab.netns import NetworkError
from lab.paths import LABS, LabPaths
from lab.plan_file import read_plan, write_plan
from lab.process import ProcessId, end, running_with
from lab.sandbox import SOURCE_ROOT, runtime_samples, unreadable_by_others
from lab.state import LabOptions, LabState, read_state
from lab.system_object import system_objects

_TOOLS = {
    "ip": "iproute2",
    "bridge": "iproute2",
    "iptables-restore": "iptables",
    "ip6tables-restore": "iptables",
    "nsenter": "util-linux",
    "setpriv": "util-linux",
}
MODULES = ("lab.supervisor", "lab.kubelet", "lab.controller", "lab.controllers", "injector", "control_plane")
_NET_ADMIN, _SYS_ADMIN = 1 << 12, 1 << 21
_STOP_GRACE = 30.0
"""Seconds the supervisor may take to end its processes in order."""
_KILL_GRACE = 5.0
_LEAVE_TIMEOUT = 15.0
"""Seconds for taking the lab's objects off an API server that is not its own."""
_POLL = 0.05
SHOWN_LOG_LINES = 20


_log = logging.getLogger(__name__)


class LabError(Exception):
    """A lab could not be started or ended; the message says what to do."""


def check_host() -> None:
    """Raises LabError when this machine or user cannot run a lab."""
    with open("/proc/self/status") as status:
        effective = next(int(line.split()[1], 16) for line in status if line.startswith("CapEff:"))
    if os.geteuid() != 0 or not effective & _NET_ADMIN or not effective & _SYS_ADMIN:
        raise LabError(
            "a lab needs root with CAP_NET_ADMIN and CAP_SYS_ADMIN (network namespaces): run it with sudo, "
            "or in a container with --privileged"
        )
    missing = {tool: package for tool, package in _TOOLS.items() if shutil.which(tool) is None}
    if missing:
        tools, packages = ", ".join(missing), " ".join(sorted(set(missing.values())))
        raise LabError(f"missing on this machine: {tools}; on Debian and Ubuntu: apt-get install {packages}")
    if closed := unreadable_by_others(runtime_samples()):
        raise LabError(
            f"pods run as other users and cannot read {closed[0]}; "
            f"run: chmod -R a+rX {SOURCE_ROOT} {sys.prefix} (closed parent directories are fine)"
        )


def supervisor_of(paths: LabPaths) -> ProcessId | None:
    """The lab's daemon, when it runs."""
    state = read_state(paths.state)
    found = None if state is None else state.processes.get("supervisor")
    return found if found is not None and found.is_alive() else None


def start(paths: LabPaths, options: LabOptions, plan: LabPlan | None = None) -> "subprocess.Popen[bytes]":
    """Start the daemon in a session of its own; remains of a lab that was killed are removed first.

    Without a plan the lab is one node. Raises LabError when a lab of this name runs.
    """
    check_host()
    if supervisor_of(paths) is not None:
        raise LabError(f"lab {paths.name} is already up; `meshctl lab down --name {paths.name}` ends it")
    stop(paths)
    paths.logs.mkdir(parents=True)
    paths.root.chmod(0o700)
    write_plan(paths, plan or LabPlan())
    command = [
        *(sys.executable, "-m", "lab.supervisor", "--root", str(paths.root)),
        *("--mtls-mode", options.mtls_mode),
        *("--outbound-traffic-policy", options.outbound_traffic_policy),
        *("--leaf-ttl", str(options.leaf_ttl)),
        *("--kubeconfig", options.kubeconfig),
        *("--dns-upstream", options.dns_upstream),
        *(() if options.with_controllers else ("--without-controllers",)),
    ]
    with open(paths.process_log("supervisor"), "ab") as log:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=SOURCE_ROOT,
            start_new_session=True,
        )


def wait_until_ready(
    paths: LabPaths, daemon: "subprocess.Popen[bytes]", timeout: float, tick: Callable[[], None]
) -> LabState:
    """Until the control plane serves and the node runs. Raises LabError with the end of the logs."""
    give_up_at = time.monotonic() + timeout
    while time.monotonic() < give_up_at:
        state = read_state(paths.state)
        if state is not None and state.is_ready:
            return state
        if daemon.poll() is not None:
            raise LabError(
                f"the lab's supervisor ended with {daemon.returncode}:\n{tail(paths, 'supervisor')}"
            )
        tick()
        time.sleep(_POLL)
    raise LabError(
        f"the control plane was not ready within {timeout:g} s; the end of its log:\n"
        f"{tail(paths, 'control-plane')}\nand of the supervisor's:\n{tail(paths, 'supervisor')}"
    )


def tail(paths: LabPaths, process: str, lines: int = SHOWN_LOG_LINES) -> str:
    """The last lines of the log of one of the lab's own processes."""
    try:
        text = paths.process_log(process).read_text(errors="replace")
    except FileNotFoundError:
        return "(no log)"
    return "\n".join(text.splitlines()[-lines:]) or "(empty log)"


def stop(paths: LabPaths) -> bool:
    """End the lab and leave nothing of it, whatever state it is in; whether there was anything.

    Raises LabError when something could not be removed.
    """
    found = paths.root.exists()
    supervisor = supervisor_of(paths)
    if supervisor is not None:
        end(supervisor, signal.SIGTERM, _STOP_GRACE)
    state = read_state(paths.state)
    recorded = [] if state is None else list(state.processes.values())
    for process in (*recorded, *running_with(MODULES, str(paths.root))):
        if not end(process, signal.SIGKILL, _KILL_GRACE):
            raise LabError(f"process {process.pid} of lab {paths.name} survives SIGKILL")
    if state is not None and state.options.kubeconfig:
        _leave(paths, Path(state.options.kubeconfig))
    try:
        destroy_lab(paths.root)
    except (NetworkError, OSError) as error:
        raise LabError(f"lab {paths.name} could not be removed: {error}") from error
    with contextlib.suppress(OSError):
        LABS.rmdir()  # only when no other lab is left
    return found


def _leave(paths: LabPaths, kubeconfig: Path) -> None:
    """Take the lab's objects off an API server that is not its own; one that is away keeps them."""
    try:
        asyncio.run(asyncio.wait_for(_removed(paths, kubeconfig), _LEAVE_TIMEOUT))
    except (ApiError, KubeconfigError, LabFileError, OSError, httpx.TransportError) as error:
        _log.warning(
            "%s: Nodes and webhooks of lab %s may still be there: %s",
            kubeconfig,
            paths.name,
            error or type(error).__name__,
        )


async def _removed(paths: LabPaths, kubeconfig: Path) -> None:
    nodes = [node.name for node in read_plan(paths).nodes]
    nobody = IPv4Address(0)
    made = [*system_objects(str(nobody)), *injector_objects(nobody), injector_pod()]
    async with ApiClient.from_kubeconfig(kubeconfig) as client:
        await foreign.remove(client, nodes, made)
