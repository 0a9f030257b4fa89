"""core/v1 Service (pure).

Type LoadBalancer is one of type NodePort here that waits for an address from outside, as in a cluster without
a cloud provider.
"""

from ipaddress import ip_address
from typing import Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from control_plane.resources.base import Condition, Model, ObjectMeta, Resource
from control_plane.resources.field import (
    ClusterIp,
    Count,
    Items,
    LabelName,
    Labels,
    NotSupported,
    Port,
    PortOrName,
    ServiceName,
    SubdomainName,
)

HEADLESS = "None"
"""`spec.clusterIP` of a Service without a virtual address."""


EXTERNAL_NAME = "ExternalName"
"""`spec.type` of a Service that is another name for a host elsewhere."""


WITH_NODE_PORTS = ("NodePort", "LoadBalancer")
"""`spec.type`s whose ports are open on every node."""
_LONGEST_AFFINITY = 86_400
"""Seconds, a day: Kubernetes' limit."""


class ServiceMeta(ObjectMeta):
    name: ServiceName


class ServicePort(Model):
    port: Port
    name: LabelName | None = None
    """Required when the Service has more than one port."""
    target_port: PortOrName | None = None
    """Number or container-port name; None means the same as `port`."""
    protocol: Literal["TCP", "UDP", "SCTP"] = "TCP"
    app_protocol: str = ""
    node_port: Port | Literal[0] | None = None
    """Allocated by the API server where the type needs one."""

    @property
    def target(self) -> int | str:
        """`targetPort` with its default."""
        return self.port if self.target_port is None else self.target_port


class ClientIpConfig(Model):
    timeout_seconds: int = Field(default=10_800, ge=1, le=_LONGEST_AFFINITY)


class SessionAffinityConfig(Model):
    client_ip: ClientIpConfig = Field(default=ClientIpConfig(), alias="clientIP")


