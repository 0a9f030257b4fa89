"""One gRPC call on an HTTP/2 connection of its own: what a sidecar needs to talk to its control plane.

`h2` does the protocol, this moves bytes and waits. A gRPC library of its own costs every sidecar 20 MB
(decision 13). One call per connection is what both services want: the ADS stream lives as long as the
certificate it was opened with, a signing call must prove the newest one. A GOAWAY therefore ends the call.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Final, cast

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    PingAckReceived,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
)
from h2.exceptions import H2Error
from h2.settings import SettingCodes, Settings

from meshproxy.errors import RemoteProtocolError, UpstreamError
from meshproxy.rpc.message import MessageReader, prefixed
from meshproxy.rpc.status import failure_of_head, failure_of_reset, failure_of_trailers

CONNECT_TIMEOUT: Final = 10.0
"""Seconds for name resolution, TCP and TLS together."""

MAX_MESSAGE_BYTES: Final = 64 << 20
"""All clusters of a big mesh come in one message."""

PING_INTERVAL: Final = 30.0
PING_TIMEOUT: Final = 10.0
"""Seconds. A control plane that vanished without a FIN is noticed within 40 s; it lets us ping as often."""

_WINDOW: Final = 1 << 20
"""Flow-control window, bytes: what the peer may send before we took in what came."""
_LARGEST_DEFAULT_WINDOW: Final = 65_535
_PING_DATA: Final = b"meshprox"


class GrpcCall(asyncio.Protocol):
    """Made by `dial`; then `start`, `send`, `receive`, `close`. All on one event loop.

    Errors are UpstreamError with text `"NAME: details"`, NAME being gRPC's.
    """

    def __init__(self, address: str, scheme: str) -> None:
        self._address = address
        self._scheme = scheme
        self._h2 = H2Connection(H2Configuration(client_side=True, header_encoding=None))
        self._h2.local_settings = Settings(
            client=True,
            initial_values={SettingCodes.ENABLE_PUSH: 0, SettingCodes.INITIAL_WINDOW_SIZE: _WINDOW},
        )
        self._reader = MessageReader(MAX_MESSAGE_BYTES)
        self._messages: deque[bytes] = deque()
        self._unacknowledged = 0
        """Bytes of messages that nobody has taken yet: their window is given back when they are."""
        self._stream_id = 0
        self._is_over = False
        self._failure: str | None = None
        """Why the call is over; None when it ended well."""
        self._transport: asyncio.Transport | None = None
        self._changed = asyncio.Event()
        """Set, and cleared by whoever waits, at every message, window and end."""
        self._is_lost = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None

    # --- the call -------------------------------------------------------------------------------------------

    def start(self, path: str, metadata: Sequence[tuple[str, str]] = (), timeout: str = "") -> None:
        """Send the head. `path`: `/package.Service/Method`; `timeout`: as in `grpc-timeout`, for the peer."""
        head = [
            (":method", "POST"),
            (":scheme", self._scheme),
            (":path", path),
            (":authority", self._address),
            ("te", "trailers"),
            ("content-type", "application/grpc"),
            ("user-agent", "meshproxy"),
            *([("grpc-timeout", timeout)] if timeout else []),
            *metadata,
        ]
        if self._is_over:
            return  # send and receive tell why
        self._stream_id = self._h2.get_next_available_stream_id()
        self._h2.send_headers(self._stream_id, head)
        self._flush()

    async def send(self, message: bytes, *, is_last: bool = False) -> None:
        """Returns when all of it was written. Raises UpstreamError when the call is over."""
        rest = memoryview(prefixed(message))
        while rest:
            self._check()
            room = min(self._h2.local_flow_control_window(self._stream_id), self._h2.max_outbound_frame_size)
            if room <= 0:
                await self._change()
                continue
            chunk, rest = rest[:room], rest[room:]
            self._h2.send_data(self._stream_id, bytes(chunk), end_stream=is_last and not rest)
            self._flush()

    async def receive(self) -> bytes | None:
        """The next message; None when the peer ended the call well. Raises UpstreamError when it did not."""
        while not self._messages:
            if self._is_over:
                self._raise_failure()
                return None
            await self._change()
        message = self._messages.popleft()
        if not self._messages and not self._is_over:
            self._acknowledge()
        return message

    async def close(self) -> None:
        """Cancel what is under way, end the connection. Idempotent; wakes who waits in `receive`."""
        if not self._is_over and self._stream_id:
            self._h2.reset_stream(self._stream_id, ErrorCodes.CANCEL)
        self._end("CANCELLED: closed here")
        await self._is_lost.wait()

    def _check(self) -> None:
        if self._is_over:
            self._raise_failure()
            raise UpstreamError(f"{self._address} ended the call")

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise UpstreamError(self._failure)

    async def _change(self) -> None:
        self._changed.clear()
        await self._changed.wait()

    # --- the connection -------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's have the methods, not the base class
        self._h2.initiate_connection()
        self._h2.increment_flow_control_window(_WINDOW - _LARGEST_DEFAULT_WINDOW)
        self._flush()
        self._timer = asyncio.get_running_loop().call_later(PING_INTERVAL, self._ping)

    def data_received(self, data: bytes) -> None:
        if self._is_over:
            return
        try:
            for event in self._h2.receive_data(data):
                self._on_event(event)
        except (H2Error, RemoteProtocolError) as error:
            self._end(f"INTERNAL: {self._address} broke the protocol: {error}")
        self._flush()
        self._changed.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(f"UNAVAILABLE: {self._address} ended the connection{f': {exc}' if exc else ''}")
        self._is_lost.set()

    def _on_event(self, event: Event) -> None:
        if self._is_over:
            return
        if isinstance(event, DataReceived):
            self._on_data(event)
        elif isinstance(event, ResponseReceived):
            fields = _texts(event.headers)
            if (failure := failure_of_head(fields)) is not None:
                self._end(failure)
            elif event.stream_ended is not None:
                self._end(self._failure_at_end(fields))
        elif isinstance(event, TrailersReceived):
            self._end(self._failure_at_end(_texts(event.headers)))
        elif isinstance(event, StreamEnded):
            self._end("UNKNOWN: the call ended without a status")
        elif isinstance(event, StreamReset):
            self._end(failure_of_reset(int(event.error_code)))
        elif isinstance(event, ConnectionTerminated):
            self._end(f"UNAVAILABLE: {self._address} is going away")
        elif isinstance(event, PingAckReceived):
            self._schedule(PING_INTERVAL - PING_TIMEOUT, self._ping)

    def _failure_at_end(self, trailers: list[tuple[str, str]]) -> str | None:
        failure = failure_of_trailers(trailers)
        if failure is None and not self._reader.is_between_messages:
            return "INTERNAL: the call ended inside a message"
        return failure

    def _on_data(self, event: DataReceived) -> None:
        self._unacknowledged += event.flow_controlled_length
        self._messages.extend(self._reader.feed(event.data))
        if not self._messages:  # a message that is not complete needs more room to become so
            self._acknowledge()

    def _acknowledge(self) -> None:
        count, self._unacknowledged = self._unacknowledged, 0
        self._h2.acknowledge_received_data(count, self._stream_id)
        self._flush()

    def _ping(self) -> None:
        self._h2.ping(_PING_DATA)
        self._flush()
        self._schedule(PING_TIMEOUT, self._on_silence)

    def _on_silence(self) -> None:
        self._end(f"UNAVAILABLE: {self._address} has not answered a ping for {PING_TIMEOUT:.0f} s")

    def _schedule(self, delay: float, action: Callable[[], None]) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None if self._is_over else asyncio.get_running_loop().call_later(delay, action)

    def _flush(self) -> None:
        if self._transport is not None and (data := self._h2.data_to_send()):
            self._transport.write(data)

    def _end(self, failure: str | None) -> None:
        """The first reason counts. The connection goes with its only call."""
        if self._is_over:
            return
        self._is_over, self._failure = True, failure
        if self._timer is not None:
            self._timer.cancel()
        self._flush()
        if self._transport is not None:
            self._transport.abort()  # gRPC servers leave TLS's goodbye unanswered: it would wait for nothing
        self._changed.set()


async def dial(
    address: str, tls: ssl.SSLContext | None, *, source: tuple[str, int] | None = None
) -> GrpcCall:
    """A connection to `host:port`. With `tls` the host must be in the server's certificate; None: plaintext.
    `source`: address and port to dial from; None leaves both to the kernel.

    Raises UpstreamError.
    """
    host, _, port = address.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    scheme = "http" if tls is None else "https"
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT):
            transport, call = await loop.create_connection(
                lambda: GrpcCall(address, scheme),
                host,
                int(port),
                ssl=tls,
                server_hostname=None if tls is None else host,
                local_addr=source,
            )
    except OSError as error:  # resolution, TCP, TLS and the time limit
        raise UpstreamError(f"UNAVAILABLE: {address}: {error or type(error).__name__}") from error
    if tls is not None and transport.get_extra_info("ssl_object").selected_alpn_protocol() != "h2":
        transport.abort()
        raise UpstreamError(f"UNAVAILABLE: {address} does not speak HTTP/2 (no ALPN h2)")
    return call


async def unary(
    call: GrpcCall, path: str, request: bytes, metadata: Sequence[tuple[str, str]], seconds: float
) -> bytes:
    """One request, one response, within `seconds`. Closes `call`. Raises UpstreamError."""
    try:
        async with asyncio.timeout(seconds):
            call.start(path, metadata, f"{int(seconds * 1000)}m")
            await call.send(request, is_last=True)
            response = await call.receive()
            if response is None:
                raise UpstreamError("INTERNAL: the call ended well, without a response")
            await call.receive()  # the status: a response counts only with an OK behind it
            return response
    except TimeoutError as error:
        raise UpstreamError(f"DEADLINE_EXCEEDED: no answer within {seconds:g} s") from error
    finally:
        await call.close()


def _texts(headers: Iterable[tuple[bytes, bytes] | tuple[str, str]]) -> list[tuple[str, str]]:
    return [(_text(name), _text(value)) for name, value in headers]


def _text(field: bytes | str) -> str:
    """Bytes as they are: what a peer sends need not be UTF-8."""
    return field.decode("latin-1") if isinstance(field, bytes) else field
