"""`meshctl lab`: a mesh on this machine, in network namespaces: up, down, status, logs, exec."""

import asyncio
import contextlib
import math
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import click
import httpx

from control_plane.client import ApiClient, ApiError
from control_plane.kubeconfig import KubeconfigError
from control_plane.resources.deployment import Deployment
from control_plane.resources.manifest import Manifest, ObjectKey, key_of
from control_plane.resources.node import Node
from control_plane.resources.pod import Pod
from lab import lifecycle
from lab.container_log import ContainerLogs
from lab.dns_forward import parse_upstream
from lab.lab_file import LabFileError, LabPlan, plan_of_zones, read_lab_file
from lab.lifecycle import LabError
from lab.log_line import LogQuery
from lab.paths import LabPaths
from lab.pod_record import PodRecord, find_pod
from lab.progress import Waiting, reason, waiting_for
from lab.state import LabOptions, read_state
from lab.topology import Declared
from meshctl.columns import table
from meshctl.manifest_files import files_option, read_manifests
from meshctl.pod_command import command_beside
from meshctl.text_table import print_table

_START_TIMEOUT = 120.0
"""Seconds until the lab itself runs; a busy machine takes its time, and pods have theirs besides."""
_POLL = 0.1
"""Seconds between looks at what is ready."""
_STABLE_AFTER = 0.5
"""Seconds that everything must have been ready: an app that ends at once is ready for a moment."""
name_option = click.option("--name", default="default", show_default=True, help="The lab.")


@click.group()
def lab() -> None:
    """A whole mesh on this machine, in network namespaces."""


@lab.command()
@name_option
@files_option(required=False)
@click.option(
    "--mtls-mode", type=click.Choice(["STRICT", "PERMISSIVE", "DISABLE"]), default="STRICT", show_default=True
)
@click.option(
    "--outbound-traffic-policy",
    type=click.Choice(["ALLOW_ANY", "REGISTRY_ONLY"]),
    default="ALLOW_ANY",
    show_default=True,
)
@click.option(
    "--leaf-ttl",
    type=click.IntRange(min=1),
    default=86400,
    show_default=True,
    help="Seconds a certificate lives.",
)
@click.option(
    "--zones",
    default="",
    help="A node for each zone: names, or region/name, separated by commas.",
)
@click.option(
    "--topology",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Lab file: nodes, their kind, and what joins them.",
)
@click.option(
    "--kubeconfig",
    type=click.Path(exists=True, dir_okay=False, resolve_path=True, path_type=Path),
    help="Run the mesh and its nodes for the API server of this file.",
)
@click.option(
    "--dns-upstream", default="", help="DNS server that is asked, from this machine, about names outside."
)
@click.option("--without-controllers", is_flag=True, help="Somebody else keeps Deployments and binds Pods.")
@click.option("--wait/--no-wait", default=True, show_default=True, help="Wait until every pod is ready.")
@click.option("--timeout", type=float, default=120.0, show_default=True, help="Seconds to wait for pods.")
def up(
    name: str,
    files: Sequence[Path],
    mtls_mode: str,
    outbound_traffic_policy: str,
    leaf_ttl: int,
    zones: str,
    topology: Path | None,
    kubeconfig: Path | None,
    dns_upstream: str,
    without_controllers: bool,
    wait: bool,
    timeout: float,
) -> None:
    """Start a lab, and apply the manifests of the given files and directories."""
    paths = _paths(name)
    _check_address(dns_upstream)
    declared = read_manifests(files)
    plan = _plan(zones, topology)
    foreign = "" if kubeconfig is None else str(kubeconfig)
    options = LabOptions(
        mtls_mode, outbound_traffic_policy, leaf_ttl, foreign, not without_controllers, dns_upstream
    )
    try:
        daemon = lifecycle.start(paths, options, plan)
    except LabError as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"starting lab {name} …")
    try:
        state = lifecycle.wait_until_ready(paths, daemon, _START_TIMEOUT, lambda: None)
    except (LabError, KeyboardInterrupt) as error:
        lifecycle.stop(paths)
        raise click.ClickException(str(error) or "interrupted; the lab was taken down") from error
    give_up_at = time.monotonic() + timeout
    try:
        nodes = [node.name for node in plan.nodes]
        asyncio.run(_apply_and_wait(paths, nodes, declared, give_up_at if wait else None))
    except (ApiError, httpx.TransportError) as error:
        raise click.ClickException(str(error) or type(error).__name__) from error
    click.echo(f"lab {name} is up")
    click.echo(f"  REST API    {state.url}")
    click.echo(f"  kubeconfig  {paths.kubeconfig}")


