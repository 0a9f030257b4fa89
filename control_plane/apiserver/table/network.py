"""Rows of what is reached, and how (pure)."""

from collections.abc import Sequence

from control_plane.apiserver.table.shape import NONE, Cell, Shape, columns, joined, pairs, some, text
from control_plane.resources.manifest import Manifest, objects, section

_HTTP, _HTTPS = 80, 443


def _service(manifest: Manifest, now: float) -> Sequence[Cell]:
    spec = section(manifest, "spec")
    kind = text(spec, "type", "ClusterIP")
    ports = joined(map(_service_port, objects(spec, "ports")))
    selector = pairs(section(spec, "selector"))
    return (kind, text(spec, "clusterIP", NONE), _external(manifest, kind), ports, selector)


def _service_port(port: Manifest) -> str:
    node_port = f":{port['nodePort']}" if port.get("nodePort") else ""
    return f"{text(port, 'port')}{node_port}/{text(port, 'protocol', 'TCP')}"


def _external(manifest: Manifest, kind: str) -> str:
    spec = section(manifest, "spec")
    if kind == "ExternalName":
        return text(spec, "externalName")
    external = spec.get("externalIPs")
    found = [*external] if isinstance(external, list) else []
    if kind == "LoadBalancer":
        found = _balancer_addresses(manifest) + found
        return joined(found) if found else "<pending>"
    return joined(found)


def _balancer_addresses(manifest: Manifest) -> list[object]:
    balancer = section(section(manifest, "status"), "loadBalancer")
    return [text(one, "ip") or text(one, "hostname") for one in objects(balancer, "ingress")]


def _endpoint_slice(manifest: Manifest, now: float) -> Sequence[Cell]:
    ports = [text(port, "port", "*") for port in objects(manifest, "ports")]
    addresses: list[object] = []
    for endpoint in objects(manifest, "endpoints"):
        found = endpoint.get("addresses")
        addresses += found if isinstance(found, list) else []
    return (text(manifest, "addressType"), some(ports), some(addresses))


def _ingress(manifest: Manifest, now: float) -> Sequence[Cell]:
    spec = section(manifest, "spec")
    hosts = [text(rule, "host", "*") for rule in objects(spec, "rules")]
    ports = f"{_HTTP}, {_HTTPS}" if objects(spec, "tls") else str(_HTTP)
    addresses = ",".join(map(str, _balancer_addresses(manifest)))
    return (text(spec, "ingressClassName", NONE), some(hosts, "*"), addresses, ports)


def _ingress_class(manifest: Manifest, now: float) -> Sequence[Cell]:
    spec = section(manifest, "spec")
    parameters = section(spec, "parameters")
    group = f".{parameters['apiGroup']}" if parameters.get("apiGroup") else ""
    shown = f"{text(parameters, 'kind')}{group}/{text(parameters, 'name')}" if parameters else NONE
    return (text(spec, "controller"), shown)


SERVICE = Shape(
    columns("Type", "Cluster-IP", "External-IP", "Port(s)"), _service, columns("Selector", priority=1)
)
ENDPOINT_SLICE = Shape(columns("AddressType", "Ports", "Endpoints"), _endpoint_slice)
INGRESS = Shape(columns("Class", "Hosts", "Address", "Ports"), _ingress)
INGRESS_CLASS = Shape(columns("Controller", "Parameters"), _ingress_class)
