"""One downstream HTTP/1.1 connection: bytes to exchanges, one after the other, and back-pressure. [2, 3]

Callbacks only: an exchange whose upstream connection is pooled needs no task, future or await.
"""

from __future__ import annotations

import asyncio
import math
from typing import Final, cast

from meshproxy.config.model import AUTO, HTTP2_NAMES
from meshproxy.errors import RemoteProtocolError
from meshproxy.http.events import END, Event, Request, RequestHead, Trailers
from meshproxy.http.h1_writer import local_response
from meshproxy.http.h2.frame import PREFACE
from meshproxy.proxy.client_side import ClientSide
from meshproxy.proxy.h2_connection import H2ServerConnection
from meshproxy.proxy.http_manager import HttpManager
from meshproxy.proxy.http_stream import HttpStream
from meshproxy.proxy.services import PAUSED_BY_BODY, PAUSED_BY_PIPELINE, ConnectionFacts
from meshproxy.proxy.upgrade import UpgradeStream
from meshproxy.transport import socket_option
from meshproxy.transport.bounded_read import MAX_READ, STUCK, WRITE_HIGH_WATER, bound_reads

_MAX_PIPELINED: Final = 65536
"""Bytes of further requests held while one is being answered; reading pauses above it."""

_LINGER_SECONDS: Final = 1.0
"""A connection we end is still read for so long, so that the peer gets the answer and not a reset (RFC 9112
section 9.6). Envoy's `delayed_close_timeout`."""


