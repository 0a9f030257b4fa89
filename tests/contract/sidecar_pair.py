"""Two sidecars' data paths in processes of their own, mutual TLS between them: client → web → catalog → app.

Each is a worker process as `--concurrency` starts it, on uvloop, with nothing else in it: its memory is the
data path's. Client and app are the test's.
"""

import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from meshproxy.config.model import Endpoint, WorkloadIdentity
from meshproxy.config.snapshot import ConfigSnapshot
from meshproxy.identity.identity import Identity
from meshproxy.telemetry.metrics import MeshMetrics
from meshproxy.workers.child import ChildWorker
from meshproxy.workers.message import Begin, Connections, CountConnections, Pages, ReportPages, UseIdentity
from tests.unit.meshproxy.identity.mesh import CATALOG, WEB, issue, new_authority
from tests.unit.meshproxy.proxy.harness import http_listener, snapshot, static_cluster
from tests.unit.meshproxy.proxy.test_http_failure import A
from tests.unit.meshproxy.proxy.test_http_proxy import RETRY
from tests.unit.meshproxy.proxy.test_two_sidecars import (
    CATALOG_WORKLOAD,
    WEB_WORKLOAD,
    inbound,
    outbound_cluster,
)

MIB = 1 << 20


@dataclass
class SidecarProcess:
    """One of the two."""

    child: ChildWorker
    port: int = 0
    _resident: int = 0

    async def open_connections(self) -> int:
        """From its clients."""
        answer = await self.child.order(CountConnections())
        return cast("Connections", answer).count

    def mark(self) -> None:
        """Growth counts from here."""
        Path(f"/proc/{self.child.pid}/clear_refs").write_text("5")  # proc(5): the peak starts anew
        self._resident = self._status("VmRSS")

    @property
    def growth(self) -> int:
        """Bytes by which its resident memory was above the mark at the most."""
        return self._status("VmHWM") - self._resident

    def _status(self, field: str) -> int:
        lines = Path(f"/proc/{self.child.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{field}:"))


@dataclass
class SidecarPair:
    web: SidecarProcess
    catalog: SidecarProcess

    def mark(self) -> None:
        self.web.mark()
        self.catalog.mark()

    @property
    def growth(self) -> tuple[int, int]:
        return self.web.growth, self.catalog.growth


@contextlib.asynccontextmanager
async def sidecar_processes(
    *apps: Endpoint, http2: bool = False, action: dict[str, object] | None = None, **manager: object
) -> AsyncIterator[SidecarPair]:
    """`apps` are what catalog stands for, one pod each; with `http2` they speak it, and so do the sidecars
    among themselves. `manager`: settings of both `HttpConnectionManager`s, `action`: of web's route;
    exchanges may last as long as they like."""
    authority = new_authority()
    async with contextlib.AsyncExitStack() as stack:
        pods = []
        for app in apps:
            config = inbound(app.port, timeout=0, **manager)
            config = replace(config, clusters={"inbound": static_cluster("inbound", app, http2=http2)})
            pods.append(await start_sidecar(stack, config, issue(authority, CATALOG), CATALOG_WORKLOAD))
        cluster = replace(outbound_cluster(*(pod.port for pod in pods)), name=A.name, http2=http2)
        config = snapshot(http_listener(A, timeout=0, retry=RETRY, action=action, **manager), cluster)
        web = await start_sidecar(stack, config, issue(authority, WEB), WEB_WORKLOAD)
        yield SidecarPair(web, pods[0])


async def start_sidecar(
    stack: contextlib.AsyncExitStack, config: ConfigSnapshot, identity: Identity, workload: WorkloadIdentity
) -> SidecarProcess:
    """One that has a single listener; `stack` ends it."""
    child = await ChildWorker.start(1, MeshMetrics())
    stack.push_async_callback(child.close)
    await child.order(Begin(workload, str(identity.spiffe_id), "info"))
    await child.order(UseIdentity.of(identity))
    await child.configure(config)
    pages = cast("Pages", await child.order(ReportPages()))
    (listener,) = json.loads(pages.listeners)
    return SidecarProcess(child, listener["bound_ports"][0])
