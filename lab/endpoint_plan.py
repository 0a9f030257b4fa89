"""The EndpointSlice of a Service, from its selector and the Pods (pure)."""

from collections.abc import Iterable

from control_plane.resources.endpoint_slice import SERVICE_NAME_LABEL
from control_plane.resources.manifest import Manifest
from control_plane.resources.pod import Pod
from control_plane.resources.service import Service, ServicePort

MANAGER = "lab-controller.meshproxy.io"
MANAGED_BY_LABEL = "endpointslice.kubernetes.io/managed-by"


def slice_name(service: Service, number: int) -> str:
    """Name of the Service's slice; `number` tells apart slices whose Pods serve different ports."""
    return f"{service.metadata.name}-{number}" if number else service.metadata.name


def endpoint_slices(service: Service, pods: Iterable[Pod]) -> list[Manifest]:
    """Slices for the Pods the Service selects: one, or one for each way a named target port resolves.

    Pods without an address have none yet. A Service without a selector has none made: the user writes them.
    """
    if not service.spec.selector:
        return []
    groups: dict[tuple[int | None, ...], list[Pod]] = {}
    for pod in pods:
        if pod.status.pod_ip and pod.status.phase not in ("Succeeded", "Failed") and _selects(service, pod):
            groups.setdefault(tuple(_target(port, pod) for port in service.spec.ports), []).append(pod)
    if not groups:
        groups[
            tuple(port.target if isinstance(port.target, int) else None for port in service.spec.ports)
        ] = []
    ordered = sorted(groups.items(), key=lambda group: str(group[0]))
    return [_slice(service, number, targets, members) for number, (targets, members) in enumerate(ordered)]


def _selects(service: Service, pod: Pod) -> bool:
    labels = pod.metadata.labels
    return pod.metadata.namespace == service.metadata.namespace and all(
        labels.get(key) == value for key, value in service.spec.selector.items()
    )


def _target(port: ServicePort, pod: Pod) -> int | None:
    """The number a Service port leads to in this Pod; None when the Pod has no port of that name."""
    if isinstance(port.target, int):
        return port.target
    sidecars = [container for container in pod.spec.init_containers if container.restart_policy == "Always"]
    for container in (*pod.spec.containers, *sidecars):
        for declared in container.ports:
            if declared.name == port.target and declared.protocol == port.protocol:
                return declared.container_port
    return None


def _slice(service: Service, number: int, targets: tuple[int | None, ...], pods: list[Pod]) -> Manifest:
    ports = [
        _port(port, target)
        for port, target in zip(service.spec.ports, targets, strict=True)
        if target is not None
    ]
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": slice_name(service, number),
            "namespace": service.metadata.namespace,
            "labels": {SERVICE_NAME_LABEL: service.metadata.name, MANAGED_BY_LABEL: MANAGER},
            "ownerReferences": [
                {
                    "apiVersion": "v1",
                    "kind": "Service",
                    "name": service.metadata.name,
                    "uid": service.metadata.uid,
                    "controller": True,
                }
            ],
        },
        "addressType": "IPv4",
        "ports": ports,
        "endpoints": [_endpoint(service, pod) for pod in sorted(pods, key=lambda pod: pod.metadata.name)],
    }


def _port(port: ServicePort, target: int) -> Manifest:
    entry: Manifest = {"name": port.name or "", "port": target, "protocol": port.protocol}
    if port.app_protocol:
        entry["appProtocol"] = port.app_protocol
    return entry


def _endpoint(service: Service, pod: Pod) -> Manifest:
    meta = pod.metadata
    serving, terminating = pod.status.is_ready, bool(meta.deletion_timestamp)
    # As Kubernetes does for the pods of a StatefulSet: a name of its own below its Service's.
    named = pod.spec.hostname is not None and pod.spec.subdomain == service.metadata.name
    return {
        **({"hostname": pod.spec.hostname} if named else {}),
        "addresses": [pod.status.pod_ip],
        "conditions": {
            "ready": (serving and not terminating) or service.spec.publish_not_ready_addresses,
            "serving": serving,
            "terminating": terminating,
        },
        "nodeName": pod.spec.node_name,
        "targetRef": {"kind": "Pod", "name": meta.name, "namespace": meta.namespace, "uid": meta.uid},
    }
