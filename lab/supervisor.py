"""The lab's daemon: makes the network, starts the other processes and starts them again when they die.

`python -m lab.supervisor --root /run/meshproxy/<lab>`; which nodes there are, stands in the lab's plan. The
control plane runs in a namespace of its own, at 10.244.0.2 on the first node, with one exception: its REST
socket is opened here, on the host's loopback, and handed over; it stays open between restarts, so that the
URL stays. All processes die with the supervisor.

With `--kubeconfig` the control plane serves no REST, but works for the API server the file names, as does
the rest of the lab (`foreign.py`): it and the injector are given a relay to it, and the injector the socket,
on the host's loopback too, where that API server calls it.
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
from control_plane.kubeconfig import KubeconfigError, read_kubeconfig, write_kubeconfig
from lab import foreign
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
_REFUSALS = (401, 403, 422)
"""Answers of an API server that it would only repeat."""
_PACKAGES = ("meshproxy", "control_plane", "certs")


class _Places:
    """Where control plane and injector are, and on which socket of the host the API server's requests come:
    those to the control plane's REST API, or, when that is not the API server, those to the injector."""

    def __init__(self, node: Node) -> None:
        self.network = node.add_pod(CONTROL_PLANE, node.control_plane_address)
        self.injector = node.add_pod(INJECTOR)
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=128)

    @property
    def url(self) -> str:
        host, port = self.socket.getsockname()
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
        self._places = _Places(first)
        self._foreign = read_kubeconfig(Path(options.kubeconfig)) if options.kubeconfig else None
        if self._foreign is not None:
            write_kubeconfig(paths.relayed_kubeconfig, foreign.relayed(self._foreign))
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
        rest = None if self._foreign else self._places.socket.fileno()
        keep = self._keep(CONTROL_PLANE, self._control_plane_command, rest, self._forget_ports)
        work = [self._start_agents(), self._bound_logs(), keep]
        if self._foreign is not None:
            listener = foreign.listen(self._places.network.namespace)
            work.append(Relay(listener, foreign.address_of(self._foreign)).run())
        return work

    def _control_plane_command(self) -> list[str]:
        network = self._places.network
        api = self._paths.relayed_kubeconfig if self._foreign else self._places.socket.fileno()
        command = control_plane_command(self._paths, network.namespace, api, self._options, self._plan)
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
        if self._foreign is not None:
            await self._reach()
        await self._has_control_plane()
        if self._foreign is None:
            await self._register(str(self._places.network.address))
        async with asyncio.TaskGroup() as group:
            for name, command in self._agents().items():
                group.create_task(self._keep(name, functools.partial(list, command)))
            await self._start_injector(group)
            self._is_ready = True
            self._note(None, None)

    async def _start_injector(self, group: asyncio.TaskGroup) -> None:
        """Returns when no pod can be made any more of which it is not told."""
        host, relay, webhook = self._injector()
        group.create_task(relay.run())
        group.create_task(self._keep(INJECTOR, host.command, webhook, prepare=host.prepare))
        await host.wait_until_registered()

    def _injector(self) -> tuple[InjectorHost, Relay, int | None]:
        """With its way to the API server, and the socket on which that calls it."""
        places, directory = self._places, self._paths.root / INJECTOR
        if self._foreign is None:
            kubeconfig = self._paths.control_plane / "kubeconfig"
            host = InjectorHost(directory, places.injector, kubeconfig, places.network.address)
            api = places.socket.getsockname()
            return host, Relay(host.listen_for_api(api[1]), api), None
        access = foreign.ForeignAccess(self._paths.relayed_kubeconfig, places.socket)
        kubeconfig = self._paths.kubeconfig
        host = InjectorHost(directory, places.injector, kubeconfig, places.network.address, access)
        relay = Relay(foreign.listen(places.injector.namespace), foreign.address_of(self._foreign))
        return host, relay, places.socket.fileno()

    async def _has_control_plane(self) -> None:
        while not (self._paths.control_plane / "ports.json").exists():  # noqa: ASYNC110 — another process's file
            await asyncio.sleep(_POLL)

    def _agents(self) -> dict[str, list[str]]:
        return agent_commands(self._paths, self._plan, self._options)

    async def _register(self, control_plane_address: str) -> None:
        kubeconfig = self._paths.control_plane / "kubeconfig"
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
        """Until an API server that is not ours has taken the lab's own objects. Raises ForeignApiError."""
        self._link_kubeconfig(Path(self._options.kubeconfig))
        nodes = [node.name for node in self._plan.nodes]
        objects = system_objects(str(self._places.network.address))
        while True:
            try:
                async with ApiClient.from_kubeconfig(self._paths.kubeconfig) as client:
                    await foreign.prepare(client, nodes, objects)
                return
            except (ApiError, KubeconfigError, httpx.TransportError) as error:
                if isinstance(error, ApiError) and error.status in _REFUSALS:
                    raise foreign.ForeignApiError(f"{self._options.kubeconfig}: {error}") from error
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
        url = self._foreign.server if self._foreign else self._places.url
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
            async with asyncio.timeout(_STOP_GRACE):
                await child.wait()
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
    try:
        asyncio.run(_serve(LabPaths(given.root), options))
    except (foreign.ForeignApiError, KubeconfigError) as error:
        _log.critical("%s", error)
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()
