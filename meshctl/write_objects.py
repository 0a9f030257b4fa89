"""`meshctl apply` and `meshctl delete`."""

from collections.abc import Sequence
from pathlib import Path

import click

from control_plane.client import ApiClient, ApiError, NotFound
from control_plane.resources.manifest import ObjectKey, key_of, resource_version_of
from control_plane.resources.registry import KINDS, ResourceKind, kind_named
from lab.topology import Declared
from meshctl.connection import call, kubeconfig_option, namespace_option
from meshctl.manifest_files import files_option, read_manifests


@click.command()
@files_option(required=True)
@click.option("--dry-run", is_flag=True, help="Let the server check everything and change nothing.")
@kubeconfig_option
def apply(files: Sequence[Path], dry_run: bool, kubeconfig: Path | None) -> None:
    """Create the objects of manifests, or bring those that exist to what the manifests say."""
    declared = read_manifests(files)

    async def work(client: ApiClient) -> None:
        for entry in declared:
            try:
                done = await _apply(client, entry, dry_run)
            except ApiError as error:
                raise click.ClickException(f"{entry.place}: {error}") from error
            click.echo(f"{key_of(entry.manifest)} {done}{' (dry run)' if dry_run else ''}")

    call(kubeconfig, work)


async def _apply(client: ApiClient, entry: Declared, dry_run: bool) -> str:
    key = key_of(entry.manifest)
    try:
        before = resource_version_of(await client.get(key.kind, key.name, key.namespace))
    except NotFound:
        before = ""
    after = resource_version_of(await client.apply(entry.manifest, dry_run=dry_run))
    if not before:
        return "created"
    return "unchanged" if after == before else "configured"


@click.command()
@click.argument("kind", required=False)
@click.argument("names", nargs=-1)
@namespace_option
@files_option(required=False)
@click.option("--ignore-not-found", is_flag=True, help="What is not there counts as deleted.")
@kubeconfig_option
def delete(
    kind: str | None,
    names: Sequence[str],
    namespace: str,
    files: Sequence[Path],
    ignore_not_found: bool,
    kubeconfig: Path | None,
) -> None:
    """Delete objects: KIND NAME …, or everything that the manifests given with -f name."""
    if bool(files) == bool(kind and names):
        raise click.UsageError("say either KIND and NAME, or -f")
    if files:
        keys = [key_of(entry.manifest) for entry in reversed(read_manifests(files))]
    else:
        entry = kind_of_word(kind or "")
        keys = [ObjectKey(entry.kind, namespace if entry.namespaced else "", name) for name in names]

    async def work(client: ApiClient) -> None:
        for key in keys:
            try:
                await client.delete(key.kind, key.name, key.namespace)
            except NotFound:
                if not ignore_not_found:
                    raise
                continue
            click.echo(f"{key} deleted")

    call(kubeconfig, work)


def kind_of_word(word: str) -> ResourceKind:
    """Raises UsageError for a word that names no kind."""
    entry = kind_named(word)
    if entry is None:
        raise click.UsageError(f"no kind {word!r}; there are {', '.join(kind.plural for kind in KINDS)}")
    return entry
