"""`meshctl crds`: what an API server that is not ours must know of our kinds."""

import click
import yaml

from control_plane.apiserver.openapi.custom_resource import custom_resource_definitions

HEADER = "# Made by `meshctl crds`; a test compares. Install: kubectl apply --server-side -f FILE\n"


def rendered() -> str:
    """The text of `deploy/crds/meshproxy.io.yaml`."""
    return HEADER + yaml.safe_dump_all(custom_resource_definitions(), sort_keys=False, width=110)


@click.command()
def crds() -> None:
    """Print the CustomResourceDefinitions of the mesh's own kinds, for `kubectl apply --server-side -f -`."""
    click.echo(rendered(), nl=False)
