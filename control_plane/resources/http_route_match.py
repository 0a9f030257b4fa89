"""Which requests a rule of an HTTPRoute is for: path, headers, query parameters, method (pure)."""

import re
from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from control_plane.resources.base import Model
from control_plane.resources.field import Items
from control_plane.resources.gateway_field import HeaderName, HeaderValue, invalid, regular_expression

_MAX_CONDITIONS = 16
_MAX_PATH_LENGTH = 1024
_FORBIDDEN_IN_PATH = ("//", "/./", "/../", "%2f", "%2F", "#", "?")
_PATH = re.compile(r"/([-A-Za-z0-9/._~!$&'()*+,;=:@]|%[0-9a-fA-F]{2})*")
"""The Gateway API's own rule; anything else could never be in a request, so the match would be dead."""

HttpMethod = Literal["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"]


def plain_path(value: str) -> str:
    """An absolute path that a request can have. Raises a refusal."""
    if not value.startswith("/"):
        raise invalid("must start with '/'")
    if value.endswith(("/..", "/.")) or any(part in value for part in _FORBIDDEN_IN_PATH):
        raise invalid("must be a plain absolute path, without query, dots or '//'")
    if not _PATH.fullmatch(value):
        raise invalid("must hold only the characters of a URL path; write others as %XX")
    return value


class HttpPathMatch(Model):
    type: Literal["Exact", "PathPrefix", "RegularExpression"] = "PathPrefix"
    """`PathPrefix` is of whole path elements; `RegularExpression` is RE2 and must match the whole path."""
    value: Annotated[str, Field(max_length=_MAX_PATH_LENGTH)] = "/"

    @field_validator("value")
    @classmethod
    def _check_value(cls, value: str, info: ValidationInfo) -> str:
        return regular_expression(value) if _is_regex(info) else plain_path(value)


def _is_regex(info: ValidationInfo) -> bool:
    """By the `type` beside the value; when that was refused, the value is not looked at as an expression."""
    return info.data.get("type") == "RegularExpression"


class _ValueMatch(Model):
    type: Literal["Exact", "RegularExpression"] = "Exact"
    """`RegularExpression` is RE2 and must match the whole value."""
    name: HeaderName


class HttpHeaderMatch(_ValueMatch):
    value: HeaderValue

    @field_validator("value")
    @classmethod
    def _check_value(cls, value: str, info: ValidationInfo) -> str:
        return regular_expression(value) if _is_regex(info) else value


class HttpQueryParamMatch(_ValueMatch):
    value: Annotated[str, Field(min_length=1, max_length=1024)]

    @field_validator("value")
    @classmethod
    def _check_value(cls, value: str, info: ValidationInfo) -> str:
        return regular_expression(value) if _is_regex(info) else value


M = TypeVar("M", bound=_ValueMatch)


def distinct_names(matches: tuple[M, ...]) -> tuple[M, ...]:
    """The schema's list-map key; names that differ in case only are left to precedence (first one counts)."""
    for number, match in enumerate(matches):
        if any(other.name == match.name for other in matches[:number]):
            raise invalid(f"[{number}].name: {match.name!r} is matched twice")
    return matches


class HttpRouteMatch(Model):
    """All of it must hold."""

    path: HttpPathMatch = HttpPathMatch()
    headers: Annotated[
        Items[HttpHeaderMatch], Field(max_length=_MAX_CONDITIONS), AfterValidator(distinct_names)
    ] = ()
    query_params: Annotated[
        Items[HttpQueryParamMatch], Field(max_length=_MAX_CONDITIONS), AfterValidator(distinct_names)
    ] = ()
    method: HttpMethod | None = None
