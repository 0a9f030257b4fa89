"""discovery.k8s.io/v1 EndpointSlice (pure)."""

import ipaddress
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from control_plane.resources.base import Model, Resource
from control_plane.resources.field import EndpointAddress, Items, LabelName, Port

SERVICE_NAME_LABEL = "kubernetes.io/service-name"
"""Label of an EndpointSlice: the Service it belongs to."""
_MAX_ENDPOINTS = 1000
_MAX_PORTS = 100
_VERSIONS = {"IPv4": 4, "IPv6": 6}


class EndpointConditions(Model):
    """None means unknown, which consumers read as ready and serving, and as not terminating."""

    ready: bool | None = None
    serving: bool | None = None
    terminating: bool | None = None


class ObjectReference(Model):
    kind: str = ""
    name: str = ""
    namespace: str = ""
    uid: str = ""
    api_version: str = ""
    resource_version: str = ""
    field_path: str = ""


class NamedHint(Model):
    name: str


class EndpointHints(Model):
    for_zones: Items[NamedHint] = ()
    for_nodes: Items[NamedHint] = ()


class Endpoint(Model):
    addresses: Annotated[Items[EndpointAddress], Field(min_length=1, max_length=100)]
    """All of them reach the same endpoint; consumers use the first."""
    conditions: EndpointConditions = EndpointConditions()
    hostname: LabelName | None = None
    target_ref: ObjectReference | None = None
    node_name: str = ""
    zone: str = ""
    deprecated_topology: dict[str, str] = Field(default_factory=dict)
    """Written by none any more."""
    hints: EndpointHints = EndpointHints()
    """Read by nobody here: which zone goes where is worked out from the places themselves."""

    @property
    def is_ready(self) -> bool:
        """Takes new traffic."""
        return self.conditions.ready is not False

    @property
    def is_leaving(self) -> bool:
        """Its Pod is being deleted and still answers: new traffic only where there is nobody else."""
        return bool(self.conditions.terminating) and self.conditions.serving is not False


class EndpointPort(Model):
    name: LabelName | Literal[""] = ""
    """Name of the Service's port that this port serves."""
    port: Port | None = None
    protocol: Literal["TCP", "UDP", "SCTP"] = "TCP"
    app_protocol: str = ""


class EndpointSlice(Resource):
    """Addresses at which a Service is found, and their ports."""

    API_VERSION = "discovery.k8s.io/v1"
    KIND = "EndpointSlice"

    api_version: Literal["discovery.k8s.io/v1"]
    kind: Literal["EndpointSlice"]
    address_type: Literal["IPv4", "IPv6"]
    endpoints: Annotated[Items[Endpoint], Field(max_length=_MAX_ENDPOINTS)] = ()
    ports: Annotated[Items[EndpointPort], Field(max_length=_MAX_PORTS)] = ()

    @model_validator(mode="after")
    def _check_families(self) -> Self:
        for number, endpoint in enumerate(self.endpoints):
            for address in endpoint.addresses:
                if ipaddress.ip_address(address).version != _VERSIONS[self.address_type]:
                    raise PydanticCustomError(
                        "invalid_value",
                        "endpoints[{number}].addresses: {address} is not of addressType {family}",
                        {"number": number, "address": address, "family": self.address_type},
                    )
        return self

    @property
    def service_name(self) -> str:
        """Name of the Service this slice belongs to; empty when it carries no such label."""
        return self.metadata.labels.get(SERVICE_NAME_LABEL, "")
