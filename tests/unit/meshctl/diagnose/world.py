"""A client and a Service of two pods in a mesh where all is well, and how to break it."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import cast

from control_plane.resources.deployment import Deployment
from control_plane.resources.endpoint_slice import EndpointSlice
from control_plane.resources.event import Event
from control_plane.resources.fault_policy import FaultPolicy
from control_plane.resources.node import Node
from control_plane.resources.pod import Pod
from control_plane.resources.service import Service
from injector.annotations import PodWishes
from injector.template import InjectorSettings, SidecarOfPod, init_container, sidecar_container, volumes
from meshctl.diagnose.facts import (
    Backend,
    Cluster,
    Facts,
    Listening,
    PodFacts,
    PodInside,
    Resolution,
    SidecarFacts,
    Unseen,
)
from meshctl.diagnose.finding import Finding
from meshctl.diagnose.interception import settings_in
from meshctl.diagnose.question import parse_question
from meshctl.diagnose.routes import Route, route_of
from meshctl.diagnose.walk import cause, walk
from meshctl.json_value import JsonObject
from meshproxy.interception.rules import EMPTY, Family, ruleset

NOW = 1_800_000_000.0
VIP = "10.96.0.9"
HOST = "catalog.shop.svc.cluster.local"
CLUSTER = f"outbound|8080||{HOST}"

Manifest = dict[str, object]


def condition(kind: str, status: str, **rest: str) -> Manifest:
    return {"type": kind, "status": status, **rest}


def running(name: str, *, ready: bool = True) -> Manifest:
    return {
        "name": name,
        "ready": ready,
        "started": True,
        "restartCount": 0,
        "state": {"running": {"startedAt": "2027-01-15T08:00:00Z"}},
    }


def waiting(name: str, reason: str, message: str = "", *, restarts: int = 0, ended: int = -1) -> Manifest:
    last = {} if ended < 0 else {"lastState": {"terminated": {"exitCode": ended, "reason": "Error"}}}
    state = {"waiting": {"reason": reason, "message": message}}
    return {"name": name, "ready": False, "started": False, "restartCount": restarts, "state": state, **last}


def pod(
    name: str,
    ip: str,
    *,
    namespace: str = "shop",
    meshed: bool = True,
    ready: bool = True,
    labels: Mapping[str, str] | None = None,
    flags: Iterable[str] = (),
    spec: Manifest | None = None,
    status: Manifest | None = None,
    metadata: Manifest | None = None,
) -> Pod:
    """Of Deployment `name` without its last word; `flags`: more of the interception's."""
    app = name.rpartition("-")[0]
    settings = InjectorSettings()
    interceptor = init_container(settings, PodWishes())
    interceptor["command"] = [*cast("list[str]", interceptor["command"]), *flags]
    added = [interceptor, sidecar_container(settings, SidecarOfPod(app))] if meshed else []
    ended = {"name": "meshproxy-init", "ready": True, "restartCount": 0}
    ended["state"] = {"terminated": {"exitCode": 0}}
    container: Manifest = {"name": "app", "image": "none", "ports": [{"name": "http", "containerPort": 8080}]}
    mesh_labels = {"meshproxy.io/tls-mode": "mutual"} if meshed else {}
    owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": f"{app}-5d", "uid": "rs"}
    return Pod.read(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": name,
                "namespace": namespace,
                "uid": f"uid-{name}",
                "labels": {"app": app, **mesh_labels, **(labels or {})},
                "ownerReferences": [{**owner, "controller": True}],
                **(metadata or {}),
            },
            "spec": {
                "nodeName": "node",
                "containers": [container],
                "initContainers": added,
                "volumes": volumes() if meshed else [],
                **(spec or {}),
            },
            "status": {
                "phase": "Running",
                "podIP": ip,
                "conditions": [condition("Ready", str(ready))],
                "initContainerStatuses": [ended, running("meshproxy")] if meshed else [],
                "containerStatuses": [running("app", ready=ready)],
                **(status or {}),
            },
        }
    )


