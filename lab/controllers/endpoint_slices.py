"""The EndpointSlices of a Service (pure): what to write so that they hold its Pods.

A slice has one family of addresses, one set of port numbers and at most 100 endpoints. An endpoint stays in
the slice where it is, so that the change of one Pod rewrites one slice.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from control_plane.resources.endpoint_slice import SERVICE_NAME_LABEL
from control_plane.resources.manifest import Manifest, key_of, metadata, objects, section, uid_of
from control_plane.resources.pod import Pod
from control_plane.resources.service import HEADLESS, Service
from lab.controllers.action import Action, Create, Delete, Update
from lab.controllers.ownership import controller_reference
from lab.controllers.service_endpoint import (
    Family,
    address_of,
    endpoint_of,
    families_of,
    has_endpoints,
    is_endpoint,
    ports_of,
    targets_of,
)

MANAGER = "lab-controller.meshproxy.io"
MANAGED_BY_LABEL = "endpointslice.kubernetes.io/managed-by"
_HEADLESS_LABEL = "service.kubernetes.io/headless"
LARGEST = 100
"""Endpoints of one slice, Kubernetes' default."""


class _Group(NamedTuple):
    """What slices have in common that may hold the same endpoints."""

    family: Family
    targets: tuple[int | None, ...]


def is_ours(manifest: Manifest) -> bool:
    """A slice that these controllers made."""
    return section(metadata(manifest), "labels").get(MANAGED_BY_LABEL) == MANAGER


def plan_slices(
    service: Service,
    manifest: Manifest,
    pods: Iterable[Pod],
    slices: Sequence[Manifest],
    zones: Mapping[str, str],
) -> tuple[Action, ...]:
    """`pods` are of its namespace; `slices` are those we made for it; `zones` are those of the nodes."""
    if service.metadata.deletion_timestamp:
        return ()
    if not has_endpoints(service):
        return tuple(map(_delete, slices))
    actions: list[Action] = []
    left = list(slices)
    for group, endpoints in _groups(service, pods, zones).items():
        ports = ports_of(service, group.targets)
        mine = [one for one in left if one.get("addressType") == group.family and _same(one, ports)]
        left = [one for one in left if one not in mine]
        actions += _pack(manifest, group, ports, endpoints, mine)
    return (*actions, *map(_delete, left))


def _same(one: Manifest, ports: Sequence[Manifest]) -> bool:
    return [_port_key(port) for port in objects(one, "ports")] == [_port_key(port) for port in ports]


def _port_key(port: Manifest) -> tuple[object, ...]:
    return port.get("name") or "", port.get("port"), port.get("protocol"), port.get("appProtocol")


def _groups(
    service: Service, pods: Iterable[Pod], zones: Mapping[str, str]
) -> dict[_Group, dict[str, Manifest]]:
    """Endpoints by the Pod's uid, in each group; a family without any has one empty group."""
    groups: dict[_Group, dict[str, Manifest]] = {}
    chosen = sorted((pod for pod in pods if is_endpoint(service, pod)), key=lambda pod: pod.metadata.name)
    for family in families_of(service):
        numbers = tuple(port.target if isinstance(port.target, int) else None for port in service.spec.ports)
        found: dict[_Group, dict[str, Manifest]] = {}
        for pod in chosen:
            if address := address_of(pod, family):
                group = found.setdefault(_Group(family, targets_of(service, pod)), {})
                group[pod.metadata.uid] = endpoint_of(service, pod, address, zones)
        groups |= found or {_Group(family, numbers): {}}
    return groups


def _pack(
    service: Manifest,
    group: _Group,
    ports: Sequence[Manifest],
    endpoints: Mapping[str, Manifest],
    slices: Sequence[Manifest],
) -> list[Action]:
    """Keep each endpoint where it is, fill the gaps with new ones, and make slices for the rest."""
    new = dict(endpoints)
    contents: list[tuple[Manifest, list[Manifest]]] = []
    for one in slices:
        uids = (str(section(entry, "targetRef").get("uid", "")) for entry in objects(one, "endpoints"))
        contents.append((one, [new.pop(uid) for uid in uids if uid in new]))
    waiting = list(new.values())
    for _, content in contents:
        room = LARGEST - len(content)
        content += waiting[:room]
        waiting = waiting[room:]
    actions: list[Action] = []
    is_needed = not endpoints  # one empty slice says that there is nobody
    for one, content in contents:
        if not content and not is_needed:
            actions.append(_delete(one))
            continue
        is_needed = False
        actions += _revise(service, one, content)
    while waiting or is_needed:
        actions.append(Create(_slice(service, group, ports, waiting[:LARGEST])))
        waiting, is_needed = waiting[LARGEST:], False
    return actions


def _revise(service: Manifest, one: Manifest, content: Sequence[Manifest]) -> list[Action]:
    labels = {**section(metadata(one), "labels"), **_labels(service)}
    if not _is_headless(service):
        labels.pop(_HEADLESS_LABEL, None)
    if objects(one, "endpoints") == content and section(metadata(one), "labels") == labels:
        return []
    return [Update({**one, "metadata": {**metadata(one), "labels": labels}, "endpoints": [*content]})]


def _slice(
    service: Manifest, group: _Group, ports: Sequence[Manifest], endpoints: Sequence[Manifest]
) -> Manifest:
    meta = metadata(service)
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "generateName": f"{meta['name']}-",
            "namespace": meta["namespace"],
            "labels": _labels(service),
            "ownerReferences": [controller_reference(service)],
        },
        "addressType": group.family,
        "ports": [*ports],
        "endpoints": [*endpoints],
    }


def _labels(service: Manifest) -> dict[str, object]:
    """The Service's own, and by which the slice is found."""
    meta = metadata(service)
    own = section(meta, "labels")
    headless = {_HEADLESS_LABEL: ""} if _is_headless(service) else {}
    return {**own, SERVICE_NAME_LABEL: meta["name"], MANAGED_BY_LABEL: MANAGER, **headless}


def _is_headless(service: Manifest) -> bool:
    return section(service, "spec").get("clusterIP") == HEADLESS


def _delete(one: Manifest) -> Delete:
    return Delete(key_of(one), uid_of(one))
