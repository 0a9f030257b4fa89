"""gateway.networking.k8s.io/v1 Gateway (pure)."""

from typing import Annotated, Literal, Self, TypeAlias

from pydantic import AfterValidator, Field, model_validator

from control_plane.resources.base import Condition, Model, Resource
from control_plane.resources.field import (
    Annotations,
    Count,
    IpAddress,
    Items,
    LabelName,
    Labels,
    NotSupported,
    Port,
)
from control_plane.resources.gateway_field import AnyName, Group, Hostname, Kind, invalid, is_ip_address
from control_plane.resources.gateway_listener import Listeners, RouteGroupKind

_MAX_ADDRESSES = 16
_MAX_CONDITIONS = 8
_MAX_PROPERTIES = 8
_MAX_CA_REFERENCES = 8
_MAX_PORTS = 64


class GatewayAddress(Model):
    type: Literal["IPAddress", "Hostname"] = "IPAddress"
    value: Annotated[str, Field(max_length=253)] = ""
    """Empty: any address of the type."""

    @model_validator(mode="after")
    def _check_value(self) -> Self:
        if self.value and self.type == "IPAddress" and not is_ip_address(self.value):
            raise invalid("value: must be an IPv4 or IPv6 address")
        return self


def _distinct_addresses(addresses: tuple[GatewayAddress, ...]) -> tuple[GatewayAddress, ...]:
    for number, address in enumerate(addresses):
        if address.value and address in addresses[:number]:
            raise invalid(f"[{number}]: {address.type} {address.value} is listed twice")
    return addresses


class LocalParametersReference(Model):
    group: Group
    kind: Kind
    name: AnyName


class GatewayInfrastructure(Model):
    """What is made for the Gateway carries these."""

    labels: Annotated[Labels, Field(max_length=_MAX_PROPERTIES)] = Field(default_factory=dict)
    annotations: Annotated[Annotations, Field(max_length=_MAX_PROPERTIES)] = Field(default_factory=dict)
    parameters_ref: LocalParametersReference | None = None


class CaReference(Model):
    """A ConfigMap with `ca.crt`."""

    group: Group
    kind: Kind
    name: AnyName
    namespace: LabelName | None = None


class FrontendValidation(Model):
    ca_certificate_refs: Annotated[Items[CaReference], Field(min_length=1, max_length=_MAX_CA_REFERENCES)]
    mode: Literal["AllowValidOnly", "AllowInsecureFallback"] = "AllowValidOnly"


class FrontendTls(Model):
    validation: FrontendValidation | None = None
    """None: clients need no certificate."""


class PortFrontendTls(Model):
    port: Port
    tls: FrontendTls


def _distinct_ports(ports: tuple[PortFrontendTls, ...]) -> tuple[PortFrontendTls, ...]:
    for number, entry in enumerate(ports):
        if any(other.port == entry.port for other in ports[:number]):
            raise invalid(f"[{number}].port: {entry.port} is listed twice")
    return ports


class GatewayFrontend(Model):
    default: FrontendTls
    per_port: Annotated[
        Items[PortFrontendTls], Field(max_length=_MAX_PORTS), AfterValidator(_distinct_ports)
    ] = ()


class GatewayTls(Model):
    backend: NotSupported = None
    """A client certificate towards backends: to the mesh's own the Gateway shows its SPIFFE identity."""
    frontend: GatewayFrontend | None = None
    """Certificates of clients (GEP-91)."""


Addresses: TypeAlias = Annotated[
    Items[GatewayAddress], Field(max_length=_MAX_ADDRESSES), AfterValidator(_distinct_addresses)
]


class GatewaySpec(Model):
    gateway_class_name: AnyName
    listeners: Listeners
    addresses: Addresses = ()
    infrastructure: GatewayInfrastructure | None = None
    tls: GatewayTls | None = None
    allowed_listeners: NotSupported = None
    default_scope: NotSupported = None


class StatusAddress(Model):
    type: str = "IPAddress"
    value: Hostname | IpAddress


class ListenerStatus(Model):
    name: str
    supported_kinds: Items[RouteGroupKind] = ()
    attached_routes: Count = 0
    conditions: Annotated[Items[Condition], Field(max_length=_MAX_CONDITIONS)] = ()


class GatewayStatus(Model):
    addresses: Annotated[Items[StatusAddress], Field(max_length=_MAX_ADDRESSES)] = ()
    conditions: Annotated[Items[Condition], Field(max_length=_MAX_CONDITIONS)] = ()
    listeners: Annotated[Items[ListenerStatus], Field(max_length=64)] = ()
    attached_listener_sets: Count = 0
    observed_generation: Count = 0


class Gateway(Resource):
    """A way into the mesh for strangers: addresses, ports, and hosts."""

    API_VERSION = "gateway.networking.k8s.io/v1"
    KIND = "Gateway"

    api_version: Literal["gateway.networking.k8s.io/v1"]
    kind: Literal["Gateway"]
    spec: GatewaySpec
    status: GatewayStatus = GatewayStatus()
