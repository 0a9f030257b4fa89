"""One side, put together: network, control plane, upstream and proxies, ready and proved to answer."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Self

from bench import handshake_peer, proxies
from bench.comparison import start_comparison
from bench.control import ControlPlane, Seeds
from bench.dataset import service_address
from bench.errors import WrongAnswer
from bench.load.check import Checker
from bench.network import Network, http_get
from bench.process import PROXY_CORE, Process
from bench.proxies import CLIENT, SERVER, Surroundings
from bench.result import MESHES, Side
from bench.route_table import ROUTED_SHAPES, Rules
from bench.shape import SERVICE_PORT, SHAPES
from bench.upstream import start_upstream

SERVICES = 100

_FAILURE = re.compile(
    r"""response_code="[^2]|rq_[45]xx|rq_retry: |retries_total|failures?_total|cx_connect_fail|rq_tx_reset"""
)


class Layout(Enum):
    """What stands between the client and the upstream."""

    ONE_HOP = "one hop"
    """The client's proxy, plaintext on both sides."""
    TWO_HOPS = "two hops"
    """The client's proxy, mTLS, the server's proxy; both on the proxies' core."""
    CLIENT_HALF = "client half"
    """The client's proxy, mTLS, HAProxy on the load's core."""
    SERVER_HALF = "server half"
    """HAProxy on the load's core, mTLS, the server's proxy."""

    @property
    def is_meshed(self) -> bool:
        return self is not Layout.ONE_HOP

    @property
    def has_client_proxy(self) -> bool:
        return self is not Layout.SERVER_HALF

    @property
    def has_server_proxy(self) -> bool:
        return self in (Layout.TWO_HOPS, Layout.SERVER_HALF)


@dataclass(frozen=True, slots=True)
class Plan:
    """What to put together."""

    side: Side
    layout: Layout
    services: int = SERVICES
    rules: Rules = Rules.TWO
    """Of each Service."""
    http2: bool = False
    """The upstream speaks it, and so do the sidecars with each other."""
    h2_upgrade: bool = False
    """Only the sidecars do, with each other."""
    workers: int = 1
    """Of each sidecar."""
    sidecar_module: str = "meshproxy"
    """Of ours: what `python -m` runs; it may wrap the sidecar."""
    sidecar_environment: tuple[tuple[str, str], ...] = ()
    """Of ours, for that module."""
    cgroups: Callable[[str], tuple[Path, ...]] = lambda pod: ()
    """Control groups by pod."""
    proxy_core: int = PROXY_CORE
    """Or ANY_CORE."""


