"""Rows of the Gateway API and of our own kinds (pure); in a cluster they are the CRDs' printer columns."""

import json
from collections.abc import Sequence

from control_plane.apiserver.table.shape import Cell, Shape, columns, condition, joined, text
from control_plane.resources.manifest import Manifest, objects, section


def _gateway(manifest: Manifest, now: float) -> Sequence[Cell]:
    status = section(manifest, "status")
    addresses = ",".join(text(one, "value") for one in objects(status, "addresses"))
    programmed = text(condition(status, "Programmed"), "status", "Unknown")
    return (text(section(manifest, "spec"), "gatewayClassName"), addresses, programmed)


def _gateway_class(manifest: Manifest, now: float) -> Sequence[Cell]:
    spec, status = section(manifest, "spec"), section(manifest, "status")
    accepted = text(condition(status, "Accepted"), "status", "Unknown")
    return (text(spec, "controllerName"), accepted, text(spec, "description"))


def _hostnames(manifest: Manifest, now: float) -> Sequence[Cell]:
    names = section(manifest, "spec").get("hostnames")
    return (json.dumps(names, separators=(",", ":")) if names else "",)


def _policy(manifest: Manifest, now: float) -> Sequence[Cell]:
    targets = objects(section(manifest, "spec"), "targetRefs")
    shown = joined(f"{text(one, 'kind')}/{text(one, 'name')}" for one in targets)
    return (shown, _accepted_by(section(manifest, "status")))


def _accepted_by(status: Manifest) -> str:
    """`True` when every target accepts it, else the reason of the first that does not."""
    found = [condition(one, "Accepted") for one in objects(status, "ancestors")]
    refused = [one for one in found if one.get("status") != "True"]
    if not found:
        return "Unknown"
    return text(refused[0], "reason", "Unknown") if refused else "True"


def _service_entry(manifest: Manifest, now: float) -> Sequence[Cell]:
    spec, status = section(manifest, "spec"), section(manifest, "status")
    hosts = spec.get("hosts")
    accepted = text(condition(status, "Accepted"), "status", "Unknown")
    shown = joined(hosts if isinstance(hosts, list) else [])
    return (shown, text(spec, "location", "MESH_EXTERNAL"), text(spec, "resolution"), accepted)


def _peer_authentication(manifest: Manifest, now: float) -> Sequence[Cell]:
    accepted = text(condition(section(manifest, "status"), "Accepted"), "status", "Unknown")
    return (text(section(section(manifest, "spec"), "mtls"), "mode", "UNSET"), accepted)


GATEWAY = Shape(columns("Class", "Address", "Programmed"), _gateway)
GATEWAY_CLASS = Shape(columns("Controller", "Accepted"), _gateway_class, columns("Description", priority=1))
HOST_ROUTE = Shape(columns("Hostnames"), _hostnames)
POLICY = Shape(columns("Targets", "Accepted"), _policy)
SERVICE_ENTRY = Shape(columns("Hosts", "Location", "Resolution", "Accepted"), _service_entry)
PEER_AUTHENTICATION = Shape(columns("Mode", "Accepted"), _peer_authentication)
