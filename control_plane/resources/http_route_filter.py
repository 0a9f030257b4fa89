"""What a rule of an HTTPRoute, or one backend of it, does to requests besides sending them on (pure)."""

import re
from collections.abc import Sequence
from typing import Annotated, Literal, Self, TypeAlias

from pydantic import AfterValidator, Field, model_validator

from control_plane.resources.base import Model, wire_name
from control_plane.resources.field import Items, NotSupported, Port
from control_plane.resources.gateway_field import (
    HeaderName,
    HeaderValue,
    PreciseHostname,
    invalid,
    not_supported,
)
from control_plane.resources.http_route_match import HttpMethod
from control_plane.resources.route_reference import BackendObjectReference, unique

_MAX_FILTERS = 16
_MAX_HEADERS = 16
_MAX_CORS_ENTRIES = 64
_MAX_REPLACEMENT = 1024
_HIGHEST_INT32 = 2**31 - 1
_ORIGIN = re.compile(r"\*|https?://(((\*\.)?([a-zA-Z0-9\-]+\.)*[a-zA-Z0-9-]+|\*)(:([0-9]{1,5}))?)")
_REPLACEMENT = re.compile(r"([-A-Za-z0-9/._~!$&'()*+,;=:@]|%[0-9a-fA-F]{2})*")


class HttpHeader(Model):
    name: HeaderName
    value: HeaderValue


def _distinct_headers(headers: tuple[HttpHeader, ...]) -> tuple[HttpHeader, ...]:
    unique("header")(tuple(header.name for header in headers))
    return headers


Headers: TypeAlias = Annotated[
    Items[HttpHeader], Field(max_length=_MAX_HEADERS), AfterValidator(_distinct_headers)
]


class HttpHeaderFilter(Model):
    """Of one header only one change is allowed, whatever the case of its name."""

    set: Headers = ()
    add: Headers = ()
    """Appends to what is there."""
    remove: Annotated[
        Items[HeaderName], Field(max_length=_MAX_HEADERS), AfterValidator(unique("header"))
    ] = ()

    @model_validator(mode="after")
    def _check_names(self) -> Self:
        names = [header.name.lower() for header in (*self.set, *self.add)]
        names += [name.lower() for name in self.remove]
        for name in names:
            if names.count(name) > 1:
                raise invalid(
                    f"header {name!r} is changed twice: only one of set, add and remove is possible"
                )
        return self


def _replacement(value: str) -> str:
    if not _REPLACEMENT.fullmatch(value):
        raise invalid("must hold only the characters of a URL path; write others as %XX")
    return value


Replacement: TypeAlias = Annotated[str, Field(max_length=_MAX_REPLACEMENT), AfterValidator(_replacement)]


class HttpPathModifier(Model):
    type: Literal["ReplaceFullPath", "ReplacePrefixMatch"]
    replace_full_path: Replacement | None = None
    replace_prefix_match: Replacement | None = None
    """What takes the place of the matched prefix; a slash at its end is ignored."""

    @model_validator(mode="after")
    def _check_type(self) -> Self:
        values = {"ReplaceFullPath": self.replace_full_path, "ReplacePrefixMatch": self.replace_prefix_match}
        for kind, value in values.items():
            field = kind[0].lower() + kind[1:]
            if kind == self.type and value is None:
                raise invalid(f"{field}: required when type is {kind}")
            if kind != self.type and value is not None:
                raise invalid(f"{field}: only allowed when type is {kind}")
        return self


class HttpRequestRedirectFilter(Model):
    scheme: Literal["http", "https"] | None = None
    hostname: PreciseHostname | None = None
    path: HttpPathModifier | None = None
    port: Port | None = None
    """None: the scheme's own port if `scheme` is given, else the one that was asked."""
    status_code: Literal[301, 302, 303, 307, 308] = 302


class HttpUrlRewriteFilter(Model):
    hostname: PreciseHostname | None = None
    path: HttpPathModifier | None = None


class Fraction(Model):
    numerator: Annotated[int, Field(ge=0, le=_HIGHEST_INT32)]
    denominator: Annotated[int, Field(ge=1, le=_HIGHEST_INT32)] = 100

    @model_validator(mode="after")
    def _check_size(self) -> Self:
        if self.numerator > self.denominator:
            raise invalid("numerator: must be less than or equal to denominator")
        return self


