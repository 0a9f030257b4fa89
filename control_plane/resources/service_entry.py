"""meshproxy.io/v1alpha1 ServiceEntry: hosts outside the mesh, or in it without a Service (pure)."""

import ipaddress
import re
from typing import Annotated, Literal, Self, TypeAlias

from pydantic import AfterValidator, Field, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticCustomError

from control_plane.resources.base import Condition, Model, Resource
from control_plane.resources.field import (
    Count,
    EndpointAddress,
    Items,
    Port,
    PortName,
    SubdomainName,
)

Resolution: TypeAlias = Literal["STATIC", "DNS", "NONE"]
EntryProtocol: TypeAlias = Literal["HTTP", "TCP", "TLS"]
_MAX_HOSTS = 64
_LONGEST_NAME = 253
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


class EntryTls(Model):
    """The sidecar speaks TLS to the host, so that the app may speak plaintext and still be routed."""

    sni: SubdomainName | None = None
    """None: the host itself."""
    subject_alt_names: Annotated[Items[SubdomainName], Field(max_length=16)] = ()
    """DNS names, one of which the certificate must carry. Empty: the SNI."""


class EntryPort(Model):
    number: Port
    """What clients call."""
    name: PortName
    """Unique in the entry."""
    protocol: EntryProtocol = "TCP"
    """TLS: the app itself speaks TLS; its bytes pass through unread."""
    target_port: Port | None = None
    """Where endpoints listen. None: at `number`."""
    tls: EntryTls | None = None
    """TLS that the sidecar speaks in the app's place. None: bytes go as the app wrote them."""

    @field_validator("tls")
    @classmethod
    def _check_tls(cls, value: EntryTls | None, info: ValidationInfo) -> EntryTls | None:
        if value is not None and info.data.get("protocol") == "TLS":
            raise PydanticCustomError("invalid_value", "not with protocol TLS: the app has done it already")
        return value


def _host(value: str) -> str:
    """A DNS name, or one below which every name is meant."""
    bare = value.removeprefix("*.")
    if not _is_name(bare) or ("." not in bare and bare != value):
        raise _invalid("must be a DNS name in lower case, or *. and one")
    return value


class EntryEndpoint(Model):
    address: str
    """An IP address; with resolution DNS also a name."""
    ports: dict[PortName, Port] = Field(default_factory=dict)
    """Where a port of the entry is found there, by name."""
    weight: Annotated[int, Field(ge=1, le=10_000)] = 1
    """Its share of the requests, beside the others'."""
    service_account: SubdomainName | None = None
    """With location MESH_INTERNAL: who must answer there, by mesh TLS. None: whoever is the pod with this
    address; what is no pod of the mesh is reached as it is."""


EntryHostName: TypeAlias = Annotated[str, AfterValidator(_host)]