class ServiceSpec(Model):
    type: Literal["ClusterIP", "NodePort", "LoadBalancer", "ExternalName"] = "ClusterIP"
    selector: Labels = Field(default_factory=dict)
    """Empty: nobody but the user writes EndpointSlices for it."""
    ports: Items[ServicePort] = ()
    cluster_ip: ClusterIp = ""
    """Allocated by the API server when empty; `"None"` is headless."""
    cluster_ips: Items[ClusterIp] = Field(default=(), max_length=2)
    """`clusterIP`, and the other family's where there is one."""
    ip_families: Items[Literal["IPv4", "IPv6"]] = Field(default=(), max_length=2)
    ip_family_policy: Literal["SingleStack", "PreferDualStack", "RequireDualStack"] | None = None
    session_affinity: Literal["None", "ClientIP"] = "None"
    """`ClientIP`: of connections that no sidecar takes; sidecars balance by TrafficPolicy."""
    session_affinity_config: SessionAffinityConfig | None = None
    internal_traffic_policy: Literal["Cluster", "Local"] = "Cluster"
    """`Local`: connections that no sidecar takes go to endpoints on their own node only."""
    external_traffic_policy: Literal["Cluster", "Local"] | None = None
    """`Local`: a node port leads to endpoints on its node only, which see the client's address."""
    allocate_load_balancer_node_ports: bool = True
    publish_not_ready_addresses: bool = False
    external_name: SubdomainName | None = None
    """Of type ExternalName: what the Service's name stands for. Requests are sent there with the Host that
    the client named."""
    external_ips: NotSupported = None
    load_balancer_ip: NotSupported = None
    load_balancer_class: NotSupported = None
    load_balancer_source_ranges: NotSupported = None
    health_check_node_port: NotSupported = None
    traffic_distribution: NotSupported = None

    @model_validator(mode="after")
    def _check_ports(self) -> Self:
        if not self.ports and self.cluster_ip != HEADLESS and self.type != EXTERNAL_NAME:
            raise PydanticCustomError(
                "invalid_value", "ports: at least one is required unless clusterIP is None"
            )
        names = [port.name for port in self.ports]
        if len(names) > 1 and None in names:
            raise PydanticCustomError("invalid_value", "ports: each of several ports needs a name")
        if len(set(names)) < len(names):
            raise PydanticCustomError("invalid_value", "ports: two ports have the same name")
        if len({(port.port, port.protocol) for port in self.ports}) < len(self.ports):
            raise PydanticCustomError("invalid_value", "ports: two ports have the same number and protocol")
        return self

    @model_validator(mode="after")
    def _check_external_name(self) -> Self:
        if (self.type == EXTERNAL_NAME) != (self.external_name is not None):
            raise PydanticCustomError(
                "invalid_value", "externalName: required with type ExternalName, and only with it"
            )
        if self.external_name is not None and self.cluster_ip not in ("", HEADLESS):
            raise PydanticCustomError("invalid_value", "clusterIP: not with type ExternalName")
        return self

    @model_validator(mode="after")
    def _check_addresses(self) -> Self:
        if self.cluster_ips and self.cluster_ips[0] != self.cluster_ip:
            raise PydanticCustomError("invalid_value", "clusterIPs[0]: must be the same as clusterIP")
        if HEADLESS in self.cluster_ips and len(self.cluster_ips) > 1:
            raise PydanticCustomError("invalid_value", "clusterIPs: 'None' stands alone")
        if len({ip_address(each).version for each in self.cluster_ips if each not in ("", HEADLESS)}) < len(
            [each for each in self.cluster_ips if each not in ("", HEADLESS)]
        ):
            raise PydanticCustomError("invalid_value", "clusterIPs: two addresses must be of two families")
        if len(set(self.ip_families)) < len(self.ip_families):
            raise PydanticCustomError("invalid_value", "ipFamilies: a family is there twice")
        return self

    @model_validator(mode="after")
    def _check_node_ports(self) -> Self:
        given = [(port.node_port, port.protocol) for port in self.ports if port.node_port]
        if given and self.type not in WITH_NODE_PORTS:
            raise PydanticCustomError(
                "invalid_value", "ports: nodePort may not be used when type is '{type}'", {"type": self.type}
            )
        if len(set(given)) < len(given):
            raise PydanticCustomError("invalid_value", "ports: two ports have the same nodePort and protocol")
        if self.external_traffic_policy is not None and self.type not in WITH_NODE_PORTS:
            raise PydanticCustomError(
                "invalid_value", "externalTrafficPolicy: only with type NodePort or LoadBalancer"
            )
        if self.cluster_ip == HEADLESS and self.type != "ClusterIP" and self.type != EXTERNAL_NAME:
            raise PydanticCustomError("invalid_value", "clusterIP: 'None' only with type ClusterIP")
        return self

    @model_validator(mode="after")
    def _check_affinity(self) -> Self:
        if self.session_affinity_config is not None and self.session_affinity == "None":
            raise PydanticCustomError(
                "invalid_value", "sessionAffinityConfig: only with sessionAffinity ClientIP"
            )
        return self

    @property
    def affinity_seconds(self) -> int:
        """How long a client stays with an endpoint; 0: not at all."""
        if self.session_affinity == "None":
            return 0
        config = self.session_affinity_config or SessionAffinityConfig()
        return config.client_ip.timeout_seconds

    @property
    def addresses(self) -> tuple[str, ...]:
        """The virtual addresses, none of a headless Service or another name for a host."""
        given = self.cluster_ips or (self.cluster_ip,)
        return tuple(address for address in given if address not in ("", HEADLESS))


class LoadBalancerPort(Model):
    port: Port
    protocol: Literal["TCP", "UDP", "SCTP"] = "TCP"
    error: str = ""


class LoadBalancerIngress(Model):
    """A place outside that leads to the Service; nobody here makes one."""

    ip: str = ""
    hostname: str = ""
    ip_mode: str = ""
    ports: Items[LoadBalancerPort] = ()


class LoadBalancerStatus(Model):
    ingress: Items[LoadBalancerIngress] = ()


class ServiceStatus(Model):
    load_balancer: LoadBalancerStatus = LoadBalancerStatus()
    conditions: Items[Condition] = ()
    observed_generation: Count = 0


class Service(Resource):
    """A name and an address for a changing set of Pods."""

    API_VERSION = "v1"
    KIND = "Service"

    api_version: Literal["v1"]
    kind: Literal["Service"]
    metadata: ServiceMeta
    spec: ServiceSpec
    status: ServiceStatus = ServiceStatus()