class HttpRequestMirrorFilter(Model):
    backend_ref: BackendObjectReference
    percent: Annotated[int, Field(ge=0, le=100)] | None = None
    fraction: Fraction | None = None

    @model_validator(mode="after")
    def _check_share(self) -> Self:
        if self.percent is not None and self.fraction is not None:
            raise invalid("only one of percent and fraction may be given")
        return self


def _origin(value: str) -> str:
    if len(value) > 253 or not _ORIGIN.fullmatch(value):
        raise invalid(
            "must be * or <scheme>://<host>(:<port>), scheme http or https, host with * at its left"
        )
    return value


def _lonely_star(values: tuple[str, ...]) -> tuple[str, ...]:
    if "*" in values and len(values) > 1:
        raise invalid("'*' must stand alone")
    return values


_Set = (Field(max_length=_MAX_CORS_ENTRIES), AfterValidator(unique("value")))
Origin: TypeAlias = Annotated[str, AfterValidator(_origin)]


class HttpCorsFilter(Model):
    """Cross-origin requests that a browser may send (WHATWG Fetch)."""

    allow_origins: Annotated[Items[Origin], *_Set, AfterValidator(_lonely_star)] = ()
    """`*` in a host stands for any number of labels at its left."""
    allow_credentials: bool = False
    allow_methods: Annotated[
        Items[HttpMethod | Literal["*"]],
        Field(max_length=9),
        AfterValidator(unique("method")),
        AfterValidator(_lonely_star),
    ] = ()
    allow_headers: Annotated[Items[HeaderName], *_Set, AfterValidator(_lonely_star)] = ()
    expose_headers: Annotated[Items[HeaderName], *_Set] = ()
    max_age: Annotated[int, Field(ge=1, le=_HIGHEST_INT32)] = 5
    """Seconds a browser may keep the answer to a preflight."""


_FIELD_OF_TYPE = {
    "RequestHeaderModifier": "request_header_modifier",
    "ResponseHeaderModifier": "response_header_modifier",
    "RequestMirror": "request_mirror",
    "RequestRedirect": "request_redirect",
    "URLRewrite": "url_rewrite",
    "CORS": "cors",
}


def _filter_type(value: str) -> str:
    if value in ("ExtensionRef", "ExternalAuth"):
        raise not_supported(f"{value} is not supported: there are no such filters here")
    if value not in _FIELD_OF_TYPE:
        raise invalid(f"must be one of {', '.join(_FIELD_OF_TYPE)}")
    return value


class HttpRouteFilter(Model):
    """One filter: `type`, and the one field of that type."""

    type: Annotated[str, AfterValidator(_filter_type)]
    request_header_modifier: HttpHeaderFilter | None = None
    response_header_modifier: HttpHeaderFilter | None = None
    request_mirror: HttpRequestMirrorFilter | None = None
    request_redirect: HttpRequestRedirectFilter | None = None
    url_rewrite: HttpUrlRewriteFilter | None = None
    cors: HttpCorsFilter | None = None
    extension_ref: NotSupported = None
    external_auth: NotSupported = None

    @model_validator(mode="after")
    def _check_union(self) -> Self:
        for kind, field in _FIELD_OF_TYPE.items():
            is_given = getattr(self, field) is not None
            if kind == self.type and not is_given:
                raise invalid(f"{wire_name(field)}: required when type is {kind}")
            if kind != self.type and is_given:
                raise invalid(f"{wire_name(field)}: only allowed when type is {kind}")
        return self


def _compatible(filters: tuple[HttpRouteFilter, ...]) -> tuple[HttpRouteFilter, ...]:
    types = [one.type for one in filters]
    for kind in types:
        if kind != "RequestMirror" and types.count(kind) > 1:
            raise invalid(f"{kind} filter cannot be repeated")
    if "RequestRedirect" in types and "URLRewrite" in types:
        raise invalid("RequestRedirect and URLRewrite cannot be combined")
    return filters


Filters: TypeAlias = Annotated[
    Items[HttpRouteFilter], Field(max_length=_MAX_FILTERS), AfterValidator(_compatible)
]


def replaces_prefix(filters: Sequence[HttpRouteFilter]) -> bool:
    """Whether a filter replaces the matched prefix, which needs a match that has one."""
    modifiers = [
        change.path for one in filters if (change := one.request_redirect or one.url_rewrite) is not None
    ]
    return any(path is not None and path.type == "ReplacePrefixMatch" for path in modifiers)