class ServiceEntrySpec(Model):
    hosts: Annotated[Items[EntryHostName], Field(min_length=1, max_length=_MAX_HOSTS)]
    """`*.example.com` stands for every name below; its endpoints are given, or with resolution NONE meant."""
    addresses: Annotated[Items[EndpointAddress], Field(max_length=_MAX_HOSTS)] = ()
    """Virtual addresses by which clients reach it: what tells TCP ports of different entries apart. TLS is
    told by the server name, too."""
    ports: Annotated[Items[EntryPort], Field(min_length=1, max_length=32)]
    """Of every host, and what is spoken there."""
    location: Literal["MESH_EXTERNAL", "MESH_INTERNAL"] = "MESH_EXTERNAL"
    """MESH_INTERNAL: endpoints that are pods of the mesh are called by mesh TLS."""
    resolution: Resolution
    """STATIC: endpoints are addresses. DNS: they, or the hosts themselves, are looked up. NONE: connections
    go where the client meant them to."""
    endpoints: Annotated[Items[EntryEndpoint], Field(max_length=1000, validate_default=True)] = ()
    """Where the hosts are found. Empty, with resolution DNS: by their names."""

    @field_validator("hosts")
    @classmethod
    def _check_hosts(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for number, host in enumerate(value):
            if host in value[:number]:
                raise _invalid(f"[{number}]: the same as one before it")
            if host.endswith(".svc.cluster.local"):
                raise _invalid(f"[{number}]: {host} is a Service's name; write a Service")
        return value

    @field_validator("ports")
    @classmethod
    def _check_ports(cls, value: tuple[EntryPort, ...]) -> tuple[EntryPort, ...]:
        for number, port in enumerate(value):
            before = value[:number]
            if any(port.number == one.number for one in before):
                raise _invalid(f"[{number}].number: {port.number} is there already")
            if any(port.name == one.name for one in before):
                raise _invalid(f"[{number}].name: {port.name} is there already")
        return value

    @field_validator("endpoints")
    @classmethod
    def _check_endpoints(
        cls, value: tuple[EntryEndpoint, ...], info: ValidationInfo
    ) -> tuple[EntryEndpoint, ...]:
        resolution = info.data.get("resolution")
        if resolution == "STATIC" and not value:
            raise _invalid("required with resolution STATIC")
        if resolution == "NONE" and value:
            raise _invalid("not with resolution NONE: connections go where the client meant them to")
        names = {port.name for port in info.data.get("ports", ())}
        for number, endpoint in enumerate(value):
            if resolution == "STATIC" and not _is_address(endpoint.address):
                raise _invalid(f"[{number}].address: must be an IP address with resolution STATIC")
            if resolution == "DNS" and not _is_address(endpoint.address) and not _is_name(endpoint.address):
                raise _invalid(f"[{number}].address: must be an IP address or a DNS name")
            if unknown := endpoint.ports.keys() - names:
                raise _invalid(f"[{number}].ports: no port of the entry is called {min(unknown)}")
        return value

    @model_validator(mode="after")
    def _check_tcp(self) -> Self:
        if self.resolution == "NONE" and any(port.tls or port.target_port for port in self.ports):
            raise _invalid("ports: tls and targetPort need resolution STATIC or DNS")
        if any(port.protocol == "TCP" for port in self.ports) and not self.addresses:
            raise _invalid("addresses: required for TCP ports: their clients name no host")
        return self

    @model_validator(mode="after")
    def _check_wildcards(self) -> Self:
        wild = next((host for host in self.hosts if host.startswith("*.")), "")
        if wild and self.resolution == "DNS" and not self.endpoints:
            raise _invalid(f"endpoints: required with resolution DNS: {wild} cannot be looked up")
        if wild and any(port.tls is not None and port.tls.sni is None for port in self.ports):
            raise _invalid(f"ports: tls.sni is required with {wild}: no server has that name")
        return self

    @model_validator(mode="after")
    def _check_location(self) -> Self:
        if self.location == "MESH_EXTERNAL":
            if any(endpoint.service_account for endpoint in self.endpoints):
                raise _invalid("endpoints: serviceAccount goes with location MESH_INTERNAL")
            return self
        if self.resolution == "NONE":
            raise _invalid("location: MESH_INTERNAL needs resolution STATIC or DNS")
        if any(port.tls is not None for port in self.ports):
            raise _invalid("ports: no tls with location MESH_INTERNAL: the mesh has its own")
        return self


class ServiceEntryStatus(Model):
    conditions: Items[Condition] = ()
    observed_generation: Count = 0


class ServiceEntry(Resource):
    """Hosts that no Service stands for, outside the mesh or in it."""

    API_VERSION = "meshproxy.io/v1alpha1"
    KIND = "ServiceEntry"

    api_version: Literal["meshproxy.io/v1alpha1"]
    kind: Literal["ServiceEntry"]
    spec: ServiceEntrySpec
    status: ServiceEntryStatus = ServiceEntryStatus()


def _invalid(message: str) -> PydanticCustomError:
    return PydanticCustomError("invalid_value", "{reason}", {"reason": message})


def _is_address(value: str) -> bool:
    try:
        address = ipaddress.ip_address(value)
    except ValueError:
        return False
    return not (
        address.is_loopback or address.is_link_local or address.is_unspecified or address.is_multicast
    )


def _is_name(value: str) -> bool:
    return len(value) <= _LONGEST_NAME and all(_LABEL.fullmatch(label) for label in value.split("."))
