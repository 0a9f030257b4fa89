"""`meshctl proxy-status`: how far every sidecar is with its configuration, by the control plane's account."""

import json
from collections.abc import Sequence
from http import HTTPStatus
from pathlib import Path

import click

from control_plane.client import ApiClient, ApiError, NotFound
from lab.paths import LABS, LabPaths
from lab.process_plan import CONTROL_PLANE
from lab.state import read_state
from meshctl.connection import call, kubeconfig_option
from meshctl.json_value import JsonObject, objects, text
from meshctl.sidecar_admin import PodUnreachable, fetch_in
from meshctl.text_table import print_table

SYNCZ_PATH = "/debug/syncz"
METRICS_PORT = 15014
_PROXY_PATH = "/api/v1/namespaces/meshproxy-system/services/control-plane:http-metrics/proxy"
TYPES = ("cds", "lds", "eds", "rds")
SYNCED = "SYNCED"


@click.command(name="proxy-status")
@kubeconfig_option
def proxy_status(kubeconfig: Path | None) -> None:
    """SYNCED, STALE, NACKED or NOT SENT, for each sidecar and each type of configuration."""

    async def work(client: ApiClient) -> list[JsonObject]:
        return await sync_states(client)

    nodes = call(kubeconfig, work)
    if not nodes:
        click.echo("no sidecar is connected", err=True)
        return
    print_table([["NAME", *(kind.upper() for kind in TYPES)], *map(status_row, nodes)])
    for line in rejections(nodes):
        click.echo(line)


async def sync_states(client: ApiClient) -> list[JsonObject]:
    """One entry a connected sidecar, by name. Raises ApiError."""
    return sorted(objects((await _page(client)).get("nodes")), key=node_name)


async def _page(client: ApiClient) -> JsonObject:
    """From the control plane that is the API server, else from the one of this machine's lab that uses it,
    else through the API server from the one in the cluster."""
    try:
        return await client.read(SYNCZ_PATH)
    except NotFound:
        pass
    except ApiError as error:
        if error.status != HTTPStatus.FORBIDDEN:
            raise
    lab = _lab_of(client.server)
    if lab is None:
        return await client.read(f"{_PROXY_PATH}{SYNCZ_PATH}")
    try:
        network = lab.root / "netns" / CONTROL_PLANE
        _, body = fetch_in(network, f"control plane of lab {lab.name}", SYNCZ_PATH, METRICS_PORT)
    except PodUnreachable as error:
        raise click.ClickException(str(error)) from error
    answer: JsonObject = json.loads(body)
    return answer


def _lab_of(server: str) -> LabPaths | None:
    """The lab of this machine that runs for somebody else's API server."""
    for path in sorted(LABS.glob("*/state.json")):
        state = read_state(path)
        if state is not None and state.options.kubeconfig and state.url == server:
            return LabPaths(path.parent)
    return None


def node_name(node: JsonObject) -> str:
    """`pod.namespace` from the node id `sidecar~<ip>~<pod>.<namespace>~<domain>`."""
    parts = text(node, "nodeId").split("~")
    return parts[2] if len(parts) > 2 else parts[0]


def status_row(node: JsonObject) -> list[str]:
    """The sidecar's name and the state of each type."""
    return [node_name(node), *(text(node, "types", kind, "state") or "-" for kind in TYPES)]


def rejections(nodes: Sequence[JsonObject]) -> list[str]:
    """What sidecars refused, in their own words."""
    found = []
    for node in nodes:
        for kind in TYPES:
            if reason := text(node, "types", kind, "nackedReason"):
                found.append(f"{node_name(node)} refused {kind}: {reason}")
    return found


def is_synced(node: JsonObject) -> bool:
    """Every type that it has asked for is in force."""
    states = [text(node, "types", kind, "state") for kind in TYPES]
    return all(state in (SYNCED, "NOT SENT", "") for state in states) and SYNCED in states
