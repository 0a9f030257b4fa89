"""gateway.networking.k8s.io/v1 GRPCRoute (pure); its rules for what fits together are the schema's own."""

import re
from typing import Annotated, Literal, Self, TypeAlias

from pydantic import AfterValidator, Field, ValidationInfo, field_validator, model_validator

from control_plane.resources.base import Model, Resource, wire_name
from control_plane.resources.field import Items, NotSupported
from control_plane.resources.gateway_field import (
    Hostname,
    SectionName,
    invalid,
    not_supported,
    regular_expression,
)
from control_plane.resources.http_route import SessionPersistence
from control_plane.resources.http_route_filter import HttpHeaderFilter, HttpRequestMirrorFilter
from control_plane.resources.http_route_match import HttpHeaderMatch, distinct_names
from control_plane.resources.route_reference import BackendRef, ParentRefs, RouteStatus

# Limits of the Gateway API's own schema.
_MAX_RULES = 16
_MAX_MATCHES = 64
_MAX_MATCHES_OF_ALL_RULES = 128
_MAX_BACKENDS = 16
_MAX_HOSTNAMES = 16
_MAX_FILTERS = 16
_MAX_HEADERS = 16
_MAX_NAME = 1024

_SERVICE = re.compile(r"\.?[A-Za-z_][A-Za-z_0-9]*(\.[A-Za-z_][A-Za-z_0-9]*)*")
_METHOD = re.compile(r"[A-Za-z_][A-Za-z_0-9]*")


class GrpcMethodMatch(Model):
    """Service and method of a call; what is not given matches every one."""

    type: Literal["Exact", "RegularExpression"] = "Exact"
    """`RegularExpression` is RE2 and must match the whole service, or the whole method."""
    service: Annotated[str, Field(max_length=_MAX_NAME)] | None = None
    """With its package, e.g. `shop.v1.Catalog`."""
    method: Annotated[str, Field(max_length=_MAX_NAME)] | None = None

    @field_validator("service", "method")
    @classmethod
    def _check_name(cls, value: str | None, info: ValidationInfo) -> str | None:
        if not value or "type" not in info.data:
            return value
        if info.data["type"] == "RegularExpression":
            regular_expression(f"(?:{value})")  # as it is used: nothing in it may reach beyond it
            return regular_expression(value)
        pattern, what = (
            (_SERVICE, "names of letters, digits and '_', joined by '.'")
            if info.field_name == "service"
            else (_METHOD, "letters, digits and '_'")
        )
        if not pattern.fullmatch(value):
            raise invalid(f"must be {what}, not beginning with a digit")
        return value

    @model_validator(mode="after")
    def _check_given(self) -> Self:
        if not self.service and not self.method:
            raise invalid("one or both of service and method must be given")
        return self


class GrpcRouteMatch(Model):
    """All of it must hold."""

    method: GrpcMethodMatch | None = None
    headers: Annotated[
        Items[HttpHeaderMatch], Field(max_length=_MAX_HEADERS), AfterValidator(distinct_names)
    ] = ()


_FIELD_OF_TYPE = {
    "RequestHeaderModifier": "request_header_modifier",
    "ResponseHeaderModifier": "response_header_modifier",
    "RequestMirror": "request_mirror",
}


def _filter_type(value: str) -> str:
    if value == "ExtensionRef":
        raise not_supported(f"{value} is not supported: there are no such filters here")
    if value not in _FIELD_OF_TYPE:
        raise invalid(f"must be one of {', '.join(_FIELD_OF_TYPE)}")
    return value


class GrpcRouteFilter(Model):
    """One filter: `type`, and the one field of that type."""

    type: Annotated[str, AfterValidator(_filter_type)]
    request_header_modifier: HttpHeaderFilter | None = None
    response_header_modifier: HttpHeaderFilter | None = None
    request_mirror: HttpRequestMirrorFilter | None = None
    extension_ref: NotSupported = None

    @model_validator(mode="after")
    def _check_union(self) -> Self:
        for kind, field in _FIELD_OF_TYPE.items():
            is_given = getattr(self, field) is not None
            if kind == self.type and not is_given:
                raise invalid(f"{wire_name(field)}: required when type is {kind}")
            if kind != self.type and is_given:
                raise invalid(f"{wire_name(field)}: only allowed when type is {kind}")
        return self


def _not_repeated(filters: tuple[GrpcRouteFilter, ...]) -> tuple[GrpcRouteFilter, ...]:
    types = [one.type for one in filters if one.type != "RequestMirror"]
    for kind in types:
        if types.count(kind) > 1:
            raise invalid(f"{kind} filter cannot be repeated")
    return filters


GrpcFilters: TypeAlias = Annotated[
    Items[GrpcRouteFilter], Field(max_length=_MAX_FILTERS), AfterValidator(_not_repeated)
]


class GrpcBackendRef(BackendRef):
    filters: GrpcFilters = ()
    """Run only for calls that go to this backend."""


class GrpcRouteRule(Model):
    name: SectionName | None = None
    matches: Annotated[Items[GrpcRouteMatch], Field(max_length=_MAX_MATCHES)] = ()
    """Any of them; none at all matches every call."""
    filters: GrpcFilters = ()
    backend_refs: Annotated[Items[GrpcBackendRef], Field(max_length=_MAX_BACKENDS)] = ()
    session_persistence: SessionPersistence | None = None


def _fitting(rules: tuple[GrpcRouteRule, ...]) -> tuple[GrpcRouteRule, ...]:
    names = [rule.name for rule in rules if rule.name is not None]
    for name in names:
        if names.count(name) > 1:
            raise invalid(f"rule name {name!r} must be unique within the route")
    if (count := sum(len(rule.matches) for rule in rules)) > _MAX_MATCHES_OF_ALL_RULES:
        raise invalid(f"{count} matches in all rules; at most {_MAX_MATCHES_OF_ALL_RULES} are possible")
    return rules


class GrpcRouteSpec(Model):
    parent_refs: ParentRefs = ()
    hostnames: Annotated[Items[Hostname], Field(max_length=_MAX_HOSTNAMES)] = ()
    """Host a call must name; a mesh client names the Service, so Services as parents ignore them."""
    rules: Annotated[Items[GrpcRouteRule], Field(max_length=_MAX_RULES), AfterValidator(_fitting)] = ()
    use_default_gateways: NotSupported = None


class GrpcRoute(Resource):
    """Where calls to a Service, or of a Gateway, go: by service, method and headers."""

    API_VERSION = "gateway.networking.k8s.io/v1"
    KIND = "GRPCRoute"

    api_version: Literal["gateway.networking.k8s.io/v1"]
    kind: Literal["GRPCRoute"]
    spec: GrpcRouteSpec
    status: RouteStatus = RouteStatus()
