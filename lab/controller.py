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
from pathlib import Path

from control_plane.client import ApiClient
from control_plane.kubeconfig import read_kubeconfig
from lab.controllers.process import Controllers
from lab.kubelet import run_until
from lab.paths import LabPaths


async def run(paths: LabPaths) -> None:
    """Serve until SIGTERM."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    config = read_kubeconfig(paths.kubeconfig)
    async with ApiClient(config, name="kube-controller-manager") as client:
        controllers = Controllers(client, ca_pem=config.ca_pem)
        try:
            await run_until(stop, controllers.loops())
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
