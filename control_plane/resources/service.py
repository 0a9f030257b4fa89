"""core/v1 Service, of types ClusterIP and ExternalName (pure)."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from control_plane.resources.base import Condition, Model, ObjectMeta, Resource
from control_plane.resources.field import (
    ClusterIp,
    Count,
    Items,
    Labels,
    NotSupported,
    Port,
    PortName,
    PortOrName,
    ServiceName,
    SubdomainName,
)

HEADLESS = "None"
"""`spec.clusterIP` of a Service without a virtual address."""


EXTERNAL_NAME = "ExternalName"
"""`spec.type` of a Service that is another name for a host elsewhere."""


def _known_type(value: str) -> str:
    if value not in ("ClusterIP", EXTERNAL_NAME):
        raise PydanticCustomError("not_supported", "only ClusterIP and ExternalName are supported yet")
    return value


class ServiceMeta(ObjectMeta):
    name: ServiceName


class ServicePort(Model):
    port: Port
    name: PortName | None = None
    """Required when the Service has more than one port."""
    target_port: PortOrName | None = None
    """Number or container-port name; None means the same as `port`."""
    protocol: Literal["TCP", "UDP", "SCTP"] = "TCP"
    app_protocol: str = ""
    node_port: NotSupported = None

    @property
    def target(self) -> int | str:
        """`targetPort` with its default."""
        return self.port if self.target_port is None else self.target_port


class ServiceSpec(Model):
    type: Annotated[str, AfterValidator(_known_type)] = "ClusterIP"
    selector: Labels = Field(default_factory=dict)
    """Empty: nobody but the user writes EndpointSlices for it."""
    ports: Items[ServicePort] = ()
    cluster_ip: ClusterIp = ""
    """Allocated by the API server when empty; `"None"` is headless."""
    cluster_ips: Items[ClusterIp] = ()
    ip_families: Items[Literal["IPv4"]] = ()
    ip_family_policy: Literal["SingleStack", "PreferDualStack"] = "SingleStack"
    session_affinity: Literal["None"] = "None"
    internal_traffic_policy: Literal["Cluster"] = "Cluster"
    publish_not_ready_addresses: bool = False
    external_name: SubdomainName | None = None
    """Of type ExternalName: what the Service's name stands for. Requests are sent there with the Host that
    the client named."""
    external_ips: NotSupported = None
    load_balancer_ip: NotSupported = None
    load_balancer_class: NotSupported = None
    load_balancer_source_ranges: NotSupported = None
    external_traffic_policy: NotSupported = None
    session_affinity_config: NotSupported = None
    health_check_node_port: NotSupported = None
    allocate_load_balancer_node_ports: NotSupported = None
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
        if self.cluster_ips and self.cluster_ips != (self.cluster_ip,):
            raise PydanticCustomError(
                "invalid_value", "clusterIPs: must be exactly [clusterIP] (single stack)"
            )
        return self


class ServiceStatus(Model):
    load_balancer: dict[str, str] = Field(default_factory=dict)
    conditions: Items[Condition] = ()
    observed_generation: Count = 0


class Service(Resource):
    API_VERSION = "v1"
    KIND = "Service"

    api_version: Literal["v1"]
    kind: Literal["Service"]
    metadata: ServiceMeta
    spec: ServiceSpec
    status: ServiceStatus = ServiceStatus()
