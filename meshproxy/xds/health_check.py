"""`health_checks` -> `HealthCheck` (pure)."""

from __future__ import annotations

from collections.abc import Sequence

from control_plane.api.envoy.config.core.v3.base_pb2 import RequestMethod
from control_plane.api.envoy.config.core.v3.health_check_pb2 import HealthCheck as Proto
from meshproxy.config.health_check import GrpcCheck, HealthCheck, HttpCheck, TcpCheck
from meshproxy.config.resilience import HealthCheckSettings
from meshproxy.errors import ConfigError
from meshproxy.xds.strict import enum_name, require, seconds, seconds_or

_METHODS = (RequestMethod.METHOD_UNSPECIFIED, RequestMethod.GET)
_OK_ALONE = ((200, 201),)
_LONGEST = 4096
"""Characters of a path or a host."""


def translate_health_checks(checks: Sequence[Proto], path: str) -> HealthCheck | None:
    """None where there is none. Raises ConfigError."""
    path = f"{path}.health_checks"
    require(len(checks) <= 1, path, "more than one is not supported")
    return _check(checks[0], f"{path}[0]") if checks else None


def _check(message: Proto, path: str) -> HealthCheck:
    kind = message.WhichOneof("health_checker")
    if kind is None:
        raise ConfigError(f"{path}: http_health_check, grpc_health_check or tcp_health_check is needed")
    return HealthCheck(_asks(message, kind, f"{path}.{kind}"), _settings(message, path))


def _asks(message: Proto, kind: str, path: str) -> HttpCheck | TcpCheck | GrpcCheck:
    if kind == "http_health_check":
        return _http(message.http_health_check, path)
    if kind == "tcp_health_check":
        return _tcp(message.tcp_health_check, path)
    return _grpc(message.grpc_health_check, path)


def _settings(message: Proto, path: str) -> HealthCheckSettings:
    for field in ("timeout", "interval", "unhealthy_threshold", "healthy_threshold"):
        require(message.HasField(field), f"{path}.{field}", "is required")
    try:
        return HealthCheckSettings(
            timeout=seconds(message.timeout, f"{path}.timeout"),
            interval=seconds(message.interval, f"{path}.interval"),
            unhealthy_threshold=message.unhealthy_threshold.value,
            healthy_threshold=message.healthy_threshold.value,
            no_traffic_interval=seconds_or(message, "no_traffic_interval", 60.0, path),
            initial_jitter=seconds_or(message, "initial_jitter", 0.0, path),
            interval_jitter_percent=message.interval_jitter_percent,
        )
    except ConfigError as error:
        text = str(error)
        raise ConfigError(text if text.startswith(f"{path}.") else f"{path}: {text}") from error


def _http(message: Proto.HttpHealthCheck, path: str) -> HttpCheck:
    method = message.method
    require(method in _METHODS, f"{path}.method", f"{enum_name(message, 'method')} is not supported; use GET")
    require(message.path.startswith("/"), f"{path}.path", f"{message.path!r} does not begin with /")
    for field in ("path", "host"):
        _check_text(getattr(message, field), f"{path}.{field}")
    ranges = []
    for index, one in enumerate(message.expected_statuses):
        is_range = 100 <= one.start < one.end <= 600
        where = f"{path}.expected_statuses[{index}]"
        require(is_range, where, f"[{one.start}, {one.end}) is no range of statuses from 100 to 599")
        ranges.append((one.start, one.end))
    return HttpCheck(message.path, message.host, tuple(ranges) or _OK_ALONE)


def _grpc(message: Proto.GrpcHealthCheck, path: str) -> GrpcCheck:
    _check_text(message.authority, f"{path}.authority")
    require(len(message.service_name) <= _LONGEST, f"{path}.service_name", f"is above {_LONGEST} characters")
    return GrpcCheck(message.authority, message.service_name)


def _check_text(value: str, path: str) -> None:
    is_right = value.isascii() and value.isprintable() and " " not in value and 0 < len(value) <= _LONGEST
    require(is_right, path, "must be printable ASCII without spaces, and not empty")


def _tcp(message: Proto.TcpHealthCheck, path: str) -> TcpCheck:
    receive = tuple(
        _bytes(payload, f"{path}.receive[{index}]") for index, payload in enumerate(message.receive)
    )
    send = _bytes(message.send, f"{path}.send") if message.HasField("send") else b""
    return TcpCheck(send, receive)


def _bytes(payload: Proto.Payload, path: str) -> bytes:
    try:
        found = bytes.fromhex(payload.text)
    except ValueError as error:
        raise ConfigError(f"{path}.text: {payload.text!r} is not hexadecimal") from error
    require(bool(found), f"{path}.text", "must not be empty")
    return found