def _plan(zones: str, topology: Path | None) -> LabPlan:
    if topology is not None and zones:
        raise click.UsageError("--zones and --topology: say one of them; a lab file gives its nodes zones")
    try:
        return plan_of_zones(zones) if topology is None else read_lab_file(topology.read_text(), topology)
    except LabFileError as error:
        raise click.BadParameter(str(error), param_hint="--zones" if zones else "--topology") from error


def _paths(name: str) -> LabPaths:
    try:
        return LabPaths.of(name)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--name") from error


def _check_address(dns_upstream: str) -> None:
    try:
        parse_upstream(dns_upstream)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--dns-upstream") from error


async def _apply_and_wait(
    paths: LabPaths, nodes: Sequence[str], declared: Sequence[Declared], give_up_at: float | None
) -> None:
    async with ApiClient.from_kubeconfig(paths.kubeconfig) as client:
        await _wait_for_nodes(client, nodes, time.monotonic() + _START_TIMEOUT)
        for entry in declared:
            try:
                await client.apply(entry.manifest)
            except ApiError as error:
                raise click.ClickException(f"{entry.place}: {error}") from error
        if declared:
            click.echo(f"applied {len(declared)} objects")
        if give_up_at is not None:
            await _wait(client, paths, [key_of(entry.manifest) for entry in declared], give_up_at)


async def _wait_for_nodes(client: ApiClient, names: Sequence[str], give_up_at: float) -> None:
    """Before anything is applied: else all pods would go to the node that came first."""
    while True:
        found = [Node.read(item) for item in (await client.list("Node")).items]
        late = set(names) - {node.metadata.name for node in found if node.status.is_ready}
        if not late:
            return
        if time.monotonic() > give_up_at:
            raise click.ClickException(
                f"not ready: node {', '.join(sorted(late))}; see kubelet.log of the lab"
            )
        await asyncio.sleep(_POLL)


async def _wait(client: ApiClient, paths: LabPaths, keys: Sequence[ObjectKey], give_up_at: float) -> None:
    told: set[str] = {str(key) for key in keys}
    ready_since = math.inf
    while True:
        deployments = [Deployment.read(item) for item in (await client.list("Deployment")).items]
        pods = [Pod.read(item) for item in (await client.list("Pod")).items]
        waiting = waiting_for(keys, deployments, pods)
        late = {entry.what for entry in waiting}
        for key in keys:
            if str(key) in told and str(key) not in late and key.kind in ("Deployment", "Pod"):
                click.echo(f"  {key} is ready")
        told &= late
        now = time.monotonic()
        ready_since = math.inf if waiting else min(ready_since, now)
        if now - ready_since >= _STABLE_AFTER:
            return
        if waiting and now > give_up_at:
            raise click.ClickException(_explain(paths, waiting))
        await asyncio.sleep(_POLL)


def _explain(paths: LabPaths, waiting: Sequence[Waiting]) -> str:
    lines = [f"not ready in time; the lab stays up (`meshctl lab down --name {paths.name}` ends it)"]
    for entry in waiting:
        lines.append(f"{entry.what}: {entry.why}")
        for pod in entry.pods:
            lines.append(f"  Pod {pod.metadata.name}: {reason(pod)}")
            for container in (*pod.spec.init_containers, *pod.spec.containers):
                text = _end_of_log(paths, pod, container.name)
                if text:
                    lines.append(f"  the end of the log of {container.name}:")
                    lines += [f"    {line}" for line in text]
    return "\n".join(lines)


def _end_of_log(paths: LabPaths, pod: Pod, container: str) -> list[str]:
    meta = pod.metadata
    logs = ContainerLogs(paths.container_logs(meta.namespace, meta.name, meta.uid, container))
    lines = logs.all_runs(LogQuery(tail_lines=lifecycle.SHOWN_LOG_LINES))
    return b"".join(lines).decode(errors="replace").splitlines()[-lifecycle.SHOWN_LOG_LINES :]


