"""`meshctl control-plane`: what is to be had from a control plane's data directory."""

from dataclasses import replace
from pathlib import Path

import click

from control_plane.apiserver.identity import Role
from control_plane.kubeconfig import KubeconfigError, kubeconfig_text, read_kubeconfig, write_kubeconfig
from control_plane.role_token import token_file
from meshctl.connection import find_lab, lab_option


@click.group(name="control-plane")
def control_plane() -> None:
    """A control plane of this machine."""


@control_plane.command()
@click.option(
    "--data-dir",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Of the control plane; default: that of a lab.",
)
@lab_option
@click.option(
    "--role",
    type=click.Choice([role.value for role in Role]),
    default=Role.ADMIN.value,
    show_default=True,
    help="Who the bearer is: an editor changes what is in namespaces, a viewer reads all but Secrets.",
)
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Default: standard output.")
def kubeconfig(data_dir: Path | None, lab: str | None, role: str, out: Path | None) -> None:
    """A kubeconfig for kubectl and every other client of Kubernetes. It holds a secret token."""
    directory = data_dir or find_lab(lab).control_plane
    file = token_file(directory, Role(role))
    try:
        config = read_kubeconfig(directory / "kubeconfig")
        config = replace(config, token=file.read_text().strip())
    except (KubeconfigError, OSError) as exc:
        raise click.ClickException(f"{exc}; has this control plane been started?") from exc
    if out is None:
        click.echo(kubeconfig_text(config), nl=False)
    else:
        write_kubeconfig(out, config)
