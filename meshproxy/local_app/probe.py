"""The probes of the pod's app, as the injector hands them over (pure): what to ask when the kubelet asks us.

The injector points the kubelet at the sidecar, because an app under strict mTLS must not be reachable in
plaintext, and puts what the pod said into `MESHPROXY_APP_PROBES`: JSON, by the path the kubelet now asks for,

    {"/app-health/app/livez": {"httpGet": {"port": 8080, "path": "/live"}, "timeoutSeconds": 1}}

with the fields of Kubernetes' `httpGet`, `tcpSocket` and `grpc`. Ports are numbers, not names.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, cast

from meshproxy.errors import ConfigError

VARIABLE: Final = "MESHPROXY_APP_PROBES"
MAX_TIMEOUT: Final = 3600
"""Seconds."""
MAX_PROBES: Final = 1000
_PATH = re.compile(
    r"/app-health/[a-z0-9-]{1,63}/(livez|readyz|startupz)"
    r"|/app-lifecycle/[a-z0-9-]{1,63}/(poststartz|prestopz)"
)


@dataclass(frozen=True, slots=True)
class HttpProbe:
    """GET; any status from 200 to 399 is well."""

    port: int
    path: str = "/"
    is_tls: bool = False
    headers: tuple[tuple[str, str], ...] = ()
    """In the pod's order; a name may repeat."""


@dataclass(frozen=True, slots=True)
class TcpProbe:
    """A connection that is accepted is well."""

    port: int


@dataclass(frozen=True, slots=True)
class GrpcProbe:
    """`grpc.health.v1.Health/Check`; SERVING is well."""

    port: int
    service: str = ""


@dataclass(frozen=True, slots=True)
class AppProbe:
    """One probe of one container."""

    action: HttpProbe | TcpProbe | GrpcProbe
    timeout: float
    """Seconds for all of it."""


def parse_probes(text: str) -> dict[str, AppProbe]:
    """By path. Empty text: there are none. Raises ConfigError naming the path, the field and the value."""
    if not text.strip():
        return {}
    try:
        given = json.loads(text)
    except ValueError as error:
        raise ConfigError(f"{VARIABLE} is not JSON: {error}") from error
    probes = _fields(given, VARIABLE)
    if len(probes) > MAX_PROBES:
        raise ConfigError(f"{VARIABLE}: {len(probes)} probes; at most {MAX_PROBES} are taken")
    return {_path(path): _probe(probe, f"{VARIABLE} {path}") for path, probe in probes.items()}


def _path(path: str) -> str:
    if _PATH.fullmatch(path) is None:
        raise ConfigError(f"{VARIABLE}: {path!r} is not /app-health/<container>/livez or one of its kind")
    return path


def _probe(value: object, place: str) -> AppProbe:
    fields = _fields(value, place, {*_ACTIONS, "timeoutSeconds", "portName"})
    named = [name for name in _ACTIONS if name in fields]
    if len(named) != 1:
        raise ConfigError(f"{place}: exactly one of {', '.join(_ACTIONS)} is needed, not {named}")
    timeout = _number(fields.get("timeoutSeconds", 1), f"{place}.timeoutSeconds", MAX_TIMEOUT)
    where = f"{place}.{named[0]}"
    return AppProbe(_ACTIONS[named[0]](fields[named[0]], where), float(timeout))


def _http(value: object, place: str) -> HttpProbe:
    fields = _fields(value, place, {"port", "path", "scheme", "httpHeaders"})
    scheme = fields.get("scheme", "HTTP")
    if scheme not in ("HTTP", "HTTPS"):
        raise ConfigError(f"{place}.scheme {scheme!r}: use HTTP or HTTPS")
    headers = fields.get("httpHeaders", [])
    if not isinstance(headers, list):
        raise ConfigError(f"{place}.httpHeaders {headers!r} is not a list")
    return HttpProbe(
        _port(fields, place),
        _text(fields.get("path", "/"), f"{place}.path") or "/",
        scheme == "HTTPS",
        tuple(_header(header, f"{place}.httpHeaders[{index}]") for index, header in enumerate(headers)),
    )


def _header(value: object, place: str) -> tuple[str, str]:
    fields = _fields(value, place, {"name", "value"})
    return _text(fields.get("name"), f"{place}.name"), _text(fields.get("value", ""), f"{place}.value")


def _tcp(value: object, place: str) -> TcpProbe:
    return TcpProbe(_port(_fields(value, place, {"port"}), place))


def _grpc(value: object, place: str) -> GrpcProbe:
    fields = _fields(value, place, {"port", "service"})
    return GrpcProbe(_port(fields, place), _text(fields.get("service") or "", f"{place}.service"))


_ACTIONS: Final[Mapping[str, Callable[[object, str], HttpProbe | TcpProbe | GrpcProbe]]] = {
    "httpGet": _http,
    "tcpSocket": _tcp,
    "grpc": _grpc,
}


def _fields(value: object, place: str, known: set[str] | None = None) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise ConfigError(f"{place}: {value!r} is not an object")
    fields = cast("dict[str, object]", value)
    if known is not None and (unknown := sorted(fields.keys() - known)):
        raise ConfigError(f"{place}: unknown field {unknown[0]!r}; known are {', '.join(sorted(known))}")
    return fields


def _port(fields: Mapping[str, object], place: str) -> int:
    return _number(fields.get("port"), f"{place}.port", 65535)


def _number(value: object, place: str, largest: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= largest:
        raise ConfigError(f"{place} {value!r}: give a number from 1 to {largest}")
    return value


def _text(value: object, place: str) -> str:
    if not isinstance(value, str):
        raise ConfigError(f"{place} {value!r} is not text")
    return value