@lab.command()
@name_option
def down(name: str) -> None:
    """End a lab and leave nothing of it, whatever state it is in."""
    try:
        lifecycle.check_host()
        found = lifecycle.stop(_paths(name))
    except LabError as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"lab {name} is down" if found else f"there is no lab {name}")


@lab.command()
@name_option
def status(name: str) -> None:
    """What runs: the lab's processes and its pods."""
    paths = _paths(name)
    state = read_state(paths.state)
    if state is None:
        raise _no_lab(name)
    click.echo(f"lab {name}: {state.url}, mTLS {state.options.mtls_mode}")
    for process, entry in state.processes.items():
        click.echo(f"  {process:14} {'running' if entry.is_alive() else 'not running'} (pid {entry.pid})")
    if lifecycle.supervisor_of(paths) is None:
        raise click.ClickException(
            f"the lab was killed; `meshctl lab down --name {name}` removes its remains"
        )
    manifests = asyncio.run(_list_pods(paths))
    rows = table("Pod", manifests, time.time(), wide=False, namespaces=True)
    print_table([[*row, *more] for row, more in zip(rows, _more(manifests), strict=True)])


def _more(manifests: Sequence[Manifest]) -> list[list[str]]:
    """Columns beside those that all tables of Pods have."""
    pods = [Pod.read(item) for item in manifests]
    done = [pod.status.is_ready or pod.status.phase == "Succeeded" for pod in pods]
    why = ["" if is_done else reason(pod) for pod, is_done in zip(pods, done, strict=True)]
    return [["IP", "WHY"], *([pod.status.pod_ip, text] for pod, text in zip(pods, why, strict=True))]


async def _list_pods(paths: LabPaths) -> list[Manifest]:
    try:
        async with ApiClient.from_kubeconfig(paths.kubeconfig) as client:
            return (await client.list("Pod")).items
    except (ApiError, KubeconfigError, httpx.TransportError) as error:
        raise click.ClickException(f"the control plane does not answer: {error}") from error


def _no_lab(name: str) -> click.ClickException:
    return click.ClickException(f"there is no lab {name}; `meshctl lab up` starts one")


def _pod(paths: LabPaths, pod: str) -> PodRecord:
    found = find_pod(paths, pod)
    if found is None and read_state(paths.state) is None:
        raise _no_lab(paths.name)
    if found is None:
        raise click.ClickException(f"lab {paths.name} runs no pod {pod!r}; `meshctl lab status` lists them")
    return found


@lab.command()
@name_option
@click.argument("pod")
@click.option("-c", "--container", default="", help="Default: the pod's first.")
@click.option("-f", "--follow", is_flag=True, help="Go on until interrupted.")
def logs(name: str, pod: str, container: str, follow: bool) -> None:
    """Print a container's log. POD is `pod`, `namespace/pod`, or the name of its Deployment."""
    paths = _paths(name)
    found = _pod(paths, pod)
    wanted = container or found.first_container
    kept = ContainerLogs(paths.container_logs(found.namespace, found.name, found.uid, wanted))
    if not kept.runs():
        raise click.ClickException(f"container {wanted} of {found.name} has no log")
    if not follow:
        sys.stdout.buffer.write(b"".join(kept.all_runs(LogQuery())))
        return
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_follow(kept))


async def _follow(kept: ContainerLogs) -> None:
    async for chunk in kept.stream(LogQuery(follow=True)):
        sys.stdout.buffer.write(chunk)
        sys.stdout.buffer.flush()


@lab.command(name="exec", context_settings={"ignore_unknown_options": True})
@name_option
@click.option("-c", "--container", default="", help="Default: the pod's first.")
@click.argument("pod")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def execute(name: str, container: str, pod: str, command: Sequence[str]) -> None:
    """Run a command in a pod: meshctl lab exec POD -- CMD. POD as in `logs`."""
    found = _pod(_paths(name), pod)
    place = found.containers.get(container or found.first_container)
    if place is None:
        running = ", ".join(found.containers) or "none"
        raise click.ClickException(
            f"container {container!r} of {found.name} does not run; running: {running}"
        )
    line = command_beside(place, command)
    os.execvp(line[0], line)  # noqa: S606 — the command takes this process's place and terminal
