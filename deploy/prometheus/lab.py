"""Prometheus in a lab: `python -m deploy.prometheus.lab --name default`, then http://127.0.0.1:9090.

It runs on the lab's first node, from where it reaches every pod; a relay shows it on the host's loopback.
Until Ctrl-C. Its data is the lab's, and goes with it. Needs root, and Prometheus (Debian: `prometheus`).
"""

import argparse
import asyncio
import contextlib
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from control_plane.client import ApiClient, ApiError
from deploy.prometheus.discovery import pod_targets, slice_targets, target_groups
from deploy.prometheus.lab_config import lab_config, target_file
from lab.network import Node
from lab.paths import LabPaths
from lab.plan_file import read_plan
from lab.relay import Relay
from lab.state import write_json

HERE = Path(__file__).parent
_PORT = 9090
"""On the node's loopback address."""
_DISCOVERY_PERIOD = 2.0
_POLL = 0.05
_STOP_GRACE = 5.0


class PrometheusError(Exception):
    """It cannot be run here; the message says what to do."""


@dataclass(frozen=True, slots=True)
class LabPrometheus:
    """Where a running one is."""

    url: str
    """On the host."""
    log: Path


@asynccontextmanager
async def running_prometheus(
    paths: LabPaths, interval: str, listen: tuple[str, int] = ("127.0.0.1", 0)
) -> AsyncIterator[LabPrometheus]:
    """Scraping every `interval` (`5s`), and answering. Raises PrometheusError."""
    binary = shutil.which("prometheus")
    if binary is None:
        raise PrometheusError("prometheus is not installed; on Debian and Ubuntu: apt-get install prometheus")
    directory = paths.root / "prometheus"
    directory.mkdir(exist_ok=True)
    config, log = directory / "prometheus.yml", paths.process_log("prometheus")
    config.write_text(
        lab_config((HERE / "prometheus.yml").read_text(), directory, HERE / "rules.yml", interval)
    )
    plan = read_plan(paths)
    namespace = Node(paths.root, plan, plan.nodes[0].name).namespace
    listener = socket.create_server(listen)
    relay = Relay(listener, ("127.0.0.1", _PORT), namespace)
    url = "http://{}:{}".format(*listener.getsockname())
    await _discover(paths, directory)
    command = [
        *("nsenter", f"--net={namespace}", "--", "setpriv", "--pdeathsig=KILL", "--", binary),
        f"--config.file={config}",
        f"--storage.tsdb.path={directory / 'data'}",
        f"--web.listen-address=127.0.0.1:{_PORT}",
        "--log.level=warn",
    ]
    process = await _start(command, log)
    discovering = asyncio.ensure_future(_keep_discovering(paths, directory))
    try:
        await relay.start()
        await _until_ready(process, url, log)
        yield LabPrometheus(url, log)
    finally:
        discovering.cancel()
        await asyncio.gather(discovering, return_exceptions=True)
        await relay.stop()
        await _end(process)


async def _start(command: Sequence[str], log: Path) -> asyncio.subprocess.Process:
    with log.open("ab") as output:
        return await asyncio.create_subprocess_exec(
            *command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )


async def _until_ready(process: asyncio.subprocess.Process, url: str, log: Path) -> None:
    async with httpx.AsyncClient(trust_env=False) as client:
        while True:
            if process.returncode is not None:
                raise PrometheusError(f"prometheus ended with {process.returncode}; its log is {log}")
            with contextlib.suppress(httpx.TransportError):
                if (await client.get(f"{url}/-/ready")).is_success:
                    return
            await asyncio.sleep(_POLL)


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    process.terminate()
    try:
        await asyncio.wait_for(process.wait(), _STOP_GRACE)
    except TimeoutError:
        process.kill()
        await process.wait()


async def _keep_discovering(paths: LabPaths, directory: Path) -> None:
    while True:
        await asyncio.sleep(_DISCOVERY_PERIOD)
        with contextlib.suppress(
            ApiError, httpx.TransportError
        ):  # what was found stays until the API is back
            await _discover(paths, directory)


async def _discover(paths: LabPaths, directory: Path) -> None:
    async with ApiClient.from_kubeconfig(paths.kubeconfig) as client:
        pods = (await client.list("Pod")).items
        slices = (await client.list("EndpointSlice")).items
        services = (await client.list("Service")).items
    write_json(directory / target_file("pod"), target_groups(pod_targets(pods)))
    write_json(directory / target_file("endpointslice"), target_groups(slice_targets(slices, services)))


async def _serve(paths: LabPaths, interval: str, port: int) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with running_prometheus(paths, interval, ("127.0.0.1", port)) as running:
        print(f"Prometheus of lab {paths.name}: {running.url} (Ctrl-C ends it)", flush=True)
        await stop.wait()


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="python -m deploy.prometheus.lab")
    parser.add_argument("--name", default="default", help="of the lab")
    parser.add_argument("--interval", default="5s", help="between scrapes")
    parser.add_argument("--port", type=int, default=9090, help="on the host's loopback address")
    given = parser.parse_args()
    try:
        asyncio.run(_serve(LabPaths.of(given.name), given.interval, given.port))
    except (PrometheusError, ApiError, OSError, ValueError, httpx.TransportError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
