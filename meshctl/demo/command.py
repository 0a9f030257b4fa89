"""`meshctl demo`: a whole mesh, real traffic, a report of what was measured, and nothing left behind."""

import asyncio
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import click
import httpx
from rich.console import Console
from rich.text import Text

from control_plane.client import ApiClient, ApiError
from control_plane.kubeconfig import KubeconfigError
from lab import lifecycle
from lab.lifecycle import LabError
from lab.paths import LabPaths
from lab.state import LabOptions, LabState
from meshctl.connection import VARIABLE, lab_named
from meshctl.demo import scenario
from meshctl.demo.finding import Finding
from meshctl.demo.mesh import DemoError, DemoMesh

_START_TIMEOUT = 60.0


@click.command()
@click.option("--keep", is_flag=True, help="Leave the lab up until Ctrl-C, and say what to try.")
@click.option("--name", default="demo", show_default=True, help="The lab; remains of an earlier one go.")
def demo(keep: bool, name: str) -> None:
    """Run the shop in a mesh on this machine and prove what the mesh promises.

    Ends with 0 only if every line of the report held.
    """
    console = Console(soft_wrap=True, highlight=False)
    started_at = time.monotonic()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends as Ctrl-C does: everything is taken down
    paths = lab_named(name)
    try:
        with demo_lock(name), running_lab(paths, console) as state:
            held = asyncio.run(_check(paths, console, started_at))
            if keep:
                _stay_until_interrupted(paths, state, console)
    except KeyboardInterrupt:
        raise click.ClickException("interrupted; everything was taken down") from None
    except (LabError, DemoError, ApiError, KubeconfigError, httpx.TransportError) as error:
        raise click.ClickException(str(error) or type(error).__name__) from error
    if not held:
        sys.exit(1)


@contextmanager
def demo_lock(name: str) -> Iterator[None]:
    """One demo a lab. The lock is a name in the kernel, which goes with the process. Raises DemoError."""
    with socket.socket(socket.AF_UNIX) as lock:
        try:
            lock.bind(f"\0meshproxy-demo-{name}")
        except OSError as error:
            raise DemoError(f"another demo runs in lab {name}; end it first, or say --name") from error
        yield


@contextmanager
def running_lab(paths: LabPaths, console: Console) -> Iterator[LabState]:
    """A lab of its own, in place of what an earlier run left; taken down in every case."""
    console.print(f"starting lab {paths.name}: STRICT mTLS, certificates that live {scenario.LEAF_TTL} s …")
    lifecycle.check_host()
    lifecycle.stop(paths)
    daemon: subprocess.Popen[bytes] | None = None
    try:
        daemon = lifecycle.start(paths, LabOptions(leaf_ttl=scenario.LEAF_TTL))
        yield lifecycle.wait_until_ready(paths, daemon, _START_TIMEOUT, lambda: None)
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)  # a second Ctrl-C must not leave half of it
        console.print(f"taking lab {paths.name} down …")
        lifecycle.stop(paths)
        if daemon is not None:
            daemon.wait()


async def _check(paths: LabPaths, console: Console, started_at: float) -> bool:
    counts = {True: 0, False: 0}

    def report(finding: Finding) -> None:
        counts[finding.held] += 1
        _print(console, finding)

    try:
        async with ApiClient.from_kubeconfig(paths.kubeconfig) as client:
            held = await scenario.run(DemoMesh(paths, client), report)
    except (DemoError, ApiError, httpx.TransportError):
        for process in ("control-plane", "supervisor"):
            console.print(
                f"\nthe end of the log of {process}:\n{lifecycle.tail(paths, process)}", markup=False
            )
        raise
    seconds = time.monotonic() - started_at
    verdict = "all held" if held else f"{counts[False]} did not hold"
    console.print(f"\n{sum(counts.values())} claims in {seconds:.0f} s: {verdict}")
    return held


def _print(console: Console, finding: Finding) -> None:
    mark = Text("PASS", "bold green") if finding.held else Text("FAIL", "bold red")
    console.print(Text.assemble("\n", mark, f"  {finding.claim}"))
    for line in finding.measured:
        console.print(Text(f"      {line}", "red" if line.startswith("NOT HELD") else ""))


def _stay_until_interrupted(paths: LabPaths, state: LabState, console: Console) -> None:
    """Ctrl-C is how this is meant to end."""
    try:
        asyncio.run(_stay(paths, state, console))
    except KeyboardInterrupt:
        console.print()


async def _stay(paths: LabPaths, state: LabState, console: Console) -> None:
    async with ApiClient.from_kubeconfig(paths.kubeconfig) as client:
        await DemoMesh(paths, client).put_route({"v1": 90, "v2": 10})
    console.print(_next_steps(paths, state), markup=False)
    await asyncio.Event().wait()


def _next_steps(paths: LabPaths, state: LabState) -> str:
    meshctl = f"'{sys.executable}' -m meshctl"
    api = f"{state.url}/apis/gateway.networking.k8s.io/v1/namespaces/shop/httproutes/catalog"
    secrets = paths.control_plane
    return f"""
The lab stays up until Ctrl-C. In another terminal, as root, in {scenario.EXAMPLE.parent.parent}:

  export {VARIABLE}={paths.kubeconfig}
  {meshctl} get pods -n shop -o wide
  {meshctl} proxy-status
  {meshctl} proxy-config routes web --lab {paths.name}
  {meshctl} lab exec --name {paths.name} load -- python -m examples.shop.load \\
      --request 'GET http://catalog:8080/products' --limit 10
  {meshctl} get httproute catalog -n shop -o yaml    # edit it, then: apply -f FILE

The REST API is at {state.url}:

  curl --cacert {secrets}/ca/root-cert.pem \\
      -H "Authorization: Bearer $(cat {secrets}/admin.token)" \\
      {api}

kubectl, if you have it: kubectl --kubeconfig {paths.kubeconfig} get pods -A -o name
"""
