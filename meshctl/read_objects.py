"""`meshctl get`."""

import json
import time
from collections.abc import Sequence
from pathlib import Path

import click
import yaml

from control_plane.client import ApiClient
from control_plane.resources.manifest import Manifest, name_of
from meshctl.columns import table
from meshctl.connection import call, kubeconfig_option, namespace_option
from meshctl.text_table import print_table
from meshctl.write_objects import kind_of_word


@click.command()
@click.argument("kind")
@click.argument("name", required=False)
@namespace_option
@click.option("-A", "--all-namespaces", is_flag=True, help="Of every namespace.")
@click.option("-l", "--selector", default="", help="Label selector, e.g. app=catalog,version!=v1.")
@click.option("-o", "--output", type=click.Choice(["wide", "yaml", "json", "name"]), help="Default: a table.")
@kubeconfig_option
def get(
    kind: str,
    name: str | None,
    namespace: str,
    all_namespaces: bool,
    selector: str,
    output: str | None,
    kubeconfig: Path | None,
) -> None:
    """Show objects of a KIND, or the one called NAME."""
    entry = kind_of_word(kind)
    if name is not None and (all_namespaces or selector):
        raise click.UsageError("a NAME goes with neither -A nor -l")
    place = namespace if entry.namespaced and not all_namespaces else ""

    async def work(client: ApiClient) -> Sequence[Manifest]:
        if name is not None:
            return [await client.get(entry.kind, name, place)]
        return (await client.list(entry.kind, place, selector)).items

    items = call(kubeconfig, work)
    if output in ("yaml", "json"):
        click.echo(_document(items, output, single=name is not None), nl=False)
    elif output == "name":
        for item in items:
            click.echo(f"{entry.singular}/{name_of(item)}")
    elif not items:
        where = f" in namespace {place}" if place else ""
        click.echo(f"no {entry.plural} found{where}", err=True)
    else:
        with_namespace = all_namespaces and entry.namespaced
        rows = table(entry.kind, items, time.time(), wide=output == "wide", namespaces=with_namespace)
        print_table(rows)


def _document(items: Sequence[Manifest], output: str, *, single: bool) -> str:
    content: Manifest = items[0] if single else {"apiVersion": "v1", "kind": "List", "items": list(items)}
    if output == "json":
        return json.dumps(content, indent=2) + "\n"
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
