"""Listeners of a Gateway: ports, protocols, hostnames, certificates, and which routes they take (pure)."""

import re
from typing import Annotated, Literal, Self, TypeAlias

from pydantic import AfterValidator, Field, model_validator

from control_plane.resources.base import Model
from control_plane.resources.field import Items, LabelKey, LabelName, Port
from control_plane.resources.gateway_field import AnyName, Group, Hostname, Kind, SectionName, invalid
from control_plane.resources.label_selector import LabelSelector
from control_plane.resources.route_reference import GATEWAY_GROUP

# Limits of the Gateway API's own schema.
_MAX_LISTENERS = 64
_MAX_CERTIFICATES = 64
_MAX_OPTIONS = 16
_MAX_KINDS = 8
_MAX_OPTION_VALUE = 4096
_PROTOCOL = re.compile(
    r"[a-zA-Z0-9]([-a-zA-Z0-9]*[a-zA-Z0-9])?|[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
    r"/[A-Za-z0-9]+"
)


def _protocol(value: str) -> str:
    if not 1 <= len(value) <= 255 or not _PROTOCOL.fullmatch(value):
        raise invalid("must be HTTP, HTTPS, TLS, TCP, UDP, or a name with a domain such as example.com/proto")
    return value


class SecretReference(Model):
    """A Secret with a certificate; another namespace must allow it with a ReferenceGrant."""

    group: Group = ""
    kind: Kind = "Secret"
    name: AnyName
    namespace: LabelName | None = None


Options: TypeAlias = Annotated[
    dict[LabelKey, Annotated[str, Field(max_length=_MAX_OPTION_VALUE)]], Field(max_length=_MAX_OPTIONS)
]


class ListenerTls(Model):
    mode: Literal["Terminate", "Passthrough"] = "Terminate"
    certificate_refs: Annotated[Items[SecretReference], Field(max_length=_MAX_CERTIFICATES)] = ()
    options: Options = Field(default_factory=dict)

    @model_validator(mode="after")
    def _check_certificates(self) -> Self:
        if self.mode == "Terminate" and not self.certificate_refs and not self.options:
            raise invalid("certificateRefs: at least one certificate, or options, when mode is Terminate")
        return self


class RouteNamespaces(Model):
    from_: Literal["All", "Selector", "Same", "None"] = "Same"
    selector: LabelSelector | None = None
    """Of namespaces by their labels; only with `from: Selector`."""


class RouteGroupKind(Model):
    group: Group = GATEWAY_GROUP
    kind: Kind


class AllowedRoutes(Model):
    namespaces: RouteNamespaces = RouteNamespaces()
    kinds: Annotated[Items[RouteGroupKind], Field(max_length=_MAX_KINDS)] = ()
    """Empty: all kinds that the listener's protocol carries."""


class Listener(Model):
    name: SectionName
    hostname: Hostname | None = None
    """None: every host."""
    port: Port
    protocol: Annotated[str, AfterValidator(_protocol)]
    tls: ListenerTls | None = None
    allowed_routes: AllowedRoutes = AllowedRoutes()

    @model_validator(mode="after")
    def _check_protocol(self) -> Self:
        if self.tls is not None and self.protocol in ("HTTP", "TCP", "UDP"):
            raise invalid(f"tls: not possible with protocol {self.protocol}")
        if self.tls is not None and self.protocol == "HTTPS" and self.tls.mode != "Terminate":
            raise invalid("tls.mode: must be Terminate for protocol HTTPS")
        if self.protocol == "TLS" and (self.tls is None or "mode" not in self.tls.model_fields_set):
            raise invalid("tls.mode: must be set for protocol TLS")
        if self.hostname is not None and self.protocol in ("TCP", "UDP"):
            raise invalid(f"hostname: not possible with protocol {self.protocol}")
        return self


def _distinct(listeners: tuple[Listener, ...]) -> tuple[Listener, ...]:
    names: set[str] = set()
    places: set[tuple[int, str, str | None]] = set()
    for number, listener in enumerate(listeners):
        if listener.name in names:
            raise invalid(f"[{number}].name: {listener.name!r} must be unique within the Gateway")
        place = (listener.port, listener.protocol, listener.hostname)
        if place in places:
            raise invalid(f"[{number}]: another listener has the same port, protocol and hostname")
        names.add(listener.name)
        places.add(place)
    return listeners


Listeners: TypeAlias = Annotated[
    Items[Listener], Field(min_length=1, max_length=_MAX_LISTENERS), AfterValidator(_distinct)
]