def endpoint(address: str = "10.244.0.7:8080", **state: object) -> JsonObject:
    """As a client's `/clusters` shows it."""
    return {
        "address": address,
        "tls": True,
        "spiffe_id": "spiffe://cluster.local/ns/shop/sa/default",
        "is_ejected": False,
        "ejections": 0,
        **state,
    }


def cluster_page(*endpoints: JsonObject, name: str = CLUSTER, **state: object) -> JsonObject:
    return {"name": name, "overflows": 0, "endpoints": list(endpoints), **state}


def inbound(*, strict: bool = True) -> JsonObject:
    """`lds` of a server's sidecar."""
    chains: list[JsonObject] = [
        {"name": "blocked", "filter_chain_match": {"destination_port": 15006}},
        {"name": "mtls", "filter_chain_match": {"destination_port": 8080, "transport_protocol": "tls"}},
    ]
    if not strict:
        plain = {"destination_port": 8080, "transport_protocol": "raw_buffer"}
        chains.append({"name": "http", "filter_chain_match": plain})
    return {"resources": {"virtualInbound": {"filter_chains": chains}}}


def sidecar(
    *clusters: JsonObject,
    strict: bool = True,
    config: JsonObject | None = None,
    certificate: JsonObject | None = None,
    info: JsonObject | None = None,
    certs: JsonObject | None = None,
) -> SidecarFacts:
    known = clusters or (cluster_page(endpoint(), endpoint("10.244.0.8:8080")),)
    valid: JsonObject = {
        "spiffe_id": "spiffe://cluster.local/ns/shop/sa/default",
        "valid_from": "2026-01-01T00:00:00+00:00",
        "expiration_time": "2030-01-01T00:00:00+00:00",
        **(certificate or {}),
    }
    return SidecarFacts(
        info={"xds": {"connected": True, "last_error": ""}, "configuration_error": "", **(info or {})},
        certificates={"certificate": valid, "last_error": "", **(certs or {})},
        clusters=tuple(known),
        config={"lds": inbound(strict=strict), **(config or {})},
    )


def sync(**states: str) -> JsonObject:
    every = {"cds": "SYNCED", "lds": "SYNCED", "eds": "SYNCED", "rds": "SYNCED", **states}
    return {"types": {kind: {"state": state, "nackedReason": "not this"} for kind, state in every.items()}}


def seen(one: Pod, *, ports: Iterable[tuple[str, int]] = (("0.0.0.0", 8080),)) -> PodFacts:
    """From inside, with what its own spec sets up."""
    settings = settings_in(one)
    is_meshed = settings is not None
    rules = EMPTY if settings is None else ruleset(settings, Family.V4)
    own = [Listening("0.0.0.0", port) for port in (15001, 15006, 15020, 15021, 15090)] if is_meshed else []
    sockets = (*(Listening(address, port) for address, port in ports), *own)
    inside = PodInside(4711, sockets, rules)
    return PodFacts(one, inside, sidecar() if is_meshed else None, sync() if is_meshed else None)


def service(
    name: str = "catalog", *, namespace: str = "shop", port: Manifest | None = None, **spec: object
) -> Service:
    ports = [{"name": "http", "port": 8080, **(port or {})}]
    return Service.read(
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {"clusterIP": VIP, "selector": {"app": "catalog"}, "ports": ports, **spec},
        }
    )


def slice_of(*ready: Pod, late: Iterable[Pod] = (), port: int = 8080) -> EndpointSlice:
    listed = [*((one, True) for one in ready), *((one, False) for one in late)]
    return EndpointSlice.read(
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {"name": "catalog-a", "namespace": "shop"},
            "addressType": "IPv4",
            "ports": [{"name": "http", "port": port}],
            "endpoints": [
                {
                    "addresses": [one.status.pod_ip],
                    "conditions": {"ready": is_ready},
                    "targetRef": {"kind": "Pod", "name": one.metadata.name},
                }
                for one, is_ready in listed
            ],
        }
    )


