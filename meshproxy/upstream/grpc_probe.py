"""Asks an endpoint by `grpc.health.v1.Health/Check` how it is (gRPC Health Checking Protocol). [6]"""

from __future__ import annotations

import asyncio
from typing import Final, cast

from meshproxy.config.health_check import GrpcCheck
from meshproxy.http.events import END, Event, Response, Trailers
from meshproxy.http.grpc import GrpcCall
from meshproxy.http.h2.settings import H2Limits
from meshproxy.policy.health_state import CheckResult
from meshproxy.upstream.connector import ConnectFailed
from meshproxy.upstream.endpoint import EndpointRuntime
from meshproxy.upstream.h2_connection import H2UpstreamConnection
from meshproxy.upstream.lane import Lane
from meshproxy.upstream.services import UpstreamServices

_OK: Final = "0"
_SERVING: Final = b"\x08\x01"
"""`HealthCheckResponse{status: SERVING}`."""
_PREFIX: Final = 5
_MAX_ANSWER: Final = 1024
_LIMITS: Final = H2Limits(max_concurrent_streams=1, stream_window=16_384, max_unread=65_536)


class GrpcProbe:
    """Implements `ResponseSink`."""

    __slots__ = (
        "_answer",
        "_body",
        "_call",
        "_connection",
        "_endpoint",
        "_head",
        "_lane",
        "_request",
        "_services",
    )

    def __init__(self, asks: GrpcCheck, endpoint: EndpointRuntime, services: UpstreamServices) -> None:
        self._endpoint = endpoint
        self._services = services
        self._connection: H2UpstreamConnection | None = None
        self._lane: Lane | None = None
        self._answer: asyncio.Future[CheckResult] | None = None
        self._call = GrpcCall()
        self._body = b""
        self._head = (
            b"POST /grpc.health.v1.Health/Check HTTP/1.1\r\nhost: %b\r\n"
            b"content-type: application/grpc\r\nuser-agent: meshproxy-health-check\r\n\r\n"
        ) % asks.authority.encode()
        name = asks.service.encode()
        message = b"\x0a%b%b" % (_varint(len(name)), name) if name else b""
        self._request = b"\0" + len(message).to_bytes(4, "big") + message

    async def ask(self) -> tuple[CheckResult, bool]:
        connection = self._connection
        if connection is None or not connection.has_room:
            self.close()  # else one that allows no streams would stay, one for each check
            connection = self._connection = await self._dial()
        self._answer = asyncio.get_running_loop().create_future()
        self._call, self._body = GrpcCall(), b""
        lane = self._lane = connection.lane()
        lane.begin(self, b"POST", self._head, self._request, chunked=True)
        return await self._answer, False

    async def _dial(self) -> H2UpstreamConnection:
        connection = H2UpstreamConnection(self._services.messages, _LIMITS, _keep, _keep)
        await self._services.connector.connect(self._endpoint.target, cast("asyncio.Protocol", connection))
        return connection

    def close(self) -> None:
        """Nobody waits for an answer any more."""
        connection, self._connection = self._connection, None
        self._lane = None
        if connection is not None and not connection.is_lost:
            connection.abort()

    # --- ResponseSink ---

    def on_response(self, events: list[Event]) -> None:
        for event in events:
            if isinstance(event, Response):
                self._call.on_fields(event.head.headers)
                if event.end_stream:
                    self._finish()
            elif isinstance(event, Trailers):
                self._call.on_fields(event.headers)
            elif event is END:
                self._finish()
            elif isinstance(event, bytes):
                self._body += event
                if len(self._body) > _MAX_ANSWER:
                    self.close()
                    self._settle(CheckResult.UNWELL)
                    return

    def _finish(self) -> None:
        lane, self._lane = self._lane, None
        if lane is not None:
            lane.finish(True)
        is_serving = self._call.status == _OK and self._body[_PREFIX:] == _SERVING
        self._settle(CheckResult.SUCCESS if is_serving else CheckResult.UNWELL)

    def _settle(self, result: CheckResult) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(result)

    def on_upstream_lost(self, error: Exception | None) -> None:
        self._lane = None
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(ConnectFailed(f"{self._endpoint.place} gave the call up", "closed"))

    def on_upstream_write_paused(self) -> None:
        """A request this small is not waited for."""

    def on_upstream_write_resumed(self) -> None:
        """See above."""


def _keep(connection: H2UpstreamConnection) -> None:
    """The probe has it already, and sees that it is lost."""


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(0x80 | (value & 0x7F))
        value >>= 7
    out.append(value)
    return bytes(out)
