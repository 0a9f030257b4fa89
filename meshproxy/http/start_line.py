"""Request line and status line (RFC 9112 sections 3 and 4), strict (pure). [3]"""

from __future__ import annotations

from typing import Final, NoReturn

from meshproxy.http.syntax import FIELD_VALUE, TARGET, is_token, parse_authority, refuse

Version = tuple[int, int]

_VERSIONS: Final[dict[bytes, Version]] = {b"HTTP/1.1": (1, 1), b"HTTP/1.0": (1, 0)}
_COMMON_METHODS: Final = frozenset(
    {b"GET", b"POST", b"PUT", b"DELETE", b"HEAD", b"OPTIONS", b"PATCH", b"TRACE", b"CONNECT"}
)
_DEFAULT_PORTS: Final = {b"http": ":80", b"https": ":443"}


class RequestLine:
    """Shared between requests: never mutated after construction."""

    __slots__ = ("authority", "default_port", "forward", "host", "method", "path", "target", "version")

    method: bytes
    target: bytes
    """Origin form, `*`, or `host:port` for CONNECT."""
    path: str
    """`target` without its query; empty for CONNECT."""
    version: Version
    authority: str | None
    """From an absolute or authority form; None when only the Host field says."""
    host: str
    default_port: str
    """`:80` or `:443` for an absolute form, which the Host field may leave out."""
    forward: bytes
    """The line to send on, with CRLF."""


class StatusLine:
    """Shared between responses: never mutated after construction."""

    __slots__ = ("forward", "reason", "status", "version")

    status: int
    reason: bytes
    version: Version
    forward: bytes


def parse_request_line(line: bytes) -> RequestLine:
    """Exactly `method SP target SP version`. Raises 400, or 505 for another HTTP version."""
    parts = line.split(b" ")
    if len(parts) != 3:
        raise refuse("request line is not `method target version`", "bad_request_line")
    method, target, version = parts
    if method not in _COMMON_METHODS and not is_token(method):
        raise refuse("the method is not a token", "bad_method")
    parsed = RequestLine()
    parsed.version = _VERSIONS.get(version) or _refuse_version(version)
    if not target or target.translate(None, TARGET):
        raise refuse("fragment or a character outside visible ASCII in the request target", "bad_target")
    parsed.method = method
    parsed.authority = None
    parsed.host = parsed.default_port = ""
    _parse_target(parsed, target)
    parsed.forward = b"%b %b HTTP/1.1\r\n" % (method, parsed.target)
    return parsed


def parse_status_line(line: bytes) -> StatusLine:
    """`version SP 3DIGIT SP [reason]`; the second blank may be missing, as many servers do without a
    reason."""
    version, _, rest = line.partition(b" ")
    parsed = StatusLine()
    parsed.version = _VERSIONS.get(version) or _refuse_version(version)
    code, blank, reason = rest[:3], rest[3:4], rest[4:]
    if len(code) != 3 or not code.isdigit() or code < b"100" or blank not in {b"", b" "}:
        raise refuse("status line is not `version status reason`", "bad_status_line")
    if reason.translate(None, FIELD_VALUE):
        raise refuse("control character in the reason phrase", "bad_status_line")
    parsed.status = int(code)
    parsed.reason = reason
    parsed.forward = b"HTTP/1.1 %b %b\r\n" % (code, reason)
    return parsed


def _refuse_version(version: bytes) -> NoReturn:
    if (
        len(version) == 8
        and version[:5] == b"HTTP/"
        and version[6:7] == b"."
        and (version[5:6] + version[7:]).isdigit()
    ):
        raise refuse("HTTP version is neither 1.1 nor 1.0", "unsupported_version", 505)
    raise refuse("no HTTP version at the end of the request line", "bad_version")


def _parse_target(parsed: RequestLine, target: bytes) -> None:
    if parsed.method == b"CONNECT":
        _parse_authority_form(parsed, target)
        return
    if target[:1] == b"/":
        parsed.target = target
    elif target != b"*":
        _parse_absolute_form(parsed, target)
    elif parsed.method == b"OPTIONS":
        parsed.target = target
    else:
        raise refuse("request target `*` is for OPTIONS only", "bad_target")
    parsed.path = parsed.target.partition(b"?")[0].decode("ascii")


def _parse_authority_form(parsed: RequestLine, target: bytes) -> None:
    """`host:port`, both required (RFC 9112 section 3.2.3)."""
    parsed.authority, parsed.host = parse_authority(target)
    if not parsed.host or len(parsed.authority) < len(parsed.host) + 2:
        raise refuse("CONNECT needs `host:port`", "bad_target")
    parsed.target = target
    parsed.path = ""


def _parse_absolute_form(parsed: RequestLine, target: bytes) -> None:
    """`http://authority/path?query`, normalised to origin form (RFC 9112 section 3.2.2). User info is
    refused."""
    scheme, separator, rest = target.partition(b"://")
    default_port = _DEFAULT_PORTS.get(scheme.lower())
    if not separator or default_port is None:
        raise refuse("request target is neither a path nor an http URI", "bad_target")
    authority = rest.partition(b"/")[0].partition(b"?")[0]
    parsed.authority, parsed.host = parse_authority(authority)
    if not parsed.host:
        raise refuse("the URI in the request target has no host", "bad_target")
    parsed.default_port = default_port
    path = rest[len(authority) :]
    if path[:1] != b"/":
        path = b"*" if not path and parsed.method == b"OPTIONS" else b"/" + path
    parsed.target = path