class Testbed:
    """Use as a context manager; leaving it ends everything."""

    __test__ = False  # not a test class, whatever pytest thinks of its name

    def __init__(self, plan: Plan, seeds: Seeds) -> None:
        self.plan = plan
        self._seeds = seeds
        self._stack = ExitStack()
        self.peer: Process | None = None
        self.proxies: dict[str, Process] = {}
        """By pod name: `client`, `server-a`."""
        self.ready_seconds: dict[str, float] = {}
        """From the start of a proxy until it was ready."""
        self.data_paths: set[str] = set()
        """Of ours: `compiled`, `sources`."""

    def __enter__(self) -> Self:
        try:
            self._build()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def side(self) -> Side:
        return self.plan.side

    def _build(self) -> None:
        plan = self.plan
        name = f"{plan.side.value}-{plan.layout.name.lower()}-{plan.services}"
        self.network = network = Network(f"{name}-{id(self):x}")
        self._stack.callback(network.close)
        self.folder = network.root / "files"
        self.upstream = self._keep(start_upstream(network.server, self.folder / "upstream", http2=plan.http2))
        network.intercept(network.client)
        if plan.layout.is_meshed:
            network.intercept(network.server)
        if plan.side in MESHES:
            self._build_mesh()
        else:
            proxy = start_comparison(plan.side, network.client, self.folder, plan.services)
            self.proxies[CLIENT.pod] = self._keep(proxy)
        if plan.layout is not Layout.SERVER_HALF:
            self.checker().wait_until_right(self.proxies.values())

    def _build_mesh(self) -> None:
        plan, network = self.plan, self.network
        data_dir = self._seeds.copy(
            self.folder / "control",
            plan.services,
            meshed=plan.layout.is_meshed,
            rules=plan.rules,
            http2=plan.http2,
            h2_upgrade=plan.h2_upgrade,
        )
        self.control = ControlPlane(data_dir, network.control, self.folder / "control-plane.log")
        self._stack.callback(self._stop_control)
        if not (plan.layout.has_client_proxy and plan.layout.has_server_proxy) and plan.layout.is_meshed:
            self.restart_peer(resumption=True)
        if plan.layout.has_server_proxy:
            self.start_proxy(SERVER)
        if plan.layout.has_client_proxy:
            self.start_proxy(CLIENT)

    def _stop_control(self) -> None:
        self.control.stop()

    def restart_peer(self, *, resumption: bool) -> None:
        """In the halves: HAProxy, allowing TLS sessions to be resumed or not."""
        if self.peer is not None:
            self.peer.stop()
        start = handshake_peer.start_client
        if self.plan.layout is Layout.CLIENT_HALF:
            start = handshake_peer.start_server
        self.peer = self._keep(start(self.network, self.control, self.folder, resumption))

    def start_proxy(self, who: proxies.PodIdentity) -> Process:
        """Start a sidecar and wait until it is ready."""
        namespace = self.network.client if who is CLIENT else self.network.server
        where = Surroundings(
            namespace,
            self.control,
            self.folder,
            core=self.plan.proxy_core,
            cgroups=self.plan.cgroups(who.pod),
        )
        if self.plan.side is Side.MESHPROXY:
            process = proxies.start_meshproxy(
                who,
                where,
                module=self.plan.sidecar_module,
                environment=dict(self.plan.sidecar_environment),
                workers=self.plan.workers,
            )
        else:
            process = proxies.start_envoy(who, where, workers=self.plan.workers)
        self.proxies[who.pod] = self._keep(process)
        self.ready_seconds[who.pod] = proxies.wait_ready(self.plan.side, process, namespace)
        if self.plan.side is Side.MESHPROXY:
            self.data_paths.add(proxies.data_path(process, namespace))
        return process

    def _keep(self, process: Process) -> Process:
        self._stack.callback(process.stop)
        return process

    def checker(self) -> Checker:
        """Asks every Service as a client does, and judges the answers."""
        shapes = SHAPES if self.plan.rules is Rules.TWO else (*ROUTED_SHAPES, *SHAPES)
        return Checker(self.network.client, self.plan.services, shapes)

    # --- what a workload needs ---

    @property
    def url(self) -> str:
        """Any Service's address: the Host header decides."""
        return f"http://{service_address(0)}:{SERVICE_PORT}"

    def cpu_seconds(self) -> float:
        """Used by all proxies of the side since they started."""
        return sum(process.cpu_seconds() for process in self.proxies.values())

    @contextlib.contextmanager
    def judged(self) -> Iterator[None]:
        """Says whose answer was wrong, and what the side itself counted."""
        try:
            yield
        except WrongAnswer as error:
            counted = "\n".join(self._failures())
            raise WrongAnswer(f"{self.side.value}, {self.plan.layout.value}: {error}\n{counted}") from error

    def _failures(self) -> Iterator[str]:
        """Lines of the sidecars' own statistics that are not about success."""
        for pod, process in self.proxies.items():
            namespace = self.network.client if pod == CLIENT.pod else self.network.server
            page = http_get(namespace, proxies.ADMIN_PORT, "/stats") if self.side in MESHES else None
            for line in [] if page is None else page[1].decode(errors="replace").splitlines():
                if _FAILURE.search(line) and not line.endswith(": 0"):
                    yield f"  {pod}: {line}"
            yield f"  {pod} said: {process.tail(5)}"

    def check_alive(self) -> None:
        """Raises BenchError when a part has ended."""
        for process in (self.upstream, *self.proxies.values()):
            process.check()
