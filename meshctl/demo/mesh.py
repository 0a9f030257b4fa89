"""The demo's hands in a running lab: its API, commands in its pods, its sidecars' metrics."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager

from control_plane.client import ApiClient, NotFound
from control_plane.resources.deployment import Deployment
from control_plane.resources.manifest import Manifest, key_of, metadata
from control_plane.resources.pod import Pod
from lab.paths import LabPaths
from lab.pod_record import PodRecord, find_pod
from lab.progress import waiting_for
from lab.topology import Declared
from meshctl.demo.ledger import Ledger
from meshctl.demo.samples import Samples
from meshctl.json_value import text
from meshctl.pod_command import command_beside
from meshctl.proxy_status import is_synced, node_name, sync_states
from meshctl.sidecar_admin import PodUnreachable, read_page

POLL = 0.05
"""Seconds between looks at something that is waited for."""
SHOP = "shop"
MESHED = ("web", "catalog-v1", "catalog-v2", "inventory", "greeter", "load")
"""Deployments of the shop; each has one pod with a sidecar."""
CATALOG_PODS = ("catalog-v1", "catalog-v2")
ROUTE = "catalog"
_START_TIMEOUT = 60.0
_STOP_TIMEOUT = 5.0
_IN_FORCE_TIMEOUT = 60.0


class DemoError(Exception):
    """Something the demo needs did not happen."""


class DemoMesh:
    """One lab with the shop in it."""

    def __init__(self, paths: LabPaths, client: ApiClient) -> None:
        self.paths = paths
        self.client = client

    # --- waiting ---

    async def apply_and_wait(self, declared: Sequence[Declared], within: float) -> None:
        """Apply manifests; then until their pods are ready and every sidecar has its configuration."""
        for entry in declared:
            await self.client.apply(entry.manifest)
        keys = [key_of(entry.manifest) for entry in declared]
        waiting = ""

        async def is_ready() -> bool:
            nonlocal waiting
            deployments = [Deployment.read(item) for item in (await self.client.list("Deployment")).items]
            pods = [Pod.read(item) for item in (await self.client.list("Pod")).items]
            late = waiting_for(keys, deployments, pods)
            waiting = "; ".join(f"{entry.what}: {entry.why}" for entry in late)
            return not late

        try:
            await self.wait_for("the shop", is_ready, within)
        except DemoError as error:
            raise DemoError(f"{error}: {waiting}") from None
        await self.wait_for("synced sidecars", self.are_synced, within)

    async def are_synced(self, since: float = 0.0) -> bool:
        """Every sidecar of the shop is connected, since `since` (Unix time), and SYNCED."""
        nodes = await sync_states(self.client)
        good = [node for node in nodes if is_synced(node) and float(str(node["connectedAt"])) >= since]
        return len({str(node["nodeId"]) for node in good}) >= len(MESHED)

    async def wait_for(self, what: str, condition: Callable[[], Awaitable[bool]], within: float) -> float:
        """Until `condition`; how long it took. Raises DemoError after `within` seconds."""
        started_at = time.monotonic()
        while not await condition():
            if time.monotonic() - started_at > within:
                raise DemoError(f"{what}: not within {within:g} s")
            await asyncio.sleep(POLL)
        return time.monotonic() - started_at

    # --- routes ---

    async def put_route(self, weights: Mapping[str, int], name: str = ROUTE) -> float:
        """Split catalog between its versions, through REST; when the PUT was sent (CLOCK_MONOTONIC)."""
        backends = [
            {"name": f"catalog-{version}", "port": 8080, "weight": weight}
            for version, weight in weights.items()
        ]
        manifest = catalog_route(name, [{"backendRefs": backends}])
        try:
            current = await self.client.get("HTTPRoute", name, SHOP)
        except NotFound:
            sent_at = time.monotonic()
            await self.client.create(manifest)
        else:
            version = metadata(current)["resourceVersion"]
            manifest["metadata"] = {**metadata(manifest), "resourceVersion": version}
            sent_at = time.monotonic()
            await self.client.update(manifest)
        return sent_at

    async def change_route(self, weights: Mapping[str, int]) -> tuple[float, float]:
        """`put_route` with other weights than before: when the PUT was sent, and when they were in force, as
        the sidecar of `load` had told by then (both CLOCK_MONOTONIC). Raises DemoError."""
        before = await self._routes_of_load()
        sent_at = await self.put_route(weights)

        async def is_in_force() -> bool:
            return await self._routes_of_load() not in (before, "")

        await self.wait_for("the changed route", is_in_force, _IN_FORCE_TIMEOUT)
        return sent_at, time.monotonic()

    async def _routes_of_load(self) -> str:
        """Which version of its routes it has acknowledged last; empty when it is not connected."""
        name = f"{self.pod('load').name}.{SHOP}"
        for node in await sync_states(self.client):
            types = node.get("types")
            routes = types.get("rds") if isinstance(types, dict) else None
            if node_name(node) == name and isinstance(routes, dict):
                return text(routes, "ackedVersion")
        return ""

    async def delete_route(self, name: str = ROUTE) -> None:
        """Absent is fine."""
        try:
            await self.client.delete("HTTPRoute", name, SHOP)
        except NotFound:
            pass

    # --- pods ---

    def pod(self, name: str) -> PodRecord:
        """The pod of a Deployment, or of this name. Raises DemoError."""
        found = find_pod(self.paths, name)
        if found is None:
            raise DemoError(f"pod {name} is not there")
        return found

    async def page(self, pod: str, path: str, port: int = 15000) -> str:
        """A page from the pod's loopback address. Raises DemoError."""
        try:
            return await asyncio.to_thread(read_page, self.pod(pod), path, port)
        except PodUnreachable as error:
            raise DemoError(str(error)) from error

    async def samples(self, pod: str) -> Samples:
        """The metrics of a pod's sidecar, as Prometheus gets them. Raises DemoError."""
        return Samples(await self.page(pod, "/stats/prometheus", 15090))

    async def start(self, pod: str, *command: str) -> asyncio.subprocess.Process:
        """Run a command beside the pod's first container, with pipes; it sees what the container sees."""
        found = self.pod(pod)
        place = found.containers.get(found.first_container)
        if place is None:
            raise DemoError(f"pod {pod} does not run")
        line = command_beside(place, command)
        pipe = asyncio.subprocess.PIPE
        # A session of its own: Ctrl-C is for us, who end it in order.
        starting = asyncio.ensure_future(
            asyncio.create_subprocess_exec(
                *line, stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True
            )
        )
        try:
            return await asyncio.shield(starting)
        except asyncio.CancelledError:
            # Cancelled half-way asyncio would leave the pipes open, and the process waiting for ever.
            await finish(await starting)
            raise

    # --- load ---

    @asynccontextmanager
    async def load(
        self,
        pod: str,
        *requests: str,
        rate: float,
        duration: float = 600.0,
        limit: int = 0,
        connections: int = 16,
        note: str = "",
        request_timeout: float = 10.0,
    ) -> AsyncIterator["RunningLoad"]:
        """Requests (`GET http://…`) from inside a pod, until `stop` or the limits; they have begun."""
        options = {
            "--rate": rate,
            "--duration": duration,
            "--limit": limit,
            "--connections": connections,
            "--timeout": request_timeout,
            "--note": note,
        }
        words = [word for option, value in options.items() for word in (option, str(value))]
        words += [word for request in requests for word in ("--request", request)]
        process = await self.start(pod, "python", "-m", "examples.shop.load", "--until-eof", *words)
        running = RunningLoad(process)
        try:
            await running.started()
            yield running
        finally:
            await running.close()

    async def run_load(self, pod: str, *requests: str, rate: float, limit: int, note: str = "") -> Ledger:
        """A load of `limit` requests, to its end."""
        async with self.load(pod, *requests, rate=rate, limit=limit, note=note) as running:
            return await running.result()


