"""Stored resources to the mesh's values (pure). Only what routing needs is taken, so that equality means "no
change"."""

from collections.abc import Mapping

from control_plane.discovery import model
from control_plane.discovery.model import ObjectName
from control_plane.discovery.protocol import port_protocol
from control_plane.resources.base import ObjectMeta
from control_plane.resources.endpoint_slice import EndpointSlice
from control_plane.resources.node import REGION_LABEL, ZONE_LABEL
from control_plane.resources.pod import Pod
from control_plane.resources.service import HEADLESS, Service

TLS_MODE_LABEL = "meshproxy.io/tls-mode"
TLS_MODE_MUTUAL = "mutual"
INCLUDE_INBOUND_PORTS = "traffic.meshproxy.io/includeInboundPorts"
EXCLUDE_INBOUND_PORTS = "traffic.meshproxy.io/excludeInboundPorts"
OPAQUE_PORTS = "traffic.meshproxy.io/opaquePorts"
"""On a Pod: ports of its containers. On a Service: its own."""
APP_LABELS = ("app.kubernetes.io/name", "app")
VERSION_LABELS = ("app.kubernetes.io/version", "version")
POD_TEMPLATE_HASH_LABEL = "pod-template-hash"
_PORT_DIGITS = 5


def service(resource: Service) -> model.Service:
    """TCP ports only: UDP and SCTP do not pass through sidecars."""
    spec = resource.spec
    opaque = _ports(resource.metadata.annotations.get(OPAQUE_PORTS, ""))
    ports = tuple(
        model.ServicePort(
            port.port,
            port.name or "",
            model.PortProtocol.TCP
            if port.port in opaque
            else port_protocol(port.port, port.name or "", port.app_protocol),
            port.target,
        )
        for port in spec.ports
        if port.protocol == "TCP"
    )
    return model.Service(
        key=_key(resource.metadata),
        vip="" if spec.cluster_ip == HEADLESS else spec.cluster_ip,
        ports=ports,
        selector=tuple(sorted(spec.selector.items())),
        created_at=resource.metadata.creation_timestamp,
        external_name=(spec.external_name or "").lower(),
        more_vips=tuple(ip for ip in spec.cluster_ips if ip not in (spec.cluster_ip, HEADLESS)),
    )


def endpoint_slice(resource: EndpointSlice) -> model.EndpointSlice | None:
    """None for a slice that belongs to no Service."""
    if not resource.service_name:
        return None
    namespace = resource.metadata.namespace
    ports = (
        model.SlicePort(port.name, port.port)
        for port in resource.ports
        if port.port is not None and port.protocol == "TCP"
    )
    endpoints = []
    for endpoint in resource.endpoints:
        target = endpoint.target_ref
        pod = None
        if target is not None and target.kind == "Pod":
            pod = ObjectName(target.namespace or namespace, target.name)
        endpoints.append(
            model.SliceEndpoint(
                endpoint.addresses[0],
                endpoint.is_ready,
                pod,
                endpoint.node_name,
                endpoint.zone,
                endpoint.hostname or "",
                endpoint.is_leaving and not endpoint.is_ready,
            )
        )
    return model.EndpointSlice(
        key=_key(resource.metadata),
        service=ObjectName(namespace, resource.service_name),
        ports=tuple(ports),
        endpoints=tuple(endpoints),
    )


def workload(resource: Pod) -> model.Workload:
    metadata, spec = resource.metadata, resource.spec
    # Kubernetes' order for named target ports; init containers that end serve nobody.
    lasting = [one for one in spec.init_containers if one.restart_policy == "Always"]
    containers = (*spec.containers, *lasting)
    return model.Workload(
        key=_key(metadata),
        # Whose pod has ended may see its address given to another.
        ip="" if resource.status.phase in ("Succeeded", "Failed") else resource.status.pod_ip,
        labels=tuple(sorted(metadata.labels.items())),
        service_account=spec.service_account_name,
        meshed=metadata.labels.get(TLS_MODE_LABEL) == TLS_MODE_MUTUAL,
        included_inbound_ports=_included_ports(metadata.annotations.get(INCLUDE_INBOUND_PORTS, "*")),
        excluded_inbound_ports=_ports(metadata.annotations.get(EXCLUDE_INBOUND_PORTS, "")),
        named_ports=tuple(
            (port.name, port.container_port)
            for one in containers
            for port in one.ports
            if port.name is not None and port.protocol == "TCP"
        ),
        owner=_owner(metadata),
        app=_first_label(metadata, APP_LABELS),
        version=_first_label(metadata, VERSION_LABELS),
        node_name=spec.node_name,
        opaque_ports=_ports(metadata.annotations.get(OPAQUE_PORTS, "")),
    )


def locality(labels: Mapping[str, str]) -> model.Locality:
    """By the topology labels of a Node, or of a Pod that has them copied."""
    return model.Locality(labels.get(REGION_LABEL, ""), labels.get(ZONE_LABEL, ""))


def _key(metadata: ObjectMeta) -> ObjectName:
    return ObjectName(metadata.namespace, metadata.name)


def _first_label(metadata: ObjectMeta, labels: tuple[str, ...]) -> str:
    return next((metadata.labels[label] for label in labels if label in metadata.labels), "")


def _owner(metadata: ObjectMeta) -> str:
    """The Deployment behind a pod: directly, or through a ReplicaSet, whose name is the Deployment's plus a
    hash."""
    for reference in metadata.owner_references:
        if reference.controller:
            suffix = f"-{metadata.labels.get(POD_TEMPLATE_HASH_LABEL, '')}"
            return reference.name.removesuffix(suffix) if reference.kind == "ReplicaSet" else reference.name
    return metadata.name


def _included_ports(text: str) -> frozenset[int] | None:
    return None if text.strip() == "*" else _ports(text)


def _ports(text: str) -> frozenset[int]:
    """Numbers of a comma-separated list; what is not a number was refused when the sidecar was injected."""
    parts = (part.strip() for part in text.split(","))
    return frozenset(int(part) for part in parts if part.isdecimal() and len(part) <= _PORT_DIGITS)
