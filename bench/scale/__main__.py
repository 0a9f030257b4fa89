"""`python -m bench.scale`: a control plane with 2,000 Services and 20,000 Pods, and a sidecar of that mesh.

Needs root, for network namespaces, and a few minutes. Prints a table; `--seed DIRECTORY` keeps the filled
state there for the next run.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import sys
import tempfile
from pathlib import Path

from bench.errors import BenchError
from bench.network import Network, remove_stale
from bench.scale import api
from bench.scale.figure import Figures
from bench.scale.objects import Size
from bench.scale.running import Mesh
from bench.scale.seed import fill


def main() -> int:
    """Exit status: 0 measured, 1 aborted."""
    options = _parser().parse_args()
    remove_stale()
    try:
        with tempfile.TemporaryDirectory(prefix="meshproxy-scale-") as folder:
            _run(options, Path(folder))
    except (BenchError, OSError) as error:
        print(f"bench.scale: {error}", file=sys.stderr)
        return 1
    return 0


def _run(options: argparse.Namespace, folder: Path) -> None:
    size = Size(options.services, options.endpoints)
    seed = options.seed or folder / "seed"
    if not (seed / "state.db").exists():
        print(f"{asyncio.run(fill(seed, size)):,} objects written", flush=True)
    shutil.copytree(seed, folder / "state")
    figures = Figures()
    network = Network("scale")
    try:
        mesh = Mesh(network, folder, size, figures)
        mesh.start()
        asyncio.run(api.measure(mesh.control, figures))
        mesh.connect_sidecar()
        mesh.change_endpoints()
        mesh.restart()
        mesh.stop()
    finally:
        network.close()
    print(f"\n{figures.markdown()}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.scale", description=__doc__)
    parser.add_argument("--services", type=int, default=Size().services)
    parser.add_argument("--endpoints", type=int, default=Size().endpoints)
    parser.add_argument("--seed", type=Path, help="a directory of its own for each size")
    return parser


if __name__ == "__main__":
    sys.exit(main())
