"""The lab's daemon: makes the network, starts the other processes and starts them again when they die.

`python -m lab.supervisor --root /run/meshproxy/<lab>`. The control plane runs in a namespace of its own, at
10.244.0.2, with one exception: its REST socket is opened here, on the host's loopback, and handed over; it
stays open between restarts, so that the URL stays. All processes die with the supervisor.
"""

import argparse
import asyncio
import compileall
import functools
import logging
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import httpx

from control_plane.client import ApiClient, ApiError
from control_plane.kubeconfig import KubeconfigError
from control_plane.resources.manifest import Manifest
from lab.addressing import DNS_ADDRESS
from lab.container import ContainerLog, RestartBackoff
from lab.network import Node
from lab.paths import LabPaths
from lab.process import ProcessId
from lab.sandbox import SOURCE_ROOT
from lab.state import LabOptions, LabState, write_state

_log = logging.getLogger(__name__)

SYSTEM_NAMESPACE = "meshproxy-system"
CONTROL_PLANE = "control-plane"
CONTROL_PLANE_PORTS = {"signing": 15011, "xds": 15012, "http-metrics": 15014}
_STOP_GRACE = 10.0
"""Seconds a process may take to end after SIGTERM."""
_POLL = 0.05
"""Seconds between looks at whether the control plane is ready."""
_LOG_CHECK_PERIOD = 30.0
_PACKAGES = ("meshproxy", "control_plane", "certs")


def control_plane_command(paths: LabPaths, network: Path, rest_fd: int, options: LabOptions) -> list[str]:
    """How the control plane is started, in its own network namespace."""
    return [
        *("nsenter", f"--net={network}", "--"),
        *_python("control_plane"),
        *("--data-dir", str(paths.control_plane)),
        *("--rest-fd", str(rest_fd)),
        *("--mtls-mode", options.mtls_mode),
        *("--outbound-traffic-policy", options.outbound_traffic_policy),
        *("--leaf-ttl", str(options.leaf_ttl)),
    ]


def _python(module: str) -> list[str]:
    return ["setpriv", "--pdeathsig=KILL", "--", sys.executable, "-m", module]


def system_objects(control_plane_address: str) -> list[Manifest]:
    """The lab's own objects: the Services of the control plane and of DNS, and where the former is."""
    ports = [{"name": name, "port": port, "protocol": "TCP"} for name, port in CONTROL_PLANE_PORTS.items()]
    dns = [{"name": name, "port": 53, "protocol": protocol} for name, protocol in _DNS_PORTS.items()]
    control_plane: Manifest = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": CONTROL_PLANE,
            "namespace": SYSTEM_NAMESPACE,
            "labels": {"kubernetes.io/service-name": CONTROL_PLANE},
        },
        "addressType": "IPv4",
        "ports": ports,
        "endpoints": [
            {"addresses": [control_plane_address], "conditions": {"ready": True, "serving": True}},
        ],
    }
    return [
        _service(CONTROL_PLANE, SYSTEM_NAMESPACE, {"ports": ports}),
        _service("kube-dns", "kube-system", {"ports": dns, "clusterIP": str(DNS_ADDRESS)}),
        control_plane,
    ]


_DNS_PORTS = {"dns": "UDP", "dns-tcp": "TCP"}


def _service(name: str, namespace: str, spec: Manifest) -> Manifest:
    metadata: Manifest = {"name": name, "namespace": namespace}
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}


