"""A case: Services with scripted endpoints, resources as YAML, and what clients then see (pure).

In `resources` a document is `kind`, `spec` and, where they differ from what is usual, `name` (the case's),
`namespace` (`shop`), `labels` and `target` (what a policy is attached to: the case's first Service). An
HTTPRoute or GRPCRoute without `parentRefs` is attached to the first Service. `$a` is the full name of the
Service `a`, `$address_a` the address of its first endpoint.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from string import Template
from textwrap import dedent

import yaml

from control_plane.resources.manifest import Manifest
from control_plane.resources.registry import BY_KIND
from tests.parity.script import HTTP_PORT, OK, TCP_PORT, TLS_PORT, Answer
from tests.parity.step import Step

NAMESPACE = "shop"
GATEWAY = "edge"
POLICIES = frozenset({"TrafficPolicy", "FaultPolicy", "RateLimitPolicy"})
HTTP_ROUTES = frozenset({"HTTPRoute", "GRPCRoute"})
STREAM_ROUTES = frozenset({"TCPRoute", "TLSRoute"})


@dataclass(frozen=True)
class Pod:
    """One endpoint of a Service."""

    script: tuple[Answer, ...] = (OK,)
    labels: Mapping[str, str] = field(default_factory=dict)
    where: str = "plain"
    """`plain`; `meshed` is the pod that the data plane itself stands for; `refusing` does not listen;
    `blackhole` takes no packet."""
    zone: str = ""
    ready: bool = True


def pods(*scripts: Answer | Sequence[Answer]) -> tuple[Pod, ...]:
    """One endpoint for each script."""
    return tuple(Pod((one,) if isinstance(one, Answer) else tuple(one)) for one in scripts)


ONE = (Pod(),)


@dataclass(frozen=True)
class Case:
    """`services`: name in the case -> endpoints; the first is the one that clients call."""

    name: str
    rows: tuple[str, ...]
    """Of the table of features, such as `3.8`."""
    exercises: tuple[str, ...]
    """`<Kind> <path below spec>`, of settings in `resources`."""
    resources: str
    steps: tuple[Step, ...]
    services: Mapping[str, tuple[Pod, ...]] = field(default_factory=lambda: {"a": ONE})
    protocol: str = "http"
    """Name of the Services' one port: 8080 for `http`, `grpc` and `http2`, 9000 for `tcp` and `tls`."""
    upstream_tls: bool = False
    """The endpoints speak TLS themselves."""
    at_gateway: bool = False
    """Clients are outside and call the Gateway `edge`; HTTPRoutes have the first Service's Host as their
    hostname unless they say another."""
    headless: bool = False
    """The Services have no ClusterIP."""
    namespaces: Mapping[str, str] = field(default_factory=dict)
    """Service in the case -> namespace, where it is not `shop`."""

    def service_name(self, service: str) -> str:
        return f"{self.name}-{service}"

    def namespace_of(self, service: str) -> str:
        return self.namespaces.get(service, NAMESPACE)

    @property
    def port(self) -> int:
        return TCP_PORT if self.protocol in ("tcp", "tls") else HTTP_PORT

    @property
    def target_port(self) -> int:
        return TLS_PORT if self.upstream_tls else self.port

    @property
    def first(self) -> str:
        return next(iter(self.services))


@dataclass(frozen=True)
class Placed:
    """One endpoint with its address."""

    service: str
    number: int
    pod: Pod
    address: str

    @property
    def name(self) -> str:
        """`a` for the only endpoint of a Service or the first, then `a1`, `a2` …"""
        return self.service + (str(self.number) if self.number else "")


MESHED_ADDRESS = "10.244.0.11"
MESHED_POD = "v1-1"
CALLABLE, BLACKHOLE = "10.244", "10.245"
"""First halves of endpoints' addresses."""


class Addresses:
    """Deals out addresses, each once in the life of a mesh, the same on both data planes."""

    def __init__(self) -> None:
        self._endpoints = 255  # from 10.244.1.0 on
        self._services = 255

    def place(self, case: Case) -> tuple[Placed, ...]:
        return tuple(
            Placed(service, number, pod, self._address(pod))
            for service, all_pods in case.services.items()
            for number, pod in enumerate(all_pods)
        )

    def vips(self, case: Case) -> Mapping[str, str]:
        return {service: "None" if case.headless else self._vip() for service in case.services}

    def _vip(self) -> str:
        self._services += 1
        return _dotted("10.96", self._services)

    def _address(self, pod: Pod) -> str:
        if pod.where == "meshed":
            return MESHED_ADDRESS
        self._endpoints += 1
        return _dotted(BLACKHOLE if pod.where == "blackhole" else CALLABLE, self._endpoints)


