"""`meshctl inject` and `meshctl uninject`: what the webhook does, offline, to manifests not applied yet.

Documents come out in the order in which they went in; kinds that hold no pods pass through unchanged.
"""

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import click
import yaml

from injector.errors import InjectionError
from injector.json_patch import difference
from injector.manifest import Manifest, section
from injector.patch import NAMESPACE_LABEL, judge
from injector.pod_template import Change, change_pods
from injector.template import InjectorSettings
from injector.uninject import uninject as without_sidecar
from meshctl.manifest_files import SUFFIXES, files_option

_DEFAULTS = InjectorSettings()

output_option = click.option(
    "-o",
    "--output",
    type=click.Choice(["yaml", "json", "patch"]),
    default="yaml",
    show_default=True,
    help="Manifests, or of each changed one its JSON patch (RFC 6902).",
)


@click.command()
@files_option(required=True)
@output_option
@click.option("--image", default=_DEFAULTS.image, show_default=True, help="Of the sidecar.")
@click.option("--trust-domain", default=_DEFAULTS.trust_domain, show_default=True)
def inject(files: Sequence[Path], output: str, image: str, trust_domain: str) -> None:
    """Put the sidecar into pods, and into the pod templates of Deployments and the like.

    Who asks for it here means it: Namespaces that are not among the manifests count as enabled. Those that
    are count as they are labelled, and what a pod says for itself counts always.
    """
    documents = list(_documents(files))
    settings = InjectorSettings(image=image, trust_domain=trust_domain)
    namespaces = {
        str(section(document, "metadata").get("name")): document
        for document in documents
        if document.get("kind") == "Namespace"
    }

    def change(pod: Manifest, workload: str) -> Manifest:
        meta = section(pod, "metadata")
        namespace = str(meta.get("namespace") or "default")
        name = f"{namespace}/{meta.get('name') or meta.get('generateName') or workload}"
        injection = judge(pod, namespaces.get(namespace, _enabled(namespace)), settings, workload)
        if injection.skipped:
            click.echo(f"{name}: no sidecar: {injection.skipped}", err=True)
        for warning in injection.warnings:
            click.echo(f"{name}: warning: {warning}", err=True)
        return injection.pod

    _write(documents, change, output)


@click.command()
@files_option(required=True)
@output_option
def uninject(files: Sequence[Path], output: str) -> None:
    """Take the sidecar out again, and leave what was there before."""
    _write(list(_documents(files)), lambda pod, _: without_sidecar(pod), output)


def _enabled(namespace: str) -> Manifest:
    return {"metadata": {"name": namespace, "labels": {NAMESPACE_LABEL: "enabled"}}}


def _write(documents: Sequence[Manifest], change: Change, output: str) -> None:
    """All or, when one is refused, nothing."""
    try:
        changed = [change_pods(document, change) for document in documents]
    except InjectionError as error:
        raise click.ClickException(str(error)) from error
    _WRITERS[output](documents, changed)


def _write_yaml(documents: Sequence[Manifest], changed: Sequence[Manifest]) -> None:
    click.echo(yaml.safe_dump_all(changed, sort_keys=False, explicit_start=True), nl=False)


def _write_json(documents: Sequence[Manifest], changed: Sequence[Manifest]) -> None:
    for document in changed:
        click.echo(json.dumps(document, indent=2))


def _write_patches(documents: Sequence[Manifest], changed: Sequence[Manifest]) -> None:
    for before, after in zip(documents, changed, strict=True):
        if patch := difference(before, after):
            click.echo(json.dumps(patch, indent=2))


_WRITERS: dict[str, Callable[[Sequence[Manifest], Sequence[Manifest]], None]] = {
    "yaml": _write_yaml,
    "json": _write_json,
    "patch": _write_patches,
}


def _documents(files: Sequence[Path]) -> Iterator[Manifest]:
    """Every document, whatever its kind. Raises ClickException."""
    for name, text in _texts(files):
        try:
            documents = list(yaml.load_all(text, _Loader))
        except yaml.YAMLError as error:
            raise click.ClickException(f"{name}: not YAML: {error}") from error
        for number, document in enumerate(documents, start=1):
            if document is None:
                continue
            if not isinstance(document, dict) or not isinstance(document.get("kind"), str):
                raise click.ClickException(f"{name}, document {number}: must be an object with a kind")
            yield document


class _Loader(yaml.SafeLoader):
    """Leaves dates alone, as Kubernetes does: `2024-01-01` is a text."""


_Loader.yaml_implicit_resolvers = {
    first: [entry for entry in resolvers if entry[0] != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _texts(files: Sequence[Path]) -> Iterator[tuple[str, str]]:
    for file in files:
        if str(file) == "-":
            yield "standard input", sys.stdin.read()
            continue
        members = (
            sorted(path for path in file.iterdir() if path.suffix in SUFFIXES) if file.is_dir() else [file]
        )
        for member in members:
            try:
                yield str(member), member.read_text()
            except (OSError, UnicodeDecodeError) as error:
                raise click.ClickException(f"{member}: {error}") from error