class Supervisor:
    """Owns the lab's network and processes."""

    def __init__(self, paths: LabPaths, options: LabOptions) -> None:
        self._paths = paths
        self._options = options
        self._node = Node(paths.root)
        self._control_plane = self._node.add_pod(CONTROL_PLANE, self._node.control_plane_address)
        self._rest = socket.create_server(("127.0.0.1", 0), backlog=128)
        self._children: dict[str, asyncio.subprocess.Process] = {}
        self._processes: dict[str, ProcessId] = {}
        self._is_ready = False

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop` is set; then everything is ended."""
        self._note("supervisor", None)
        tasks = [asyncio.ensure_future(work) for work in self._work()]
        waiter = asyncio.ensure_future(stop.wait())
        try:
            done, _ = await asyncio.wait({waiter, *tasks}, return_when=asyncio.FIRST_COMPLETED)
            for task in done - {waiter}:
                task.result()
        finally:
            for task in (waiter, *tasks):
                task.cancel()
            await asyncio.gather(waiter, *tasks, return_exceptions=True)
            await self._stop()

    def _work(self) -> list[Coroutine[Any, Any, None]]:
        return [
            self._keep(CONTROL_PLANE, self._control_plane_command, before=self._forget_ports),
            self._register_then_start(),
            self._bound_logs(),
        ]

    def _control_plane_command(self) -> list[str]:
        namespace = self._control_plane.namespace
        return control_plane_command(self._paths, namespace, self._rest.fileno(), self._options)

    def _forget_ports(self) -> None:
        (self._paths.control_plane / "ports.json").unlink(missing_ok=True)

    async def _keep(
        self, name: str, command: Callable[[], list[str]], before: Callable[[], None] | None = None
    ) -> None:
        """Run a process for ever, with backoff between its lives."""
        backoff = RestartBackoff()
        while True:
            if before is not None:
                before()
            started_at = time.monotonic()
            with ContainerLog(self._paths.process_log(name)).open() as log:
                child = await asyncio.create_subprocess_exec(
                    *command(),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    pass_fds=[self._rest.fileno()] if name == CONTROL_PLANE else [],
                    cwd=SOURCE_ROOT,
                    start_new_session=True,
                )
            self._children[name] = child
            self._note(name, child.pid)
            status = await child.wait()
            delay = backoff.delay(time.monotonic() - started_at)
            _log.warning("%s ended with %s, next start in %g s", name, status, delay)
            await asyncio.sleep(delay)

    async def _register_then_start(self) -> None:
        """The node's agents need the API and the lab's own objects."""
        await self._register()
        self._is_ready = True
        self._note(None, None)
        root = ["--root", str(self._paths.root)]
        async with asyncio.TaskGroup() as group:
            for name, more in {"kubelet": [], "controller": ["--zones", self._options.zones]}.items():
                command = [*_python(f"lab.{name}"), *root, *more]
                group.create_task(self._keep(name, functools.partial(list, command)))

    async def _register(self) -> None:
        kubeconfig = self._paths.control_plane / "kubeconfig"
        while not (self._paths.control_plane / "ports.json").exists():  # noqa: ASYNC110 — another process's file
            await asyncio.sleep(_POLL)
        self._paths.kubeconfig.unlink(missing_ok=True)
        self._paths.kubeconfig.symlink_to(kubeconfig)
        while True:
            try:
                async with ApiClient.from_kubeconfig(kubeconfig) as client:
                    for entry in system_objects(str(self._control_plane.address)):
                        await client.apply(entry)
                return
            except (ApiError, KubeconfigError, httpx.TransportError) as error:
                _log.warning("the lab's own objects were not registered: %s", error)
                await asyncio.sleep(_POLL * 10)

    async def _bound_logs(self) -> None:
        while True:
            await asyncio.sleep(_LOG_CHECK_PERIOD)
            for name in (*self._processes, "supervisor"):
                ContainerLog(self._paths.process_log(name)).rotate()

    def _note(self, name: str | None, pid: int | None) -> None:
        """Record a process (None: this one) and write the state file."""
        if name is not None:
            try:
                self._processes[name] = ProcessId.of(pid or _own_pid())
            except ProcessLookupError:
                self._processes.pop(name, None)  # ended already
        host, port = self._rest.getsockname()
        url = f"https://{host}:{port}"
        write_state(self._paths.state, LabState(self._options, url, self._is_ready, dict(self._processes)))

    async def _stop(self) -> None:
        """The kubelet first: its pods end before what they talk to."""
        for name in ("kubelet", "controller", CONTROL_PLANE):
            child = self._children.get(name)
            if child is None or child.returncode is not None:
                continue
            child.terminate()
            try:
                await asyncio.wait_for(child.wait(), _STOP_GRACE)
            except TimeoutError:
                child.kill()
                await child.wait()


def _own_pid() -> int:
    return int(Path("/proc/self").readlink().name)


async def _serve(paths: LabPaths, options: LabOptions) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await Supervisor(paths, options).run(stop)


def _compile_packages() -> None:
    """Sidecars see the sources read-only and would compile them at every start."""
    for package in _PACKAGES:
        compileall.compile_dir(SOURCE_ROOT / package, quiet=2)


def main() -> None:
    """Entry point of the daemon."""
    parser = argparse.ArgumentParser(prog="lab.supervisor")
    parser.add_argument("--root", type=Path, required=True, help="the lab's directory")
    parser.add_argument("--mtls-mode", default="STRICT")
    parser.add_argument("--outbound-traffic-policy", default="ALLOW_ANY")
    parser.add_argument("--leaf-ttl", type=int, default=86400, help="seconds")
    parser.add_argument("--zones", default="")
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    _compile_packages()
    options = LabOptions(given.mtls_mode, given.outbound_traffic_policy, given.leaf_ttl, given.zones)
    asyncio.run(_serve(LabPaths(given.root), options))


if __name__ == "__main__":
    main()