class RunningLoad:
    """A load generator in a pod."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        # Read from the start: a ledger does not fit into a pipe.
        self._output = asyncio.ensure_future(self._read())

    async def _read(self) -> bytes:
        assert self._process.stdout is not None
        return await self._process.stdout.read()

    async def started(self) -> None:
        """Until the first request is due. Raises DemoError."""
        assert self._process.stderr is not None
        try:
            async with asyncio.timeout(_START_TIMEOUT):
                first = await self._process.stderr.readline()
        except TimeoutError:
            raise DemoError(f"load generator: not started within {_START_TIMEOUT:g} s") from None
        if first.strip() != b"started":
            rest = await self._process.stderr.read()
            raise DemoError(f"load generator: {(first + rest).decode(errors='replace')[-500:]}")

    async def stop(self) -> Ledger:
        """Send nothing more; the ledger once all is answered. Raises DemoError."""
        self._end_input()
        return await self.result()

    async def result(self) -> Ledger:
        """The ledger, when the load has come to its own end. Raises DemoError."""
        output = await asyncio.shield(self._output)  # `close` reads on when we are cancelled
        status = await self._process.wait()
        if status != 0:
            assert self._process.stderr is not None
            errors = (await self._process.stderr.read()).decode(errors="replace")
            raise DemoError(f"load generator ended with {status}: {errors[-500:]}")
        return Ledger.parse(output.decode())

    def _end_input(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()

    async def close(self) -> None:
        """Whatever state it is in."""
        await finish(self._process, self._output)


async def finish(process: asyncio.subprocess.Process, reader: "asyncio.Future[bytes] | None" = None) -> None:
    """End a command by closing its input, and read what it still says, so that its pipes are closed.

    `reader` is who reads its output already, if anybody does. Done also when cancelled meanwhile.
    """
    ending = asyncio.ensure_future(_finish(process, reader))
    try:
        await asyncio.shield(ending)
    except asyncio.CancelledError:
        await ending
        raise


async def _finish(process: asyncio.subprocess.Process, reader: "asyncio.Future[bytes] | None") -> None:
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdin.close()
    try:
        async with asyncio.timeout(_STOP_TIMEOUT):
            await asyncio.gather(
                process.wait(), process.stderr.read(), reader if reader is not None else process.stdout.read()
            )
    except TimeoutError:
        process.kill()
        # What it had started may hold its pipes, for which `wait` would wait, too.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_STOP_TIMEOUT):
                await process.wait()


def catalog_route(name: str, rules: Sequence[Mapping[str, object]], parent: str = "catalog") -> Manifest:
    """An HTTPRoute for the clients of a Service of the shop."""
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": name, "namespace": SHOP},
        "spec": {
            "parentRefs": [{"group": "", "kind": "Service", "name": parent, "port": 8080}],
            "rules": list(rules),
        },
    }
