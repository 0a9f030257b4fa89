"""gateway.networking.k8s.io/v1 BackendTLSPolicy: TLS from a gateway to a Service's pods (pure)."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from control_plane.resources.base import Model, Resource
from control_plane.resources.field import Items
from control_plane.resources.gateway_field import (
    AbsoluteUri,
    AnyName,
    Group,
    Hostname,
    Kind,
    PreciseHostname,
    SectionName,
    invalid,
)
from control_plane.resources.gateway_listener import Options
from control_plane.resources.target_ref import PolicyStatus

_MAX_TARGETS = 16
_MAX_CA_REFERENCES = 8
_MAX_NAMES = 5


class LocalObjectReference(Model):
    group: Group
    kind: Kind
    name: AnyName


class TlsTargetReference(LocalObjectReference):
    section_name: SectionName | None = None
    """Name of a Service's port; None: all."""


def _distinct(refs: tuple[TlsTargetReference, ...]) -> tuple[TlsTargetReference, ...]:
    for number, ref in enumerate(refs):
        for other in refs[:number]:
            if (ref.group, ref.kind, ref.name) != (other.group, other.kind, other.name):
                continue
            if ref.section_name is None or other.section_name is None:
                raise invalid(f"[{number}]: sectionName is required of several references to one target")
            if ref.section_name == other.section_name:
                raise invalid(f"[{number}].sectionName: {ref.section_name!r} is referred to twice")
    return refs


class SubjectAltName(Model):
    type: Literal["Hostname", "URI"]
    hostname: Hostname | None = None
    uri: AbsoluteUri | None = None

    @model_validator(mode="after")
    def _check_type(self) -> Self:
        values = {"Hostname": ("hostname", self.hostname), "URI": ("uri", self.uri)}
        for kind, (field, value) in values.items():
            if (kind == self.type) != (value is not None):
                raise invalid(f"{field}: required when type is {kind}, and only then")
        return self


class BackendTlsValidation(Model):
    ca_certificate_refs: Annotated[Items[LocalObjectReference], Field(max_length=_MAX_CA_REFERENCES)] = ()
    """ConfigMaps with `ca.crt`."""
    well_known_ca_certificates: Annotated[Literal["System", ""], Field(alias="wellKnownCACertificates")] = ""
    hostname: PreciseHostname
    """SNI, and the name in the certificate unless `subjectAltNames` says otherwise."""
    subject_alt_names: Annotated[Items[SubjectAltName], Field(max_length=_MAX_NAMES)] = ()

    @model_validator(mode="after")
    def _check_authorities(self) -> Self:
        if bool(self.ca_certificate_refs) == bool(self.well_known_ca_certificates):
            raise invalid("exactly one of caCertificateRefs and wellKnownCACertificates must be given")
        return self


class BackendTlsPolicySpec(Model):
    target_refs: Annotated[
        Items[TlsTargetReference], Field(min_length=1, max_length=_MAX_TARGETS), AfterValidator(_distinct)
    ]
    validation: BackendTlsValidation
    options: Options = Field(default_factory=dict)


class BackendTlsPolicy(Resource):
    """How sidecars and gateways speak TLS to a Service, and whom they trust there."""

    API_VERSION = "gateway.networking.k8s.io/v1"
    KIND = "BackendTLSPolicy"

    api_version: Literal["gateway.networking.k8s.io/v1"]
    kind: Literal["BackendTLSPolicy"]
    spec: BackendTlsPolicySpec
    status: PolicyStatus = PolicyStatus()
