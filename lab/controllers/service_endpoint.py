"""A Pod as an endpoint of a Service (pure): whether it is one, where it listens, and in which state."""

import ipaddress
from collections.abc import Mapping
from typing import Literal, TypeAlias

from control_plane.resources.manifest import Manifest
from control_plane.resources.pod import Pod
from control_plane.resources.service import EXTERNAL_NAME, HEADLESS, Service, ServicePort
from lab.controllers.pod_state import has_ended, is_terminating

Family: TypeAlias = Literal["IPv4", "IPv6"]
_VERSIONS: dict[Family, int] = {"IPv4": 4, "IPv6": 6}


def has_endpoints(service: Service) -> bool:
    """Somebody is to find its Pods: without a selector the user writes its slices."""
    return bool(service.spec.selector) and service.spec.type != EXTERNAL_NAME


def families_of(service: Service) -> tuple[Family, ...]:
    """Of its addresses; IPv4 when nothing tells."""
    if service.spec.ip_families:
        return service.spec.ip_families
    given = [one for one in (service.spec.cluster_ips or (service.spec.cluster_ip,)) if one]
    found = [_family(address) for address in given if address != HEADLESS]
    return tuple(dict.fromkeys(found)) or ("IPv4",)


def _family(address: str) -> Family:
    return "IPv6" if ipaddress.ip_address(address).version == _VERSIONS["IPv6"] else "IPv4"


def address_of(pod: Pod, family: Family) -> str:
    """Empty when the Pod has none of the family."""
    known = [one.ip for one in pod.status.pod_ips] or [pod.status.pod_ip]
    return next((address for address in known if address and _family(address) == family), "")


def is_endpoint(service: Service, pod: Pod) -> bool:
    """Selected, and not at its end: one that is being deleted counts until it is gone."""
    labels = pod.metadata.labels
    return service.spec.selector.items() <= labels.items() and not has_ended(pod)


def target_of(port: ServicePort, pod: Pod) -> int | None:
    """The number a Service port leads to in this Pod; None when the Pod has no port of that name."""
    if isinstance(port.target, int):
        return port.target
    sidecars = [container for container in pod.spec.init_containers if container.restart_policy == "Always"]
    for container in (*pod.spec.containers, *sidecars):
        for declared in container.ports:
            if declared.name == port.target and declared.protocol == port.protocol:
                return declared.container_port
    return None


def targets_of(service: Service, pod: Pod) -> tuple[int | None, ...]:
    """Of all its ports: Pods of one slice have the same."""
    return tuple(target_of(port, pod) for port in service.spec.ports)


def ports_of(service: Service, targets: tuple[int | None, ...]) -> list[Manifest]:
    """The `ports` of a slice of Pods with these targets."""
    found = zip(service.spec.ports, targets, strict=True)
    return [_port(port, target) for port, target in found if target is not None]


def _port(port: ServicePort, target: int) -> Manifest:
    entry: Manifest = {"name": port.name or "", "port": target, "protocol": port.protocol}
    if port.app_protocol:
        entry["appProtocol"] = port.app_protocol
    return entry


def endpoint_of(service: Service, pod: Pod, address: str, zones: Mapping[str, str]) -> Manifest:
    """An entry of `endpoints`; `zones` are those of the nodes.

    A Pod that is being deleted is not ready, so that nobody begins anything with it, but still serving as
    long as it says so: what has begun is ended in peace.
    """
    meta, serving, terminating = pod.metadata, pod.status.is_ready, is_terminating(pod)
    entry: Manifest = {
        "addresses": [address],
        "conditions": {
            "ready": service.spec.publish_not_ready_addresses or (serving and not terminating),
            "serving": serving,
            "terminating": terminating,
        },
        "targetRef": {"kind": "Pod", "name": meta.name, "namespace": meta.namespace, "uid": meta.uid},
    }
    # As Kubernetes does for the pods of a StatefulSet: a name of its own below its Service's.
    if pod.spec.hostname is not None and pod.spec.subdomain == service.metadata.name:
        entry["hostname"] = pod.spec.hostname
    if pod.spec.node_name:
        entry["nodeName"] = pod.spec.node_name
        if zone := zones.get(pod.spec.node_name):
            entry["zone"] = zone
    return entry
