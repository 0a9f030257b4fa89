"""One ADS stream on one channel: opened, read until it ends, closed. No knowledge of resources."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import grpc
import grpc.aio

from control_plane.api.envoy.service.discovery.v3 import ads_pb2_grpc
from control_plane.api.envoy.service.discovery.v3.discovery_pb2 import DiscoveryRequest, DiscoveryResponse
from meshproxy.errors import UpstreamError
from meshproxy.identity.identity import Identity

OpenChannel = Callable[[], Awaitable[grpc.aio.Channel]]
"""Makes a channel of its own for each stream, with the newest credentials."""

CHANNEL_OPTIONS: Final[tuple[tuple[str, int], ...]] = (
    ("grpc.enable_http_proxy", 0),  # an application's proxy setting is not for us
    (
        "grpc.use_local_subchannel_pool",
        1,
    ),  # else a new channel could reuse the former certificate's connection
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.max_receive_message_length", 64 << 20),  # all clusters of a big mesh come in one message
)


def mtls_channels(address: str, identity: Callable[[], Awaitable[Identity]]) -> OpenChannel:
    """Channels to `address` (`host:port`; the host is compared with the server's certificate) that prove the
    identity which `identity()` gives at that time."""

    async def open_channel() -> grpc.aio.Channel:
        current = await identity()
        credentials = grpc.ssl_channel_credentials(current.root_pem, current.key_pem, current.chain_pem)
        return grpc.aio.secure_channel(address, credentials, options=CHANNEL_OPTIONS)

    return open_channel


class AdsStream:
    """Owns its channel. `close` is idempotent and may be called while `receive` waits."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._channel = channel
        stub = ads_pb2_grpc.AggregatedDiscoveryServiceStub(channel)  # type: ignore[no-untyped-call]  # generated
        self._call: grpc.aio.StreamStreamCall[DiscoveryRequest, DiscoveryResponse] = (
            stub.StreamAggregatedResources()
        )

    async def send(self, requests: Sequence[DiscoveryRequest]) -> None:
        """Raises UpstreamError when the stream has ended."""
        try:
            for request in requests:
                await self._call.write(request)
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError) as error:
            raise UpstreamError(await self._reason(error)) from error

    async def receive(self) -> DiscoveryResponse:
        """The next response. Raises UpstreamError when the stream has ended, whoever ended it."""
        try:
            response = await self._call.read()
        except grpc.aio.AioRpcError as error:
            raise UpstreamError(f"{error.code().name}: {error.details()}") from error
        if not isinstance(response, DiscoveryResponse):
            raise UpstreamError("the control plane ended the stream")
        return response

    async def close(self) -> None:
        self._call.cancel()
        await self._channel.close(None)

    async def _reason(self, error: Exception) -> str:
        """Why a write failed: the status of the call, where it has one by now."""
        if not self._call.done():
            return f"write failed: {error}"
        return f"{(await self._call.code()).name}: {await self._call.details()}"
