"""The lab's controllers in one process: what is declared becomes Pods with a node.

`python -m lab.controller --root /run/meshproxy/<lab>`. They are what a lab needs of Kubernetes' controller
manager and scheduler, and use only what every API server has: where those two run, leave this out
(`meshctl lab up --without-controllers`).
"""

import argparse
import asyncio
import contextlib
import logging
import signal
from collections.abc import Iterable
from pathlib import Path

import httpx

from control_plane.client import ApiClient, ApiError, Conflict
from control_plane.resources.manifest import Manifest
from lab.controllers.process import Controllers
from lab.kubelet import run_until
from lab.lab_file import NodePlan
from lab.paths import LabPaths
from lab.plan_file import read_plan

_log = logging.getLogger(__name__)

_RETRY = 0.5
"""Seconds before the nodes are registered again when the API could not be reached."""


async def register_nodes(client: ApiClient, nodes: Iterable[NodePlan]) -> None:
    """Those of the lab's plan that are not there: their kubelets tell the rest."""
    for node in nodes:
        meta: Manifest = {"name": node.name, "labels": {**node.labels}}
        with contextlib.suppress(Conflict):
            await client.create({"apiVersion": "v1", "kind": "Node", "metadata": meta})


async def _keep_registering(client: ApiClient, nodes: Iterable[NodePlan]) -> None:
    while True:
        try:
            await register_nodes(client, nodes)
        except (ApiError, httpx.TransportError) as error:
            _log.warning("the nodes were not registered: %s", error or type(error).__name__)
            await asyncio.sleep(_RETRY)
        else:
            await asyncio.Event().wait()


async def run(paths: LabPaths) -> None:
    """Serve until SIGTERM."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with ApiClient.from_kubeconfig(paths.kubeconfig) as client:
        controllers = Controllers(client)
        try:
            await run_until(stop, [_keep_registering(client, read_plan(paths).nodes), *controllers.loops()])
        finally:
            controllers.close()


def main() -> None:
    """Entry point of the process."""
    parser = argparse.ArgumentParser(prog="lab.controller")
    parser.add_argument("--root", type=Path, required=True, help="the lab's directory")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(run(LabPaths(arguments.root)))


if __name__ == "__main__":
    main()
