"""Field types of the Gateway API's kinds: names, hostnames, durations, header names (pure).

Limits and patterns are those of the Gateway API v1 schemas (`apis/v1/shared_types.go`).
"""

import ipaddress
import re
from typing import Annotated, TypeAlias

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

_GROUP = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_KIND = re.compile(r"[a-zA-Z]([-a-zA-Z0-9]*[a-zA-Z0-9])?")
_CONTROLLER = re.compile(
    r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/[A-Za-z0-9/\-._~%!$&'()*+,;=:]+"
)
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+\-.^_`|~]+")
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e\x80-\U0010ffff]+")
_DURATION = re.compile(r"([0-9]{1,5}(h|m|s|ms)){1,4}")
_DURATION_PART = re.compile(r"([0-9]+)(h|ms|m|s)")
_MILLISECONDS = {"h": 3_600_000, "m": 60_000, "s": 1_000, "ms": 1}
_ABSOLUTE_URI = re.compile(r"(([^:/?#]+):)(//([^/?#]*))([^?#]*)(\?([^#]*))?(#(.*))?")
_LONGEST_NAME = 253


def invalid(message: str) -> PydanticCustomError:
    """A refusal; braces in `message` are no template."""
    return PydanticCustomError("invalid_value", "{reason}", {"reason": message})


def not_supported(message: str) -> PydanticCustomError:
    """A value that the standard knows and this version does not act on."""
    return PydanticCustomError("not_supported", "{reason}", {"reason": message})


def _group(value: str) -> str:
    if value and (len(value) > _LONGEST_NAME or not _GROUP.fullmatch(value)):
        raise invalid("must be empty (core) or an API group such as gateway.networking.k8s.io")
    return value


def _kind(value: str) -> str:
    if len(value) > 63 or not _KIND.fullmatch(value):
        raise invalid("must be a kind: at most 63 letters, digits and '-', starting with a letter")
    return value


def _section_name(value: str) -> str:
    if len(value) > _LONGEST_NAME or not _GROUP.fullmatch(value):
        raise invalid("must be a lower-case RFC 1123 subdomain of at most 253 characters")
    return value


def _controller(value: str) -> str:
    if len(value) > _LONGEST_NAME or not _CONTROLLER.fullmatch(value):
        raise invalid("must be a domain and a path, such as meshproxy.io/gateway-controller")
    return value


def is_ip_address(value: str) -> bool:
    try:
        ipaddress.ip_address(value)
    except ValueError:
        return False
    return True


def _precise_hostname(value: str) -> str:
    if len(value) > _LONGEST_NAME or not _GROUP.fullmatch(value):
        raise invalid("must be a lower-case DNS name of at most 253 characters, without a wildcard")
    if is_ip_address(value):
        raise invalid("must be a DNS name, not an IP address")
    return value


def _hostname(value: str) -> str:
    if len(value) > _LONGEST_NAME or not _GROUP.fullmatch(value.removeprefix("*.")):
        raise invalid("must be a lower-case DNS name of at most 253 characters; '*.' may be its first label")
    if is_ip_address(value):
        raise invalid("must be a DNS name, not an IP address")
    return value


def _header_name(value: str) -> str:
    if len(value) > 256 or not _HEADER_NAME.fullmatch(value):
        raise invalid("must be a header name: at most 256 letters, digits and !#$%&'*+-.^_`|~")
    return value


def _header_value(value: str) -> str:
    if not _HEADER_VALUE.fullmatch(value):
        raise invalid("must not hold control characters: no field value can (RFC 9110 section 5.5)")
    return value


def _duration(value: str) -> str:
    if not _DURATION.fullmatch(value):
        raise invalid("must be a duration such as 500ms, 10s or 1h30m (GEP-2257)")
    return value


def milliseconds(duration: str) -> int:
    """Length of a GEP-2257 duration that was accepted."""
    return sum(int(number) * _MILLISECONDS[unit] for number, unit in _DURATION_PART.findall(duration))


def _absolute_uri(value: str) -> str:
    if not _ABSOLUTE_URI.match(value):
        raise invalid("must be an absolute URI, with scheme and host")
    return value


def regular_expression(value: str) -> str:
    """Refuse a pattern that the proxies' engine, RE2, does not read: by RE2 itself where it is installed (it
    comes with the sidecar), else by what Python's engine and a look for the known differences say."""
    try:
        import re2
    except ImportError:
        _check_without_re2(value)
        return value
    options = re2.Options()
    options.log_errors = False
    try:
        re2.compile(value, options)
    except re2.error as exc:
        text = exc.args[0].decode(errors="replace") if isinstance(exc.args[0], bytes) else str(exc)
        raise invalid(f"must be a regular expression (RE2): {text}") from exc
    return value


_NOT_RE2 = re.compile(r"\(\?(=|!|<=|<!|>|\()|\\[1-9]|\(\?P=|[*+?}]\+")
"""Look-around, atomic groups, conditions, back-references, possessive repetition."""


def _check_without_re2(value: str) -> None:
    try:
        re.compile(value)
    except (re.error, OverflowError, RecursionError) as exc:
        raise invalid(f"must be a regular expression (RE2): {exc}") from exc
    plain = re.sub(r"\[\^?\]?[^\]]*\]", "x", re.sub(r"\\[^0-9A-Za-z]", "", value))  # where nothing is special
    if _NOT_RE2.search(plain):
        raise invalid("must be RE2: look-around, back-references and possessive repetition are not in it")


Group: TypeAlias = Annotated[str, AfterValidator(_group)]
Kind: TypeAlias = Annotated[str, AfterValidator(_kind)]
AnyName: TypeAlias = Annotated[str, Field(min_length=1, max_length=_LONGEST_NAME)]
"""Gateway API's `ObjectName`: what it names decides the form."""
SectionName: TypeAlias = Annotated[str, AfterValidator(_section_name)]
ControllerName: TypeAlias = Annotated[str, AfterValidator(_controller)]
Hostname: TypeAlias = Annotated[str, AfterValidator(_hostname)]
PreciseHostname: TypeAlias = Annotated[str, AfterValidator(_precise_hostname)]
HeaderName: TypeAlias = Annotated[str, AfterValidator(_header_name)]
HeaderValue: TypeAlias = Annotated[str, AfterValidator(_header_value), Field(min_length=1, max_length=4096)]
Duration: TypeAlias = Annotated[str, AfterValidator(_duration)]
AbsoluteUri: TypeAlias = Annotated[str, AfterValidator(_absolute_uri), Field(min_length=1, max_length=253)]
