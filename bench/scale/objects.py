"""A cluster of 2,000 Services and 20,000 Pods behind them, as manifests (pure).

Services are as uneven as they are in clusters: one in twenty has 100 endpoints (one slice, Kubernetes'
limit), one has several slices, the others have five endpoints. Nine in ten speak HTTP, the others TCP or what
their ports do not say.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Final

from bench.dataset import SERVER_ACCOUNT
from control_plane.resources.manifest import Manifest

SLICE_LIMIT: Final = 100
"""Endpoints of a slice, at most: what Kubernetes' controller is set to."""
_SERVICES_PER_NAMESPACE: Final = 100
_NODES: Final = 200
_FIRST_VIP: Final = IPv4Address("10.96.0.10")
_FIRST_POD: Final = IPv4Address("10.128.0.2")
_ADDRESSES_OF_NODE: Final = 1024
_PORTS: Final = 20
"""Every port has another kind of protocol, see `_port`."""


@dataclass(frozen=True, slots=True)
class Size:
    """How big the cluster is."""

    services: int = 2_000
    endpoints: int = 20_000

    def endpoints_of(self, index: int) -> int:
        """Of Service `index`; the sum over all is `endpoints`."""
        big = self.services // 20
        large = SLICE_LIMIT * self.endpoints // (10 * self.services) if big else 0
        if index == 0:
            return self.endpoints - sum(self.endpoints_of(other) for other in range(1, self.services))
        return max(1, large) if index < big else self.endpoints // (2 * self.services)


def namespace_of_service(index: int) -> str:
    return f"team-{index // _SERVICES_PER_NAMESPACE:02d}"


def service_name(index: int) -> str:
    return f"app-{index:04d}"


def namespaces(size: Size) -> Iterator[Manifest]:
    """Each with a ServiceAccount."""
    for index in range(0, size.services, _SERVICES_PER_NAMESPACE):
        name = namespace_of_service(index)
        yield {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        account = {"name": SERVER_ACCOUNT, "namespace": name}
        yield {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": account}


def objects(size: Size) -> Iterator[Manifest]:
    """Services with their Pods and slices; one Service in ten has an HTTPRoute."""
    first = 0
    for index in range(size.services):
        count = size.endpoints_of(index)
        members = range(first, first + count)
        first += count
        yield service(index)
        yield from (pod(index, number) for number in members)
        for part, start in enumerate(range(0, count, SLICE_LIMIT)):
            yield endpoint_slice(index, part, members[start : start + SLICE_LIMIT])
        if index % 10 == 1:
            yield _route(index)


def service(index: int) -> Manifest:
    name, number = _port(index)
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _meta(index, service_name(index), app=service_name(index)),
        "spec": {
            "clusterIP": str(_FIRST_VIP + index),
            "selector": {"app": service_name(index)},
            "ports": [{"name": name, "port": number, "targetPort": number}],
        },
    }


def pod(index: int, number: int) -> Manifest:
    """Pod `number` of all, behind Service `index`; as the kubelet reports one that runs with its sidecar."""
    address = _pod_address(number)
    labels = {"app": service_name(index), "pod-template-hash": "5d8f7b9c4", "meshproxy.io/tls-mode": "mutual"}
    since = {"lastTransitionTime": "2026-01-01T00:00:00Z", "status": "True"}
    conditions = ("PodScheduled", "Initialized", "ContainersReady", "Ready")
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": _meta(index, pod_name(index, number), **labels),
        "spec": {
            "serviceAccountName": SERVER_ACCOUNT,
            "nodeName": f"node-{number % _NODES:03d}",
            "containers": [_container("app"), _container("meshproxy")],
        },
        "status": {
            "phase": "Running",
            "podIP": address,
            "podIPs": [{"ip": address}],
            "hostIP": "172.18.0.2",
            "conditions": [{"type": one, **since} for one in conditions],
            "containerStatuses": [_container_status("app"), _container_status("meshproxy")],
        },
    }


def _pod_address(number: int) -> str:
    """Of its node's network, in which one address in ten is free: that of a Pod that has gone."""
    place, node = divmod(number, _NODES)
    return str(_FIRST_POD + node * _ADDRESSES_OF_NODE + place + place // 9)


def pod_name(index: int, number: int) -> str:
    return f"{service_name(index)}-5d8f7b9c4-{number:05d}"


def endpoint_slice(index: int, part: int, members: range, *, unready: int | None = None) -> Manifest:
    """Part `part` of those of Service `index`. `unready`: the number of a Pod that is not."""
    name, number = _port(index)
    label = {"kubernetes.io/service-name": service_name(index)}
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": _meta(index, f"{service_name(index)}-{part:02d}", **label),
        "addressType": "IPv4",
        "endpoints": [_endpoint(index, one, is_ready=one != unready) for one in members],
        "ports": [{"name": name, "port": number, "protocol": "TCP"}],
    }


def _endpoint(index: int, number: int, *, is_ready: bool) -> Manifest:
    namespace, name = namespace_of_service(index), pod_name(index, number)
    return {
        "addresses": [_pod_address(number)],
        "conditions": {"ready": is_ready, "serving": is_ready, "terminating": False},
        "nodeName": f"node-{number % _NODES:03d}",
        "targetRef": {"kind": "Pod", "name": name, "namespace": namespace},
    }


def _port(index: int) -> tuple[str, int]:
    match index % _PORTS:
        case 7:
            return "tcp", 5432
        case 13:
            return "main", 9000
        case _:
            return "http", 8080


def _meta(index: int, name: str, **labels: str) -> Manifest:
    return {"name": name, "namespace": namespace_of_service(index), "labels": labels}


def _route(index: int) -> Manifest:
    name = service_name(index)
    backend = {"name": name, "port": 8080}
    match = {"path": {"type": "PathPrefix", "value": "/v1"}}
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": _meta(index, name),
        "spec": {
            "parentRefs": [{"group": "", "kind": "Service", "name": name}],
            "rules": [{"matches": [match], "backendRefs": [backend]}, {"backendRefs": [backend]}],
        },
    }


def _container(name: str) -> Manifest:
    resources = {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "256Mi"}}
    return {
        "name": name,
        "image": f"registry.example/{name}:1.0",
        "env": [{"name": "LOG_LEVEL", "value": "info"}],
        "resources": resources,
    }


def _container_status(name: str) -> Manifest:
    return {
        "name": name,
        "image": f"registry.example/{name}:1.0",
        "imageID": "",
        "ready": True,
        "started": True,
        "restartCount": 0,
        "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}},
    }
