"""The lab's daemon: makes the network, starts the other processes and starts them again when they die.

`python -m lab.supervisor --root /run/meshproxy/<lab>`; which nodes there are, stands in the lab's plan. The
control plane runs in a namespace of its own, at 10.244.0.2 on the first node, with one exception: its REST
socket is opened here, on the host's loopback, and handed over; it stays open between restarts, so that the
URL stays. All processes die with the supervisor.

With `--kubeconfig` there is no control plane of ours: nodes and controllers work for the API server the file
names. Nothing is written there but what kubelets and controllers write.
"""

import argparse
import asyncio
import compileall
import functools
import logging
import signal
import socket
import subprocess
import time
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

import httpx

from control_plane.client import ApiClient, ApiError
from control_plane.kubeconfig import KubeconfigError, read_kubeconfig
from lab.container import ContainerLog, RestartBackoff
from lab.fabric import join_nodes
from lab.injector_host import INJECTOR, InjectorHost
from lab.kubelet_certificates import KubeletAuthority
from lab.network import Node
from lab.paths import LabPaths
from lab.plan_file import read_plan
from lab.process import ProcessId
from lab.process_plan import CONTROL_PLANE, KUBELET, agent_commands, control_plane_command
from lab.relay import Relay
from lab.sandbox import SOURCE_ROOT
from lab.state import LabOptions, LabState, write_state
from lab.system_object import system_objects

_log = logging.getLogger(__name__)

_STOP_GRACE = 10.0
"""Seconds a process may take to end after SIGTERM."""
_POLL = 0.05
"""Seconds between looks at whether the control plane is ready."""
_LOG_CHECK_PERIOD = 30.0
_PACKAGES = ("meshproxy", "control_plane", "certs")


class _Hosted:
    """What a control plane of the lab's own needs: its place on a node, and the socket of its REST API."""

    def __init__(self, node: Node) -> None:
        self.network = node.add_pod(CONTROL_PLANE, node.control_plane_address)
        self.injector = node.add_pod(INJECTOR)
        self.rest = socket.create_server(("127.0.0.1", 0), backlog=128)

    @property
    def url(self) -> str:
        host, port = self.rest.getsockname()
        return f"https://{host}:{port}"


