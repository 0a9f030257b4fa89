"""`meshctl edges`: who talks to whom in a lab, and which of it is still in plaintext."""

import time
from collections import Counter
from collections.abc import Mapping

import click

from lab.paths import LabPaths
from lab.pod_record import PodRecord, read_pod_record
from meshctl.connection import find_lab, lab_option
from meshctl.demo.samples import Samples
from meshctl.edge import PLAINTEXT, Edge, Readings, edge_rows, readings, since
from meshctl.edge import edges as edges_of
from meshctl.sidecar_admin import PodUnreachable, read_page
from meshctl.text_table import print_table

_SIDECAR = "meshproxy"
_METRICS_PORT = 15090


@click.command()
@click.option(
    "--window",
    type=click.FloatRange(min=0),
    default=5.0,
    show_default=True,
    help="Seconds of traffic that are looked at; 0: all since the sidecars started.",
)
@click.option("--plaintext", is_flag=True, help="Only what nothing protects.")
@click.option("-n", "--namespace", default="", help="Only edges that begin or end in this namespace.")
@lab_option
def edges(window: float, plaintext: bool, namespace: str, lab: str | None) -> None:
    """List edges between workloads, by the metrics of their sidecars, and what protects them.

    Between two pods without sidecars there is nobody who could tell.
    """
    found = read_edges(find_lab(lab), window)
    if plaintext:
        found = {edge: count for edge, count in found.items() if edge.secured == PLAINTEXT}
    if namespace:
        found = {edge: count for edge, count in found.items() if _is_in(namespace, edge)}
    if not found:
        within = f"in {window:g} s" if window else "since the sidecars started"
        click.echo(f"no edge{' in plaintext' if plaintext else ''} was seen {within}", err=True)
        return
    print_table(edge_rows(found))


def _is_in(namespace: str, edge: Edge) -> bool:
    return edge.source.startswith(f"{namespace}/") or edge.destination.startswith(f"{namespace}/")


def read_edges(paths: LabPaths, window: float) -> Mapping[Edge, Counter[str]]:
    """What the lab's sidecars count within `window` seconds, or 0: have counted since they started."""
    if not window:
        return edges_of(_read_all(paths).values())
    before = _read_all(paths)
    time.sleep(window)
    after = _read_all(paths)
    return edges_of(since(before.get(pod, {}), now) for pod, now in after.items())


def _read_all(paths: LabPaths) -> dict[str, Readings]:
    """By the pod's uid. Pods that come or go meanwhile are left out."""
    found = {}
    for path in sorted(paths.pods.glob("*/pod.json")):
        record = read_pod_record(path)
        if record is not None and _SIDECAR in record.containers:
            metrics = _metrics(record)
            if metrics is not None:
                found[record.uid] = readings(metrics)
    return found


def _metrics(pod: PodRecord) -> Samples | None:
    try:
        return Samples(read_page(pod, "/stats/prometheus", _METRICS_PORT))
    except PodUnreachable:
        return None
