"""Kubernetes objects as Prometheus' targets (pure): what `kubernetes_sd_configs` makes of them.

Labels as Prometheus documents them for the roles `pod` and `endpointslice`; Prometheus' own relabelling
follows. For Prometheus without Kubernetes discovery, as Debian builds it: it reads them from files.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from control_plane.resources.manifest import (
    Manifest,
    labels_of,
    metadata,
    name_of,
    namespace_of,
    objects,
    section,
)

Labels = dict[str, str]
_META = "__meta_kubernetes_"
_NOT_IN_NAMES = re.compile(r"[^a-zA-Z0-9_]")
_SERVICE_LABEL = "kubernetes.io/service-name"


def pod_targets(pods: Iterable[Manifest]) -> list[Labels]:
    """Role `pod`: one target for each port that a container declares, one for a container without."""
    return [target for pod in pods if section(pod, "status").get("podIP") for target in _of_pod(pod)]


def slice_targets(slices: Iterable[Manifest], services: Iterable[Manifest]) -> list[Labels]:
    """Role `endpointslice`: one target for each address and port."""
    known = {(namespace_of(service), name_of(service)) for service in services}
    return [target for found in slices for target in _of_slice(found, known)]


def target_groups(targets: Sequence[Labels]) -> list[Mapping[str, object]]:
    """The content of a file for `file_sd_configs`."""
    return [
        {
            "targets": [target["__address__"]],
            "labels": {k: v for k, v in target.items() if k != "__address__"},
        }
        for target in targets
    ]


# --- pods ---


def _of_pod(pod: Manifest) -> Iterator[Labels]:
    about = _about_pod(pod)
    spec = section(pod, "spec")
    for field, is_init in (("containers", False), ("initContainers", True)):
        for container in objects(spec, field):
            yield from _of_container(about, container, is_init)


def _about_pod(pod: Manifest) -> Labels:
    status, spec = section(pod, "status"), section(pod, "spec")
    about = {
        "namespace": namespace_of(pod),
        "pod_name": name_of(pod),
        "pod_ip": _text(status, "podIP"),
        "pod_phase": _text(status, "phase"),
        "pod_ready": _condition(status, "Ready"),
        "pod_node_name": _text(spec, "nodeName"),
        "pod_host_ip": _text(status, "hostIP"),
        "pod_uid": _text(metadata(pod), "uid"),
        **_marks(pod, "pod"),
    }
    for owner in objects(metadata(pod), "ownerReferences"):
        if owner.get("controller") is True:
            about |= {
                "pod_controller_kind": _text(owner, "kind"),
                "pod_controller_name": _text(owner, "name"),
            }
    return about


def _of_container(about: Labels, container: Manifest, is_init: bool) -> Iterator[Labels]:
    own = {
        **about,
        "pod_container_name": _text(container, "name"),
        "pod_container_image": _text(container, "image"),
        "pod_container_init": "true" if is_init else "false",
    }
    ports = objects(container, "ports")
    for port in ports:
        number = _text(port, "containerPort")
        yield _target(
            _joined(about["pod_ip"], number),
            {
                **own,
                "pod_container_port_name": _text(port, "name"),
                "pod_container_port_number": number,
                "pod_container_port_protocol": _text(port, "protocol") or "TCP",
            },
        )
    if not ports:
        yield _target(about["pod_ip"], own)


def _condition(status: Manifest, kind: str) -> str:
    found = [entry for entry in objects(status, "conditions") if entry.get("type") == kind]
    return _text(found[0], "status").lower() if found else "unknown"


# --- endpoint slices ---


def _of_slice(found: Manifest, services: set[tuple[str, str]]) -> Iterator[Labels]:
    service = labels_of(found).get(_SERVICE_LABEL, "")
    about = {
        "namespace": namespace_of(found),
        "endpointslice_name": name_of(found),
        "endpointslice_address_type": _text(found, "addressType"),
        **_marks(found, "endpointslice"),
    }
    if (namespace_of(found), service) in services:
        about["service_name"] = service
    for port in objects(found, "ports"):
        for endpoint in objects(found, "endpoints"):
            conditions = section(endpoint, "conditions")
            own = {
                **about,
                "endpointslice_port": _text(port, "port"),
                "endpointslice_port_name": _text(port, "name"),
                "endpointslice_port_protocol": _text(port, "protocol"),
                "endpointslice_endpoint_conditions_ready": _text(conditions, "ready").lower(),
            }
            addresses = endpoint.get("addresses")
            for address in addresses if isinstance(addresses, list) else []:
                yield _target(_joined(str(address), _text(port, "port")), own)


# --- both ---


def _target(address: str, about: Labels) -> Labels:
    return {"__address__": address, **{f"{_META}{name}": value for name, value in about.items()}}


def _marks(item: Manifest, kind: str) -> Labels:
    """Labels and annotations, under names that Prometheus can have."""
    marks: Labels = {}
    annotations = section(metadata(item), "annotations")
    for word, values in (("label", labels_of(item)), ("annotation", annotations)):
        for name, value in values.items():
            safe = _NOT_IN_NAMES.sub("_", name)
            marks |= {f"{kind}_{word}_{safe}": str(value), f"{kind}_{word}present_{safe}": "true"}
    return marks


def _text(values: Manifest, name: str) -> str:
    value = values.get(name)
    return "" if value is None else str(value)


def _joined(host: str, port: str) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
