"""What an active health check asks, and which answers are good (pure)."""

from __future__ import annotations

from dataclasses import dataclass, field

from meshproxy.config.resilience import HealthCheckSettings


@dataclass(frozen=True, slots=True)
class HttpCheck:
    """`HealthCheck.HttpHealthCheck`: a GET."""

    path: str
    host: str
    expected_statuses: tuple[tuple[int, int], ...] = ((200, 201),)
    """Ranges (first, end), without the end."""


@dataclass(frozen=True, slots=True)
class TcpCheck:
    """`HealthCheck.TcpHealthCheck`. Neither of both: a connection is enough."""

    send: bytes = b""
    receive: tuple[bytes, ...] = ()
    """Must come in this order; what is between them does not matter."""


@dataclass(frozen=True, slots=True)
class GrpcCheck:
    """`HealthCheck.GrpcHealthCheck`: `grpc.health.v1.Health/Check`, which must answer SERVING."""

    authority: str
    service: str = ""
    """Empty asks for the server as a whole."""


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """`envoy.config.core.v3.HealthCheck`."""

    asks: HttpCheck | TcpCheck | GrpcCheck
    settings: HealthCheckSettings = field(default_factory=HealthCheckSettings)
