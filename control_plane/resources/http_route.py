"""gateway.networking.k8s.io/v1 HTTPRoute for Services (GAMMA): path matches and weighted backends (pure)."""

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from control_plane.resources.base import Condition, Model, Resource
from control_plane.resources.field import (
    Count,
    Items,
    LabelName,
    NotSupported,
    Port,
    ServiceName,
    SubdomainName,
)

# Limits of the Gateway API's own schema.
MAX_PARENTS = 32
_MAX_RULES = 16
_MAX_MATCHES = 64
_MAX_BACKENDS = 16
_MAX_WEIGHT = 1_000_000
_MAX_PATH_LENGTH = 1024
_FORBIDDEN_IN_PATH = ("//", "/./", "/../", "%2f", "%2F", "#", "?")


_PATH = re.compile(r"/([-A-Za-z0-9/._~!$&'()*+,;=:@]|%[0-9a-fA-F]{2})*")
"""The Gateway API's own rule; anything else could never be in a request, so the match would be dead."""


def _core_group(value: str) -> str:
    if value != "":
        raise PydanticCustomError("not_supported", 'only group "" (kind Service) is supported yet')
    return value


def _service_kind(value: str) -> str:
    if value != "Service":
        raise PydanticCustomError("not_supported", "only kind Service is supported yet")
    return value


def _path_match_type(value: str) -> str:
    if value == "RegularExpression":
        raise PydanticCustomError("not_supported", "RegularExpression is not supported yet")
    if value not in ("Exact", "PathPrefix"):
        raise PydanticCustomError("invalid_value", "must be Exact or PathPrefix")
    return value


def _path_value(value: str) -> str:
    if not value.startswith("/"):
        raise PydanticCustomError("invalid_value", "must start with '/'")
    if value.endswith(("/..", "/.")) or any(part in value for part in _FORBIDDEN_IN_PATH):
        raise PydanticCustomError(
            "invalid_value", "must be a plain absolute path, without query, dots or '//'"
        )
    if not _PATH.fullmatch(value):
        raise PydanticCustomError(
            "invalid_value", "must hold only the characters of a URL path; write others as %XX"
        )
    return value


CoreGroup = Annotated[str, AfterValidator(_core_group)]
ServiceKind = Annotated[str, AfterValidator(_service_kind)]


class ParentReference(Model):
    """The Service whose clients this route is for. Both default to a Gateway, so are required."""

    group: CoreGroup
    kind: ServiceKind
    name: ServiceName
    namespace: LabelName | None = None
    """None: the route's own namespace."""
    port: Port | None = None
    """None: every port of the Service."""
    section_name: NotSupported = None


class HttpPathMatch(Model):
    type: Annotated[str, AfterValidator(_path_match_type)] = "PathPrefix"
    """`Exact` or `PathPrefix` (whole path elements)."""
    value: Annotated[str, AfterValidator(_path_value), Field(max_length=_MAX_PATH_LENGTH)] = "/"


class HttpRouteMatch(Model):
    path: HttpPathMatch = HttpPathMatch()
    headers: NotSupported = None
    query_params: NotSupported = None
    method: NotSupported = None


class HttpBackendRef(Model):
    name: ServiceName
    port: Port
    group: CoreGroup = ""
    kind: ServiceKind = "Service"
    namespace: LabelName | None = None
    """None: the route's own namespace."""
    weight: Annotated[int, Field(ge=0, le=_MAX_WEIGHT)] = 1
    """Share of the rule's total; 0 receives nothing."""
    filters: NotSupported = None


class HttpRouteRule(Model):
    name: SubdomainName | None = None
    matches: Annotated[Items[HttpRouteMatch], Field(max_length=_MAX_MATCHES)] = (HttpRouteMatch(),)
    backend_refs: Annotated[Items[HttpBackendRef], Field(max_length=_MAX_BACKENDS)] = ()
    filters: NotSupported = None
    timeouts: NotSupported = None
    retry: NotSupported = None
    session_persistence: NotSupported = None


class HttpRouteSpec(Model):
    parent_refs: Annotated[Items[ParentReference], Field(min_length=1, max_length=MAX_PARENTS)]
    rules: Annotated[Items[HttpRouteRule], Field(min_length=1, max_length=_MAX_RULES)]
    hostnames: NotSupported = None
    use_default_gateways: NotSupported = None

    @model_validator(mode="after")
    def _check_parents(self) -> Self:
        seen = set()
        for number, ref in enumerate(self.parent_refs):
            if (named := (ref.namespace, ref.name, ref.port)) in seen:
                raise PydanticCustomError(
                    "invalid_value", "parentRefs[{number}]: the same as one before it", {"number": number}
                )
            seen.add(named)
        return self


class StatusParentReference(Model):
    """A `parentRef` as repeated in status."""

    group: str = "gateway.networking.k8s.io"
    kind: str = "Gateway"
    name: str
    namespace: str | None = None
    port: Port | None = None
    section_name: str | None = None


class RouteParentStatus(Model):
    parent_ref: StatusParentReference
    controller_name: str
    conditions: Items[Condition] = ()


class HttpRouteStatus(Model):
    parents: Annotated[Items[RouteParentStatus], Field(max_length=MAX_PARENTS)] = ()
    observed_generation: Count = 0


class HttpRoute(Resource):
    API_VERSION = "gateway.networking.k8s.io/v1"
    KIND = "HTTPRoute"

    api_version: Literal["gateway.networking.k8s.io/v1"]
    kind: Literal["HTTPRoute"]
    spec: HttpRouteSpec
    status: HttpRouteStatus = HttpRouteStatus()
