"""Probes and lifecycle hooks of a container (pure)."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from control_plane.resources.base import Model
from control_plane.resources.field import Count, Items, Port, PortOrName

Positive = Annotated[Count, Field(ge=1)]


class HttpHeader(Model):
    name: str
    value: str


class HttpGetAction(Model):
    port: PortOrName
    path: str = "/"
    host: str = ""
    """Empty: the pod's address."""
    scheme: Literal["HTTP", "HTTPS"] = "HTTP"
    http_headers: Items[HttpHeader] = ()


class TcpSocketAction(Model):
    port: PortOrName
    host: str = ""


class ExecAction(Model):
    command: Annotated[Items[str], Field(min_length=1)]


class GrpcAction(Model):
    port: Port
    service: str = ""


class SleepAction(Model):
    seconds: Count


class Probe(Model):
    """Exactly one action. Times are in whole seconds; defaults are Kubernetes'."""

    http_get: HttpGetAction | None = None
    tcp_socket: TcpSocketAction | None = None
    exec_: ExecAction | None = None
    grpc: GrpcAction | None = None
    initial_delay_seconds: Count = 0
    period_seconds: Positive = 10
    timeout_seconds: Positive = 1
    success_threshold: Positive = 1
    failure_threshold: Positive = 3
    termination_grace_period_seconds: Positive | None = None

    @model_validator(mode="after")
    def _check_one_action(self) -> Self:
        if sum(action is not None for action in (self.http_get, self.tcp_socket, self.exec_, self.grpc)) != 1:
            raise PydanticCustomError(
                "invalid_value", "exactly one of httpGet, tcpSocket, exec, grpc is required"
            )
        return self


class LifecycleHandler(Model):
    exec_: ExecAction | None = None
    http_get: HttpGetAction | None = None
    sleep: SleepAction | None = None
    tcp_socket: TcpSocketAction | None = None
    """Deprecated by Kubernetes, which accepts it and fails the hook when it is run."""

    @model_validator(mode="after")
    def _check_one_action(self) -> Self:
        actions = (self.exec_, self.http_get, self.sleep, self.tcp_socket)
        if sum(action is not None for action in actions) != 1:
            raise PydanticCustomError(
                "invalid_value", "exactly one of exec, httpGet, sleep, tcpSocket is required"
            )
        return self


class Lifecycle(Model):
    post_start: LifecycleHandler | None = None
    pre_stop: LifecycleHandler | None = None
    stop_signal: str = ""
