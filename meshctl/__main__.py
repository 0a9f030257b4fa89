"""`meshctl`: the command line of the mesh. Each group of commands has a file of its own."""

import click

from meshctl.control_plane import control_plane
from meshctl.crds import crds
from meshctl.demo.command import demo
from meshctl.diagnose.command import diagnose
from meshctl.edges import edges
from meshctl.envoy_bootstrap import envoy_bootstrap
from meshctl.injection import inject, uninject
from meshctl.lab import lab
from meshctl.proxy_config import proxy_config
from meshctl.proxy_status import proxy_status
from meshctl.read_objects import get
from meshctl.write_objects import apply, delete


@click.group()
@click.version_option(package_name="meshproxy")
def main() -> None:
    """Run and look into a service mesh."""


for command in (
    demo,
    lab,
    apply,
    get,
    inject,
    uninject,
    delete,
    diagnose,
    proxy_status,
    proxy_config,
    edges,
    envoy_bootstrap,
    crds,
    control_plane,
):
    main.add_command(command)


if __name__ == "__main__":
    main()
