"""`meshctl proxy-config`: what one sidecar of the lab has in force, from its own admin pages."""

import json
from collections.abc import Callable, Sequence

import click

from meshctl import config_rows
from meshctl.connection import find_lab, lab_option
from meshctl.sidecar_admin import PodUnreachable, pod_named, read_json
from meshctl.text_table import print_table

Rows = Callable[[object], Sequence[Sequence[str]]]
_WHAT: dict[str, tuple[str, tuple[str, ...], Rows]] = {
    "listeners": ("/config_dump", ("lds", "resources"), config_rows.listeners),
    "routes": ("/config_dump", ("rds", "resources"), config_rows.routes),
    "clusters": ("/clusters", (), config_rows.clusters),
    "endpoints": ("/clusters", (), config_rows.endpoints),
    "certs": ("/certs", (), config_rows.certificates),
}
"""Page, place in it, and how it is shown."""


@click.command(name="proxy-config")
@click.argument("what", type=click.Choice(list(_WHAT)))
@click.argument("pod")
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table", show_default=True)
@lab_option
def proxy_config(what: str, pod: str, output: str, lab: str | None) -> None:
    """Show listeners, routes, clusters, endpoints or certs of a POD's sidecar.

    POD is `pod`, `pod.namespace`, `namespace/pod`, or the name of its Deployment.
    """
    page, path, rows = _WHAT[what]
    found = pod_named(find_lab(lab), pod)
    try:
        content = read_json(found, page)
    except PodUnreachable as error:
        raise click.ClickException(f"{error}; has the pod a sidecar?") from error
    for key in path:
        content = content.get(key) if isinstance(content, dict) else None
    if output == "json":
        click.echo(json.dumps(content, indent=2))
    else:
        print_table(rows(content))