def _dotted(network: str, number: int) -> str:
    return f"{network}.{number // 256}.{number % 256}"


# --- manifests ----------------------------------------------------------------------------------------------


def manifests(case: Case, placed: Sequence[Placed], vips: Mapping[str, str]) -> Iterator[Manifest]:
    """Everything a case needs, in the order in which it is created."""
    for service in case.services:
        mine = [one for one in placed if one.service == service]
        yield from _pods(case, mine)
        yield _service(case, service, vips[service], mine)
        yield from _slices(case, service, mine)
    yield from documents(case, placed, case.resources)


def documents(case: Case, placed: Sequence[Placed], text: str) -> Iterator[Manifest]:
    """The objects of a YAML text as the API takes them."""
    names = {service: case.service_name(service) for service in case.services}
    names |= {f"address_{one.name}": one.address for one in placed}
    for document in yaml.safe_load_all(Template(dedent(text)).substitute(names, case=case.name)):
        yield _manifest(case, document)


def _manifest(case: Case, document: Manifest) -> Manifest:
    kind, spec = str(document["kind"]), document.get("spec", {})
    assert isinstance(spec, dict)
    namespace = str(document.get("namespace", NAMESPACE))
    first = case.service_name(case.first)
    if kind in HTTP_ROUTES or kind in STREAM_ROUTES:
        spec = {**_parents(case, kind, first), **spec}
    if kind in POLICIES:
        spec = {
            "targetRefs": [document.get("target", {"group": "", "kind": "Service", "name": first})],
            **spec,
        }
    metadata = {"name": document.get("name", case.name), "namespace": namespace}
    return {"apiVersion": BY_KIND[kind].api_version, "kind": kind, "metadata": metadata, "spec": spec}


def _parents(case: Case, kind: str, first: str) -> Manifest:
    if not case.at_gateway:
        return {"parentRefs": [{"group": "", "kind": "Service", "name": first}]}
    hostnames = {"hostnames": [f"{first}.{NAMESPACE}"]} if kind in HTTP_ROUTES else {}
    return {"parentRefs": [{"name": GATEWAY, "sectionName": "http"}], **hostnames}


def _meta(name: str, namespace: str, labels: Mapping[str, str] | None = None) -> Manifest:
    return {"name": name, "namespace": namespace, "labels": dict(labels or {})}


def _pod_name(case: Case, one: Placed) -> str:
    return MESHED_POD if one.pod.where == "meshed" else f"{case.service_name(one.service)}-{one.number}"


def _pods(case: Case, placed: Sequence[Placed]) -> Iterator[Manifest]:
    for one in placed:
        if one.pod.labels:
            container = {"name": "app", "image": "app"}
            yield {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": _meta(_pod_name(case, one), case.namespace_of(one.service), one.pod.labels),
                "spec": {"serviceAccountName": "catalog", "containers": [container]},
                "status": {"podIP": one.address, "phase": "Running"},
            }


def _service(case: Case, service: str, vip: str, placed: Sequence[Placed]) -> Manifest:
    port: Manifest = {"name": case.protocol, "port": case.port}
    meshed = any(one.pod.where == "meshed" for one in placed)
    selector = {"version": "v1"} if meshed else {"app": case.service_name(service)}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _meta(case.service_name(service), case.namespace_of(service)),
        "spec": {"clusterIP": vip, "selector": selector, "ports": [port]},
    }


def _slices(case: Case, service: str, placed: Sequence[Placed]) -> Iterator[Manifest]:
    """One for the endpoints that listen and one for those that do not: a port is of the whole slice."""
    for refusing in (False, True):
        chosen = [one for one in placed if (one.pod.where == "refusing") is refusing]
        if not chosen:
            continue
        name, namespace = case.service_name(service), case.namespace_of(service)
        labels = {"kubernetes.io/service-name": name}
        suffix = "-refusing" if refusing else "-1"
        yield {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": _meta(name + suffix, namespace, labels),
            "addressType": "IPv4",
            "endpoints": [_endpoint(case, one) for one in chosen],
            "ports": [{"name": case.protocol, "port": case.target_port + refusing}],
        }


def _endpoint(case: Case, one: Placed) -> Manifest:
    endpoint: Manifest = {"addresses": [one.address], "conditions": {"ready": one.pod.ready}}
    if one.pod.labels or one.pod.where == "meshed":
        namespace = case.namespace_of(one.service)
        endpoint["targetRef"] = {"kind": "Pod", "name": _pod_name(case, one), "namespace": namespace}
    if one.pod.zone:
        endpoint["zone"] = one.pod.zone
    return endpoint
