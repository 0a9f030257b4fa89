"""`meshctl proxy-status`: how far every sidecar is with its configuration, by the control plane's account."""

from collections.abc import Sequence
from pathlib import Path

import click

from control_plane.client import ApiClient
from meshctl.connection import call, kubeconfig_option
from meshctl.json_value import JsonObject, objects, text
from meshctl.text_table import print_table

SYNCZ_PATH = "/debug/syncz"
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
    return sorted(objects((await client.read(SYNCZ_PATH)).get("nodes")), key=node_name)


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
