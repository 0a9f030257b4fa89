"""The mesh that is measured, as manifests (pure): Services with two weighted backends each, and their pods.

Service n has an HTTPRoute that sends 80 % to itself and 20 % to Service n+1; each Service has two endpoints,
two addresses of the one server. `relay` has TCP ports.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from bench import route_table
from bench.route_table import Rules
from bench.shape import NAMESPACE, SERVICE_PORT, service_name
from control_plane.resources.manifest import Manifest

CLIENT_ADDRESS: Final = "10.244.0.11"
SERVER_ADDRESSES: Final = ("10.244.0.21", "10.244.0.22")
CONTROL_ADDRESS: Final = "10.244.0.2"
SERVICE_NETWORK: Final = "10.96.0.0/16"
RELAY_ADDRESS: Final = "10.96.250.1"

CLIENT_POD: Final = "client"
CLIENT_ACCOUNT: Final = "client"
SERVER_PODS: Final = ("server-a", "server-b")
SERVER_ACCOUNT: Final = "server"

CONNECTION_PORT: Final = 9080
"""`relay`: one HTTP answer a connection, as opaque TCP."""
CONNECTION_TARGET: Final = 8081
STREAM_PORT: Final = 5201
"""`relay`: iperf3."""

_WEIGHTS = (80, 20)
_HOSTS_PER_BLOCK = 250


def service_address(index: int) -> str:
    """The VIP of Service `index`."""
    return f"10.96.{1 + index // _HOSTS_PER_BLOCK}.{1 + index % _HOSTS_PER_BLOCK}"


def foundation(*, meshed: bool) -> Iterator[Manifest]:
    """What there is however many Services there are. `meshed`: the servers have sidecars."""
    yield {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
    for account in (CLIENT_ACCOUNT, SERVER_ACCOUNT):
        yield {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": _meta(account)}
    yield pod(CLIENT_POD, CLIENT_ADDRESS, CLIENT_ACCOUNT, meshed=True)
    for name, address in zip(SERVER_PODS, SERVER_ADDRESSES, strict=True):
        yield pod(name, address, SERVER_ACCOUNT, meshed=meshed)
    ports = {"tcp-connection": (CONNECTION_PORT, CONNECTION_TARGET), "tcp-stream": (STREAM_PORT, STREAM_PORT)}
    yield _service("relay", RELAY_ADDRESS, ports)
    yield _endpoints("relay", ports)


def services(
    first: int,
    count: int,
    total: int,
    rules: Rules = Rules.TWO,
    *,
    http2: bool = False,
    h2_upgrade: bool = False,
) -> Iterator[Manifest]:
    """Services `first` to `first + count - 1` of `total`, with endpoints and routes. `http2`: the servers
    speak it; `h2_upgrade`: only the sidecars do."""
    for index in range(first, first + count):
        name, ports = service_name(index), {"http2" if http2 else "http": (SERVICE_PORT, SERVICE_PORT)}
        yield _service(name, service_address(index), ports)
        yield _endpoints(name, ports)
        if h2_upgrade:
            yield _upgrade(name)
        if rules is Rules.TWO:
            yield route(index, total)
        else:
            yield from many_routes(index, total)


def route(index: int, total: int, marker: str = "/admin") -> Manifest:
    """The HTTPRoute of a Service: two rules, two weighted backends. `marker`: the path of the first rule."""
    backends = _backends(index, total)
    admin: Manifest = {"backendRefs": backends[:1], "matches": [_path(marker)]}
    rest: Manifest = {"backendRefs": backends, "matches": [_path("/")]}
    return _route(service_name(index), index, [admin, rest])


def many_routes(index: int, total: int) -> Iterator[Manifest]:
    """50 rules of a Service, in HTTPRoutes of as many as one may have; each rule has the two backends."""
    for number, rules in enumerate(route_table.parts()):
        whole = [{**rule, "backendRefs": _backends(index, total)} for rule in rules]
        yield _route(f"{service_name(index)}-{number}", index, whole)


def _backends(index: int, total: int) -> list[Manifest]:
    names = (service_name(index), service_name((index + 1) % total))
    return [
        {"name": name, "port": SERVICE_PORT, "weight": weight}
        for name, weight in zip(names, _WEIGHTS, strict=True)
    ]


def _route(name: str, index: int, rules: list[Manifest]) -> Manifest:
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": _meta(name),
        "spec": {
            "parentRefs": [{"group": "", "kind": "Service", "name": service_name(index)}],
            "rules": rules,
        },
    }


def _upgrade(service: str) -> Manifest:
    return {
        "apiVersion": "meshproxy.io/v1alpha1",
        "kind": "TrafficPolicy",
        "metadata": _meta(service),
        "spec": {
            "targetRefs": [{"group": "", "kind": "Service", "name": service}],
            "h2UpgradePolicy": "Upgrade",
        },
    }


def _path(prefix: str) -> Manifest:
    return {"path": {"type": "PathPrefix", "value": prefix}}


def _meta(name: str, **labels: str) -> Manifest:
    return {"name": name, "namespace": NAMESPACE, **({"labels": labels} if labels else {})}


def pod(name: str, address: str, account: str, *, meshed: bool) -> Manifest:
    labels = {"app": account, **({"meshproxy.io/tls-mode": "mutual"} if meshed else {})}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": NAMESPACE, "labels": labels},
        "spec": {"serviceAccountName": account, "containers": [{"name": "app", "image": "app"}]},
        "status": {"podIP": address, "phase": "Running"},
    }


def _service(name: str, address: str, ports: dict[str, tuple[int, int]]) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _meta(name),
        "spec": {
            "clusterIP": address,
            "selector": {"app": SERVER_ACCOUNT},
            "ports": [
                {"name": port, "port": number, "targetPort": target}
                for port, (number, target) in ports.items()
            ],
        },
    }


def _endpoints(name: str, ports: dict[str, tuple[int, int]]) -> Manifest:
    endpoints = [
        {
            "addresses": [address],
            "conditions": {"ready": True},
            "targetRef": {"kind": "Pod", "name": pod, "namespace": NAMESPACE},
        }
        for pod, address in zip(SERVER_PODS, SERVER_ADDRESSES, strict=True)
    ]
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": _meta(f"{name}-1", **{"kubernetes.io/service-name": name}),
        "addressType": "IPv4",
        "endpoints": endpoints,
        "ports": [{"name": port, "port": target} for port, (_, target) in ports.items()],
    }