class HttpServerConnection(ClientSide):
    """An asyncio.Protocol over a plain or TLS transport, in all but name: a class with a base that is not
    compiled could not be compiled either."""

    __slots__ = (
        "_closing",
        "_early",
        "_head_began_at",
        "_is_fresh",
        "_last_progress",
        "_manager",
        "_moved",
        "_paused",
        "_pumping",
        "_reader",
        "_requests_left",
        "_services",
        "_stream",
        "_transport",
    )

    def __init__(self, manager: HttpManager, facts: ConnectionFacts) -> None:
        super().__init__(facts, manager.forwarded_client_cert(facts))
        self._manager = manager
        self._services = manager.services
        self._reader = manager.request_reader()
        self._transport: asyncio.Transport | None = None
        self._stream: HttpStream | None = None
        self._paused = 0
        self._closing = False
        self._pumping = False
        self._last_progress = 0.0
        self._head_began_at = 0.0
        self._requests_left = manager.config.max_requests_per_connection
        """Counts down; without a limit it starts at 0, and is never 0 when it is looked at."""
        self._moved = 0
        self._is_fresh = manager.config.codec == AUTO
        """Nothing was read yet, and it may turn out to be HTTP/2."""
        self._early = b""

    # --- asyncio.Protocol ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=WRITE_HIGH_WATER)
        self._last_progress = self._services.clock.monotonic()
        self._manager.connections.add(self)

    def data_received(self, data: bytes) -> None:
        if self._closing:
            return  # lingering: read and dropped
        if self._is_fresh:
            data = self._settle(data)
            if not data:
                return
        if len(data) > MAX_READ and self._transport is not None:
            bound_reads(self._transport, cast("asyncio.Protocol", self))
        try:
            events = self._reader.receive(data)
        except RemoteProtocolError as error:
            self._refuse(error)
            return
        if events:
            self._handle(events)
        elif self._reader.buffered > _MAX_PIPELINED and self._reader.is_complete:
            self.pause_reading(PAUSED_BY_PIPELINE)

    def _settle(self, data: bytes) -> bytes:
        """The first bytes say which HTTP it is. Returns what is to be read here: nothing while they may still
        become the preface of HTTP/2 (RFC 9113 section 3.4), or when they were, or had to be."""
        data = self._early + data
        transport = self._transport
        assert transport is not None
        if not data.startswith(PREFACE[: len(data)]):
            if not _agreed_on_http2(transport):
                self._is_fresh = False
                return data
        elif len(data) < len(PREFACE):
            self._early = data
            return b""
        self._manager.connections.discard(self)
        self._closing = True
        successor = H2ServerConnection(self._manager, self.facts)
        transport.set_protocol(cast("asyncio.Protocol", successor))
        successor.connection_made(transport)
        successor.data_received(data)
        return b""

    def eof_received(self) -> bool:
        """The client is gone. A half-close looks the same, but one that leaves is the common case: as Envoy,
        we stop working for it rather than finish for nobody. Switched to another protocol, it is one."""
        if self._stream is not None and self._stream.on_downstream_eof():
            return True
        self._closing = True
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.on_downstream_lost()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._closing = True
        if self.is_write_paused:
            STUCK.count -= 1
        self._manager.connections.discard(self)
        self.facts.on_closed()
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.on_downstream_lost()

    def pause_writing(self) -> None:
        self.is_write_paused = True
        STUCK.count += 1
        if self._stream is not None:
            self._stream.on_downstream_write_paused()

    def resume_writing(self) -> None:
        self.is_write_paused = False
        STUCK.count -= 1
        if self._stream is not None:
            self._stream.on_downstream_write_resumed()
        elif self._reader.is_complete and not self._closing and not self._pumping:
            self._handle(self._next_events())  # requests that waited for the client to take its answers

    # --- requests ---

    def _handle(self, events: list[Event]) -> None:
        """Feed events to the exchange. Loops instead of recursing when exchanges end at once (pipelining)."""
        self._pumping = True
        while events:
            first = events[0]
            if type(first) is Request:
                self._begin(first, events)
            else:
                for event in events:
                    self._dispatch(event)
            events = self._next_events() if self._can_go_on else []
        self._pumping = False

    def _begin(self, request: Request, events: list[Event]) -> None:
        """Start an exchange. What is already here of its body goes to it first, and so out with the head in
        one write."""
        self._last_progress = now = self._services.clock.monotonic()
        self._requests_left -= 1
        manager = self._manager
        if manager.edge is not None:
            request = manager.edge.admit(request, self.facts.peer_address, self.facts.scheme)
        make = UpgradeStream if request.head.upgrade and manager.may_upgrade(request.head) else HttpStream
        self._stream = stream = make(self, manager, request, now)
        if len(events) > 1:
            for event in events[1:]:
                self._dispatch(event)
        stream.start()

    @property
    def _can_go_on(self) -> bool:
        """Nothing is under way, and the client takes what it is sent: the next request may start."""
        return self._stream is None and not self._closing and not self.is_write_paused

    def _dispatch(self, event: Event) -> None:
        current = self._stream
        if current is None:
            return  # the exchange was answered early; the rest of its body is dropped
        if type(event) is bytes:
            current.on_request_data(event)
        elif event is END:
            current.on_request_end()
        elif type(event) is Trailers:
            current.on_request_trailers(event)

    def _next_events(self) -> list[Event]:
        try:
            events = self._reader.start_next()
        except RemoteProtocolError as error:
            self._refuse(error)
            return []
        if self._paused & PAUSED_BY_PIPELINE and self._reader.buffered <= _MAX_PIPELINED:
            self.unpause_reading(PAUSED_BY_PIPELINE)
        return events

    def _refuse(self, error: RemoteProtocolError) -> None:
        """The bytes are not HTTP we accept: answer if an answer can still be understood, then close."""
        self._services.reporter.protocol_error(self.facts.direction, error.reason)
        if self._stream is not None:
            self._stream.on_bad_request(error)
            return
        self.write(local_response(error.status, str(error).encode("ascii", "replace"), close=True))
        self.close_gracefully()

    # --- called by the exchange ---

    def write(self, data: bytes) -> None:
        assert self._transport is not None
        self._transport.write(data)

    def switch(self) -> bytes:
        early = self._reader.switch()
        if self._paused & PAUSED_BY_PIPELINE:
            self.unpause_reading(PAUSED_BY_PIPELINE)
        return early

    def write_eof(self) -> None:
        assert self._transport is not None
        if not self._transport.is_closing():
            self._transport.write_eof()

    def close(self) -> None:
        self._closing = True
        transport = self._transport
        assert transport is not None
        if not transport.is_closing():
            socket_option.bound_flush(transport)
            transport.close()

    def must_close(self, head: RequestHead) -> bool:
        return (
            not head.keep_alive or self._is_drained() or self._manager.is_retired or not self._requests_left
        )

    def _is_drained(self) -> bool:
        """The process leaves, and this connection's turn to end has come."""
        services = self._services
        drain = services.drain
        return drain is not None and drain.closes(services.clock.monotonic(), services.rng.random())

    def on_stream_done(self, now: float, *, close: bool) -> None:
        self._stream = None
        if self._paused & PAUSED_BY_BODY:
            self.unpause_reading(PAUSED_BY_BODY)
        if close:
            self.close_gracefully()
        elif not self._pumping:
            self._last_progress = now
            if not self._closing and not self.is_write_paused and (events := self._next_events()):
                self._handle(events)

    def pause_reading(self, reason: int) -> None:
        if not self._paused and self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()
        self._paused |= reason

    def unpause_reading(self, reason: int) -> None:
        was, self._paused = self._paused, self._paused & ~reason
        if was and not self._paused and self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def close_gracefully(self) -> None:
        """Send what is buffered and FIN; read on for a moment so that the answer is not lost to a reset."""
        if self._closing:
            return
        self._closing = True
        transport = self._transport
        assert transport is not None
        if transport.is_closing():
            return
        self._paused = 0
        socket_option.bound_flush(transport)
        transport.resume_reading()
        if not transport.can_write_eof():
            transport.close()
            return
        try:
            transport.write_eof()
        except OSError:  # asyncio's own transport says so when the peer is gone already
            transport.close()
            return
        asyncio.get_running_loop().call_later(_LINGER_SECONDS, transport.close)

    def abort(self) -> None:
        self._closing = True
        if self._transport is not None:
            socket_option.reset(self._transport)

    # --- upkeep ---

    def check_idle(self, now: float) -> None:
        """End what has not moved for too long. Bytes are compared here so that passing them costs nothing."""
        if self._closing:
            return
        config = self._manager.config
        stream = self._stream
        if stream is not None and stream.moved != self._moved:
            self._moved = stream.moved
            self._last_progress = now
        waited = now - self._last_progress
        if stream is not None:
            limit = stream.idle_timeout
            if limit and waited > limit:
                stream.on_idle()
        elif self.is_write_paused:  # it does not take its answer
            if config.stream_idle_timeout and waited > config.stream_idle_timeout:
                self.abort()
        elif config.request_headers_timeout and not self._reader.is_idle:
            self._check_head(now, config.request_headers_timeout)
        elif config.idle_timeout and waited > config.idle_timeout:
            self.close_gracefully()

    def _check_head(self, now: float, timeout: float) -> None:
        """A head is unfinished. That it began is noticed here, so that no request pays for it: up to a sweep
        late, and anew when the one that was unfinished last time has become a request."""
        if self._head_began_at <= self._last_progress:
            self._head_began_at = now
        elif now - self._head_began_at > timeout:
            self._refuse(
                RemoteProtocolError("request head took too long", status=408, reason="header_timeout")
            )

    @property
    def is_busy(self) -> bool:
        """An exchange is under way."""
        return self._stream is not None

    def drain(self, rested_since: float = math.inf) -> bool:
        """End it if nothing is under way, nor was after `rested_since`; True: it has ended or is ending."""
        if self._stream is None and self._reader.is_idle and self._last_progress <= rested_since:
            self.close_gracefully()
        return self._closing


def _agreed_on_http2(transport: asyncio.Transport) -> bool:
    """TLS has settled the version already: an answer of HTTP/1.1 would not be understood."""
    tls = transport.get_extra_info("ssl_object")
    return tls is not None and tls.selected_alpn_protocol() in HTTP2_NAMES