class Supervisor:
    """Owns the lab's network and processes."""

    def __init__(self, paths: LabPaths, options: LabOptions) -> None:
        self._paths = paths
        self._options = options
        self._plan = read_plan(paths)
        first, *_ = [Node(paths.root, self._plan, node.name) for node in self._plan.nodes]
        join_nodes(paths.root, self._plan)
        KubeletAuthority(paths).api_server()  # before the API server and the kubelets look for it
        self._hosted = None if options.kubeconfig else _Hosted(first)
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
        work = [self._start_agents(), self._bound_logs()]
        if self._hosted is not None:
            command = functools.partial(self._control_plane_command, self._hosted)
            work.append(self._keep(CONTROL_PLANE, command, self._hosted.rest.fileno(), self._forget_ports))
        return work

    def _control_plane_command(self, hosted: _Hosted) -> list[str]:
        network = hosted.network
        command = control_plane_command(
            self._paths, network.namespace, hosted.rest.fileno(), self._options, self._plan
        )
        return [*command, "--extra-san", str(network.address)]

    def _forget_ports(self) -> None:
        (self._paths.control_plane / "ports.json").unlink(missing_ok=True)

    async def _keep(
        self,
        name: str,
        command: Callable[[], list[str]],
        descriptor: int | None = None,
        before: Callable[[], None] | None = None,
        prepare: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """Run a process for ever, with backoff between its lives; it inherits `descriptor`."""
        backoff = RestartBackoff()
        while True:
            if before is not None:
                before()
            if prepare is not None:
                await prepare()
            started_at = time.monotonic()
            with ContainerLog(self._paths.process_log(name)).open() as log:
                child = await asyncio.create_subprocess_exec(
                    *command(),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    pass_fds=[] if descriptor is None else [descriptor],
                    cwd=SOURCE_ROOT,
                    start_new_session=True,
                )
            self._children[name] = child
            self._note(name, child.pid)
            status = await child.wait()
            delay = backoff.delay(time.monotonic() - started_at)
            _log.warning("%s ended with %s, next start in %g s", name, status, delay)
            await asyncio.sleep(delay)

    async def _start_agents(self) -> None:
        """The nodes' agents need the API and the lab's own objects."""
        if self._hosted is None:
            await self._reach()
        else:
            await self._register(str(self._hosted.network.address))
        async with asyncio.TaskGroup() as group:
            for name, command in self._agents().items():
                group.create_task(self._keep(name, functools.partial(list, command)))
            if self._hosted is not None:
                await self._start_injector(group, self._hosted)
            self._is_ready = True
            self._note(None, None)

    async def _start_injector(self, group: asyncio.TaskGroup, hosted: _Hosted) -> None:
        """Returns when no pod can be made any more of which it is not told."""
        kubeconfig = self._paths.control_plane / "kubeconfig"
        host = InjectorHost(self._paths.root / INJECTOR, hosted.injector, kubeconfig, hosted.network.address)
        api = hosted.rest.getsockname()
        group.create_task(Relay(host.listen_for_api(api[1]), api).run())
        group.create_task(self._keep(INJECTOR, host.command, prepare=host.prepare))
        await host.wait_until_registered()

    def _agents(self) -> dict[str, list[str]]:
        return agent_commands(self._paths, self._plan, self._options)

    async def _register(self, control_plane_address: str) -> None:
        kubeconfig = self._paths.control_plane / "kubeconfig"
        while not (self._paths.control_plane / "ports.json").exists():  # noqa: ASYNC110 — another process's file
            await asyncio.sleep(_POLL)
        self._link_kubeconfig(kubeconfig)
        while True:
            try:
                async with ApiClient.from_kubeconfig(kubeconfig) as client:
                    for entry in system_objects(control_plane_address):
                        await client.apply(entry)
                return
            except (ApiError, KubeconfigError, httpx.TransportError) as error:
                _log.warning("the lab's own objects were not registered: %s", error)
                await asyncio.sleep(_POLL * 10)

    async def _reach(self) -> None:
        """Until an API server that is not ours lets us see its nodes."""
        self._link_kubeconfig(Path(self._options.kubeconfig))
        while True:
            try:
                async with ApiClient.from_kubeconfig(self._paths.kubeconfig) as client:
                    await client.list("Node")
                return
            except (ApiError, KubeconfigError, httpx.TransportError) as error:
                _log.warning("%s: the API server does not serve us: %s", self._options.kubeconfig, error)
                await asyncio.sleep(_POLL * 10)

    def _link_kubeconfig(self, target: Path) -> None:
        self._paths.kubeconfig.unlink(missing_ok=True)
        self._paths.kubeconfig.symlink_to(target)

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
        url = self._hosted.url if self._hosted else read_kubeconfig(Path(self._options.kubeconfig)).server
        write_state(self._paths.state, LabState(self._options, url, self._is_ready, dict(self._processes)))

    async def _stop(self) -> None:
        """Kubelets first: their pods end before what they talk to."""
        kubelets = [name for name in self._children if name.startswith(KUBELET)]
        others = [name for name in self._children if name not in (*kubelets, CONTROL_PLANE)]
        for names in (kubelets, others, [CONTROL_PLANE]):
            ending = [self._end(self._children[name]) for name in names if name in self._children]
            await asyncio.gather(*ending)

    async def _end(self, child: asyncio.subprocess.Process) -> None:
        if child.returncode is not None:
            return
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
    parser.add_argument("--kubeconfig", default="", help="of an API server that is not ours")
    parser.add_argument("--dns-upstream", default="", help="asked what the cluster's DNS does not know")
    parser.add_argument("--without-controllers", action="store_true", help="somebody else runs them")
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    _compile_packages()
    options = LabOptions(
        given.mtls_mode,
        given.outbound_traffic_policy,
        given.leaf_ttl,
        given.kubeconfig,
        not given.without_controllers,
        given.dns_upstream,
    )
    asyncio.run(_serve(LabPaths(given.root), options))


if __name__ == "__main__":
    main()
