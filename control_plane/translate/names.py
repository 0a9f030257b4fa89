"""Names of xDS resources and of the hosts they stand for (pure); the same words as Istio's, which users'
tools know."""

from collections.abc import Iterable

from control_plane.discovery.model import ObjectName

CLUSTER_DOMAIN = "cluster.local"
"""DNS suffix of Services; not the trust domain, which may differ."""

VIRTUAL_OUTBOUND = "virtualOutbound"
VIRTUAL_INBOUND = "virtualInbound"
OUTBOUND_PORT = 15001
INBOUND_PORT = 15006

PASSTHROUGH_CLUSTER = "PassthroughCluster"
INBOUND_PASSTHROUGH_CLUSTER = "InboundPassthroughCluster"
BLACK_HOLE_CLUSTER = "BlackHoleCluster"
POD_CLUSTER = "MeshPodCluster"
"""Opaque bytes to a pod of the mesh whose address was dialled."""
POD_HTTP_CLUSTER = "MeshPodHttpCluster"
"""Requests to one."""

ALPN_HTTP = "istio-http/1.1"
ALPN_HTTP2 = "istio-h2"
ALPN_REQUESTS = (ALPN_HTTP2, ALPN_HTTP)
"""Both, best first."""
ALPN_OUTSIDE = ("h2", "http/1.1")
"""Of clients that are no part of the mesh."""
ALPN_TCP = "istio"

LABEL_METADATA = "meshproxy.io"
"""Filter-metadata key of what the sidecar puts into metric labels and identity checks."""
SOCKET_MATCH_METADATA = "envoy.transport_socket_match"
SUBSET_METADATA = "envoy.lb"
"""Filter-metadata key of labels that subsets are chosen by."""
TLS_MODE_KEY = "tlsMode"
TLS_MODE_MUTUAL = "mutual"


def fqdn(service: ObjectName) -> str:
    """`catalog.shop.svc.cluster.local`"""
    return f"{service.name}.{service.namespace}.svc.{CLUSTER_DOMAIN}"


def service_named(host: str) -> ObjectName | None:
    """The Service that `catalog.shop.svc.cluster.local` is the name of; None for any other host."""
    name, _, rest = host.partition(".")
    namespace = rest.removesuffix(f".svc.{CLUSTER_DOMAIN}")
    return ObjectName(namespace, name) if namespace != rest and "." not in namespace else None


def outbound_cluster(service: ObjectName, port: int) -> str:
    """`outbound|8080||catalog.shop.svc.cluster.local`"""
    return f"outbound|{port}||{fqdn(service)}"


def opaque_cluster(service: ObjectName, port: int) -> str:
    """The twin of an undeclared port's cluster for bytes that are not HTTP."""
    return f"outbound|{port}|opaque|{fqdn(service)}"


def direct_cluster(service: ObjectName, port: int) -> str:
    """Opaque bytes to the pod of a headless Service whose address was dialled."""
    return f"outbound|{port}|direct|{fqdn(service)}"


def missing_backend(service: ObjectName, port: int | None) -> str:
    """A cluster name that is never defined: the share of a backend that does not exist."""
    return f"missing|{'' if port is None else port}||{fqdn(service)}"


def inbound_cluster(port: int) -> str:
    """`inbound|8080||`"""
    return f"inbound|{port}||"


def sni(service: ObjectName, port: int) -> str:
    """`outbound_.8080_._.catalog.shop.svc.cluster.local`: a DNS-safe form of the cluster's name."""
    return f"outbound_.{port}_._.{fqdn(service)}"


def wildcard_listener(port: int) -> str:
    """`0.0.0.0_8080`"""
    return f"0.0.0.0_{port}"


def service_listener(vip: str, port: int) -> str:
    """`10.96.0.7_3306`"""
    return f"{vip}_{port}"


def route_table(port: int) -> str:
    """Name of the RouteConfiguration of an outbound HTTP port."""
    return str(port)


def headless_table(port: int, *, is_meshed: bool) -> str:
    """Name of the RouteConfiguration of requests to addresses of headless Services' pods."""
    return f"{port}|headless" if is_meshed else f"{port}|headless-plain"


def domains(service: ObjectName, vips: Iterable[str], port: int, *, same_namespace: bool) -> tuple[str, ...]:
    """Every Host by which a client may call the Service on `port`, each also with the port."""
    name, namespace = service.name, service.namespace
    hosts = [name] if same_namespace else []
    hosts += [f"{name}.{namespace}", f"{name}.{namespace}.svc", fqdn(service)]
    hosts += [f"[{vip}]" if ":" in vip else vip for vip in vips]
    return tuple(form for host in hosts for form in (host, f"{host}:{port}"))