def deployment(name: str = "catalog", *, replicas: int = 1, status: Manifest | None = None) -> Deployment:
    labels = {"app": name}
    container = {"name": "app", "image": "none"}
    return Deployment.read(
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": name, "namespace": "shop"},
            "spec": {
                "replicas": replicas,
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
            },
            "status": status or {},
        }
    )


def event(about: Pod, reason: str, message: str, kind: str = "Warning") -> Event:
    return Event.read(
        {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": f"e-{reason.lower()}", "namespace": "shop"},
            "involvedObject": {"kind": "Pod", "uid": about.metadata.uid},
            "reason": reason,
            "message": message,
            "type": kind,
        }
    )


def node(*, ready: bool = True) -> Node:
    return Node.read(
        {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": "node"},
            "status": {"conditions": [condition("Ready", str(ready))]},
        }
    )


def route(*rules: Manifest, status: Manifest | None = None) -> Route:
    return route_of(
        {
            "apiVersion": "gateway.networking.k8s.io/v1",
            "kind": "HTTPRoute",
            "metadata": {"name": "split", "namespace": "shop"},
            "spec": {
                "parentRefs": [{"group": "", "kind": "Service", "name": "catalog"}],
                "rules": list(rules),
            },
            "status": status or {},
        }
    )


def fault_policy(**spec: object) -> FaultPolicy:
    return FaultPolicy.read(
        {
            "apiVersion": "meshproxy.io/v1alpha1",
            "kind": "FaultPolicy",
            "metadata": {"name": "chaos", "namespace": "shop"},
            "spec": {"targetRefs": [{"group": "", "kind": "Service", "name": "catalog"}], **spec},
        }
    )


WEB = seen(pod("web-1", "10.244.0.5"), ports=())
CATALOG_1 = seen(pod("catalog-1", "10.244.0.7"))
CATALOG_2 = seen(pod("catalog-2", "10.244.0.8"))
PLAIN_WEB = seen(pod("web-1", "10.244.0.5", meshed=False), ports=())


def backend(
    *pods: PodFacts, of: Service | None = None, slices: Iterable[EndpointSlice] | None = None
) -> Backend:
    """Whose slices hold the pods that are ready."""
    if slices is None:
        ready = [one.pod for one in pods if one.pod.status.is_ready]
        late = [one.pod for one in pods if not one.pod.status.is_ready]
        slices = [slice_of(*ready, late=late)]
    return Backend(of or service(), 8080, pods, tuple(slices))


def facts(question: str = "web -> catalog:8080", **changes: object) -> Facts:
    """All is well, but for `changes`."""
    found = Facts(
        question=parse_question([question]),
        namespace="shop",
        client=WEB,
        service=service(),
        port=8080,
        backends=(backend(CATALOG_1, CATALOG_2),),
        resolution=Resolution((VIP,), "", ("10.96.0.10",), ("shop.svc.cluster.local", "cluster.local")),
        reached={"10.244.0.7:8080": "", "10.244.0.8:8080": ""},
        service_reached=Unseen("the client's sidecar takes the Service's address"),
        cluster=Cluster(
            services=(service(), service("inventory")),
            pods=(WEB.pod, CATALOG_1.pod, CATALOG_2.pod),
            deployments=(deployment("web"), deployment()),
            nodes=(node(),),
            injected_namespaces=frozenset({"shop"}),
        ),
        now=NOW,
    )
    return replace(found, **changes)  # type: ignore[arg-type]  # each by its field's name


def with_cluster(**changes: object) -> Cluster:
    return replace(facts().cluster, **changes)  # type: ignore[arg-type]


def one_backend(*pods: PodFacts, **rest: object) -> Mapping[str, object]:
    build = cast("Callable[..., Backend]", backend)
    return {"backends": (build(*pods, **rest),)}


def cause_of(found: Facts) -> Finding:
    """The fault, which must be there."""
    blamed = cause(walk(found))
    assert blamed is not None, [(one.layer.value, one.what) for one in walk(found)]
    return blamed
