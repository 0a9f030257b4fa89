"""Short builders of manifests for control-plane tests."""

from collections.abc import Sequence

from control_plane.resources.manifest import Manifest

EARLY, LATE = "2026-01-01T00:00:00Z", "2026-02-02T00:00:00Z"


def meta(name: str, namespace: str = "shop", created: str = EARLY, **fields: object) -> Manifest:
    return {
        "name": name,
        "namespace": namespace,
        "creationTimestamp": created,
        "generation": 1,
        "resourceVersion": "7",
        **fields,
    }


def service(
    name: str,
    *ports: Manifest,
    namespace: str = "shop",
    vip: str = "10.96.0.7",
    selector: dict[str, str] | None = None,
    created: str = EARLY,
    **metadata: object,
) -> Manifest:
    """Without `ports`: one declared HTTP port 8080."""
    spec = {
        "clusterIP": vip,
        "selector": {"app": name} if selector is None else selector,
        "ports": list(ports) or [{"name": "http", "port": 8080}],
    }
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": meta(name, namespace, created, **metadata),
        "spec": spec,
    }


def pod(
    name: str,
    *,
    app: str = "",
    namespace: str = "shop",
    ip: str = "10.244.0.7",
    account: str = "catalog",
    meshed: bool = True,
    labels: dict[str, str] | None = None,
    annotations: dict[str, str] | None = None,
    owner: tuple[str, str] | None = None,
    ports: Sequence[Manifest] = (),
) -> Manifest:
    """`owner` is (kind, name) of the controller."""
    all_labels = {**({"app": app} if app else {}), **(labels or {})}
    if meshed:
        all_labels["meshproxy.io/tls-mode"] = "mutual"
    owners = []
    if owner is not None:
        kind, owner_name = owner
        owners = [{"apiVersion": "apps/v1", "kind": kind, "name": owner_name, "uid": "u", "controller": True}]
    metadata = meta(name, namespace, labels=all_labels, annotations=annotations or {}, ownerReferences=owners)
    container = {"name": "app", "image": "app", "ports": list(ports)}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": {"serviceAccountName": account, "containers": [container]},
        "status": {"podIP": ip, "phase": "Running"},
    }


def endpoint(
    address: str, pod_name: str = "", *, ready: bool | None = True, leaving: bool = False
) -> Manifest:
    """`leaving`: its Pod is being deleted and still answers."""
    built: Manifest = {"addresses": [address]}
    if leaving:
        built["conditions"] = {"ready": False, "serving": True, "terminating": True}
    elif ready is not None:
        built["conditions"] = {"ready": ready}
    if pod_name:
        built["targetRef"] = {"kind": "Pod", "name": pod_name, "namespace": "shop"}
    return built


def endpoint_slice(
    service_name: str,
    *endpoints: Manifest,
    name: str = "",
    namespace: str = "shop",
    ports: Sequence[tuple[str, int]] = (("http", 8080),),
    family: str = "IPv4",
) -> Manifest:
    labels = {"kubernetes.io/service-name": service_name} if service_name else {}
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": meta(name or f"{service_name}-1", namespace, labels=labels),
        "addressType": family,
        "endpoints": list(endpoints),
        "ports": [{"name": port_name, "port": number} for port_name, number in ports],
    }


def route(
    name: str,
    *rules: Manifest,
    parent: str = "catalog",
    parent_namespace: str = "",
    port: int | None = None,
    namespace: str = "shop",
    created: str = EARLY,
    generation: int = 1,
    parents: Sequence[Manifest] | None = None,
) -> Manifest:
    """An HTTPRoute attached to one Service, or to `parents`."""
    ref: Manifest = {"group": "", "kind": "Service", "name": parent}
    if parent_namespace:
        ref["namespace"] = parent_namespace
    if port is not None:
        ref["port"] = port
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": meta(name, namespace, created, generation=generation),
        "spec": {
            "parentRefs": [ref] if parents is None else list(parents),
            "rules": list(rules) or [rule(backend("catalog"))],
        },
    }


def rule(*backends: Manifest, paths: Sequence[tuple[str, str]] = ()) -> Manifest:
    """`paths`: (type, value)."""
    built: Manifest = {"backendRefs": list(backends)}
    if paths:
        built["matches"] = [{"path": {"type": kind, "value": value}} for kind, value in paths]
    return built


def backend(name: str, port: int = 8080, weight: int | None = None, namespace: str = "") -> Manifest:
    built: Manifest = {"name": name, "port": port}
    if weight is not None:
        built["weight"] = weight
    if namespace:
        built["namespace"] = namespace
    return built


def service_parent(name: str = "catalog", **fields: object) -> Manifest:
    return {"group": "", "kind": "Service", "name": name, **fields}


def stream_route(
    kind: str,
    name: str,
    *backends: Manifest,
    namespace: str = "shop",
    created: str = EARLY,
    parents: Sequence[Manifest] | None = None,
    hostnames: Sequence[str] = ("db.example.com",),
) -> Manifest:
    """A TCPRoute or TLSRoute; `hostnames` are of the latter only."""
    spec: Manifest = {
        "parentRefs": [service_parent()] if parents is None else list(parents),
        "rules": [{"backendRefs": list(backends)}],
    }
    if kind == "TLSRoute":
        spec["hostnames"] = list(hostnames)
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": kind,
        "metadata": meta(name, namespace, created),
        "spec": spec,
    }


def reference_grant(
    name: str,
    *,
    namespace: str,
    from_namespace: str,
    from_kind: str = "HTTPRoute",
    to: Manifest | None = None,
) -> Manifest:
    source = {"group": "gateway.networking.k8s.io", "kind": from_kind, "namespace": from_namespace}
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "ReferenceGrant",
        "metadata": meta(name, namespace),
        "spec": {"from": [source], "to": [to or {"group": "", "kind": "Service"}]},
    }


def grpc_route(
    name: str,
    *rules: Manifest,
    namespace: str = "shop",
    created: str = EARLY,
    parents: Sequence[Manifest] | None = None,
    hostnames: Sequence[str] = (),
) -> Manifest:
    """A GRPCRoute attached to `catalog`, or to `parents`."""
    spec: Manifest = {"parentRefs": [service_parent()] if parents is None else list(parents)}
    spec["rules"] = list(rules)
    if hostnames:
        spec["hostnames"] = list(hostnames)
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "GRPCRoute",
        "metadata": meta(name, namespace, created),
        "spec": spec,
    }


def call_rule(*backends: Manifest, methods: Sequence[Manifest] = (), **more: object) -> Manifest:
    """`methods`: what `method` of each match is."""
    matches = [{"method": method} for method in methods]
    return {"matches": matches, "backendRefs": list(backends), **more}
