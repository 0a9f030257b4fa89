"""What can go wrong with a pod that gets a sidecar (pure): refused is what cannot work at all; the rest comes
back as warnings, each with the mend."""

from collections.abc import Iterable, Mapping
from typing import Final

from injector.annotations import unknown_annotations
from injector.errors import InjectionError
from injector.manifest import Manifest, containers, objects, pod_name, section, texts

RESERVED_PORTS: Final = {
    15000: "admin pages",
    15001: "outbound traffic",
    15006: "inbound traffic",
    15020: "probes and metrics of the app",
    15021: "readiness",
    15053: "DNS",
    15090: "metrics",
}
"""Ports that the sidecar listens on in the pod."""


def refuse_names(
    pod: Manifest, kind: str, given: Iterable[Manifest], reserved: Iterable[str], mend: str
) -> None:
    """Raises InjectionError where the pod has something of the sidecar's name."""
    for name in sorted({str(each.get("name")) for each in given}.intersection(reserved)):
        raise InjectionError(f"pod {pod_name(pod)}: the {kind} name {name!r} is the sidecar's; {mend}")


def pod_warnings(pod: Manifest, proxy_uid: int, proxy_gid: int) -> list[str]:
    """Everything that will not do what it looks like."""
    spec = section(pod, "spec")
    return [
        *unknown_annotations(texts(section(pod, "metadata"), "annotations")),
        *_reserved_ports(spec),
        *_own_ids(spec, {"runAsUser": proxy_uid, "runAsGroup": proxy_gid}),
    ]


def _reserved_ports(spec: Manifest) -> Iterable[str]:
    for container in containers(spec):
        for port in objects(container, "ports"):
            number = port.get("containerPort")
            if isinstance(number, int) and port.get("protocol", "TCP") == "TCP" and number in RESERVED_PORTS:
                yield (
                    f"container {container.get('name')!r}: port {number} is the sidecar's "
                    f"({RESERVED_PORTS[number]}), so the app cannot listen on it; let it use another"
                )


def _own_ids(spec: Manifest, own: Mapping[str, int]) -> Iterable[str]:
    """The app under the sidecar's user or group: the interception takes its connections for the sidecar's."""
    pod_wide = section(spec, "securityContext")
    for container in containers(spec):
        context = section(container, "securityContext")
        for field, value in own.items():
            if context.get(field, pod_wide.get(field)) == value:
                yield (
                    f"container {container.get('name')!r}: {field} {value} is the sidecar's, so what it "
                    "dials bypasses the mesh: no mutual TLS, no policies; use another"
                )
