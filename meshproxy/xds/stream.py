"""One ADS stream on one connection: opened, read until it ends, closed. No knowledge of resources."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from google.protobuf.message import DecodeError

from control_plane.api.envoy.service.discovery.v3.discovery_pb2 import DiscoveryRequest, DiscoveryResponse
from meshproxy.errors import UpstreamError
from meshproxy.identity.contexts import control_plane_context
from meshproxy.identity.identity import Identity
from meshproxy.rpc.call import GrpcCall, dial

METHOD: Final = "/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources"

OpenConnection = Callable[[], Awaitable[GrpcCall]]
"""Makes a connection of its own for each stream, with the newest credentials. Raises UpstreamError."""


def mtls_connections(address: str, identity: Callable[[], Awaitable[Identity]]) -> OpenConnection:
    """Connections to `address` (`host:port`; the host is compared with the server's certificate) that prove
    the identity which `identity()` gives at that time."""

    async def open_connection() -> GrpcCall:
        current = await identity()
        return await dial(address, control_plane_context(current.root_pem, current))

    return open_connection


class AdsStream:
    """Owns its connection. `close` is idempotent and may be called while `receive` waits."""

    def __init__(self, call: GrpcCall) -> None:
        self._call = call
        call.start(METHOD)

    async def send(self, requests: Sequence[DiscoveryRequest]) -> None:
        """Raises UpstreamError when the stream has ended."""
        for request in requests:
            await self._call.send(request.SerializeToString())

    async def receive(self) -> DiscoveryResponse:
        """The next response. Raises UpstreamError when the stream has ended, whoever ended it."""
        message = await self._call.receive()
        if message is None:
            raise UpstreamError("the control plane ended the stream")
        try:
            return DiscoveryResponse.FromString(message)
        except DecodeError as error:
            raise UpstreamError("INTERNAL: the control plane sent what is no DiscoveryResponse") from error

    async def close(self) -> None:
        await self._call.close()
