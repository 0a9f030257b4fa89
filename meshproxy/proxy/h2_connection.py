"""One downstream HTTP/2 connection: streams to exchanges, many at once. [2, 3]

An exchange is started when the read that brought its head is over, with what of its body came in the same
read; what the exchanges answer gathers and goes out in one write.
"""

from __future__ import annotations

import asyncio
import math
from typing import Final, cast

from meshproxy.errors import RemoteProtocolError
from meshproxy.http.events import Framing, Headers, RequestHead
from meshproxy.http.h1_writer import local_response
from meshproxy.http.h2.error import CANCEL, INTERNAL_ERROR, NO_ERROR, ConnectionFault
from meshproxy.http.h2.hpack import Block
from meshproxy.http.h2.session import Session
from meshproxy.http.h2.stream import Stream
from meshproxy.proxy.client_side import ClientSide
from meshproxy.proxy.h2_exchange import H2Exchange
from meshproxy.proxy.http_manager import HttpManager
from meshproxy.proxy.services import ConnectionFacts
from meshproxy.transport import socket_option
from meshproxy.transport.bounded_read import MAX_READ, STUCK, WRITE_HIGH_WATER, bound_reads
from meshproxy.transport.linger import close_when_received

_HEAD_END: Final = b"\r\n\r\n"
_TOO_LARGE: Final = 431


class H2ServerConnection(Session):
    """An asyncio.Protocol over a plain or TLS transport, in all but name: a class with a base that is not
    compiled could not be compiled either."""

    def __init__(self, manager: HttpManager, facts: ConnectionFacts) -> None:
        super().__init__(manager.h2_limits, is_client=False)
        self._manager = manager
        self._services = manager.services
        self.facts = facts
        self.forwarded_client_cert = manager.forwarded_client_cert(facts)
        self._transport: asyncio.Transport | None = None
        self._is_flush_due = False
        self._is_reading = False
        self._is_write_paused = False
        self._closing = False
        self._is_ending = False
        """GOAWAY was said: it ends with its last stream."""
        self._starting: list[H2Exchange] = []
        self._last_progress = 0.0
        self._began_at = 0.0
        self._requests_left = manager.config.max_requests_per_connection

    # --- asyncio.Protocol ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=WRITE_HIGH_WATER)
        self._last_progress = self._services.clock.monotonic()
        self._manager.connections.add(self)
        self.start()
        self._write_out()

    def data_received(self, data: bytes) -> None:
        if self._closing:
            return
        if len(data) > MAX_READ and self._transport is not None:
            bound_reads(self._transport, cast("asyncio.Protocol", self))
        self._is_reading = True
        try:
            self.receive(data)
        except ConnectionFault as fault:
            self._services.reporter.protocol_error(self.facts.direction, fault.reason)
            self._starting = []
            self._is_reading = False
            self._end(at_once=True)
            self._lose_streams()  # now: a peer that does not read its GOAWAY would keep them going
            return
        if self._starting:
            self._start_exchanges()
        self._is_reading = False
        self._write_out()

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._closing = True
        if self._is_write_paused:
            STUCK.count -= 1
        self._manager.connections.discard(self)
        self.facts.on_closed()
        self._lose_streams()

    def pause_writing(self) -> None:
        self._is_write_paused = True
        STUCK.count += 1
        self.transport_full(is_full=True)

    def resume_writing(self) -> None:
        self._is_write_paused = False
        STUCK.count -= 1
        self.transport_full(is_full=False)
        self.flush_soon()

    def flush_soon(self) -> None:
        """Write what gathered, with whatever else this turn of the loop brings."""
        if not self._is_flush_due and not self._is_reading:
            self._is_flush_due = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        self._is_flush_due = False
        self._write_out()

    def _write_out(self) -> None:
        data = self.take_output()
        if data and not self._closing and self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def _lose_streams(self) -> None:
        for stream in list(self.streams.values()):
            side = stream.owner
            self._drop(stream)
            if isinstance(side, H2ServerStream):
                side.on_lost()

    # --- what the session tells ---

    def on_head(self, stream: Stream, block: Block, request_id: bytes, *, end: bool) -> None:
        manager = self._manager
        self._last_progress = now = self._services.clock.monotonic()
        try:
            request = manager.messages.request(block, request_id, end=end)
        except RemoteProtocolError as error:
            if error.status == 400:  # malformed: StreamFault
                raise
            self._refuse(stream, error.status, str(error))
            return
        if request.head.framing is Framing.LENGTH:  # 0 as well: what followed would be the next request
            stream.expected = request.head.content_length
        if manager.edge is not None:
            request = manager.edge.admit(request, self.facts.peer_address, self.facts.scheme)
        side = H2ServerStream(self, stream)
        stream.owner = side
        exchange = side.exchange = H2Exchange(side, manager, request, now)
        self._starting.append(exchange)
        self._requests_left -= 1
        if self._must_end():
            self._announce()

    def _start_exchanges(self) -> None:
        starting, self._starting = self._starting, []
        for exchange in starting:
            if not exchange.is_done:
                exchange.start()

    def on_head_too_large(self, stream: Stream, *, end: bool) -> None:
        self._refuse(stream, _TOO_LARGE, "the request's fields are larger than allowed")

    def _refuse(self, stream: Stream, status: int, message: str) -> None:
        """Answer what never becomes an exchange."""
        self._services.reporter.protocol_error(self.facts.direction, "h2_refused")
        data = local_response(status, message.encode("ascii", "replace"), close=False)
        end = data.index(_HEAD_END)
        self.send_head(stream, self._manager.messages.response_out(data[: end + 2]), end=False)
        self.send_data(stream, data[end + len(_HEAD_END) :], end=True)
        if stream.id in self.streams:
            self.reset(stream, NO_ERROR)

    def on_data(self, stream: Stream, data: bytes, *, end: bool) -> None:
        side = stream.owner
        if not isinstance(side, H2ServerStream):
            return
        exchange = side.exchange
        if exchange is None or exchange.is_done:
            return
        if data:
            exchange.on_request_data(data)
        if end and not exchange.is_done:
            exchange.on_request_end()

    def on_trailers(self, stream: Stream, block: Block) -> None:
        side = stream.owner
        if isinstance(side, H2ServerStream) and (exchange := side.exchange) and not exchange.is_done:
            exchange.on_request_trailers(self._manager.messages.trailers(block))
            exchange.on_request_end()

    def on_reset(self, stream: Stream, code: int) -> None:
        if isinstance(stream.owner, H2ServerStream):
            stream.owner.on_lost()

    def on_send_blocked(self, stream: Stream) -> None:
        if isinstance(stream.owner, H2ServerStream):
            stream.owner.on_send_paused()

    def on_send_ready(self, stream: Stream) -> None:
        if isinstance(stream.owner, H2ServerStream):
            stream.owner.on_send_resumed()

    def on_stream_over(self, stream: Stream) -> None:
        stream.owner = None
        if self._is_ending and not self.streams and not self._closing:
            self._end()

    # --- the end ---

    def _must_end(self) -> bool:
        """It shall not serve for ever: it is drained, its rules were replaced, or it had its share."""
        services = self._services
        drain = services.drain
        return (
            self._manager.is_retired
            or not self._requests_left
            or (drain is not None and drain.closes(services.clock.monotonic(), services.rng.random()))
        )

    def _announce(self) -> None:
        """Ask the client to go elsewhere with what comes next; what is under way is served."""
        if not self._is_ending:
            self._is_ending = True
            self.announce_end()
            self._services.timers.schedule(self._services.clock.monotonic() + 1.0, self._refuse_new)

    def _refuse_new(self) -> None:
        """The client has had time to hear of it."""
        if not self._closing:
            self.refuse_new()
            if self.streams:
                self.flush_soon()
            else:
                self._end()

    def _end(self, *, at_once: bool = False) -> None:
        """Say what is left to say, and close when the client has it; `at_once`: with no regard to that."""
        if self._closing:
            return
        self._closing = True
        if not self.is_closed:
            self.refuse_new()
        transport = self._transport
        assert transport is not None
        data = self.take_output()
        if not transport.is_closing():
            if data:
                transport.write(data)
            if at_once:
                socket_option.bound_flush(transport)
                transport.close()
            else:
                close_when_received(transport)

    def abort(self) -> None:
        """Cut it."""
        self._closing = True
        if self._transport is not None:
            socket_option.reset(self._transport)

    @property
    def is_busy(self) -> bool:
        """An exchange is under way."""
        return bool(self.streams)

    def drain(self, rested_since: float = math.inf) -> bool:
        """End it if nothing is under way, nor was after `rested_since`; True: it has ended or is ending."""
        if self._closing:
            return True
        if not self.streams and self._last_progress <= rested_since:
            self._end()
            return True
        self._announce()
        self.flush_soon()
        return self._closing

    def check_idle(self, now: float) -> None:
        """End what has not moved for too long."""
        if self._closing:
            return
        self.recover()
        config = self._manager.config
        for stream in list(self.streams.values()):
            if isinstance(stream.owner, H2ServerStream):
                stream.owner.check_idle(now)
        if self.streams:
            self._last_progress = now
            if self._manager.is_retired:
                self._announce()
        elif self._manager.is_retired:
            self._end()
        elif config.request_headers_timeout and self.is_in_head:
            if not self._began_at:
                self._began_at = now
            elif now - self._began_at > config.request_headers_timeout:
                self._end()
            return
        elif config.idle_timeout and now - self._last_progress > config.idle_timeout:
            self._end()
        self._began_at = 0.0

    # --- called by streams ---

    @property
    def is_clogged(self) -> bool:
        """The client does not take what was written."""
        return self._is_write_paused

    @property
    def stream_idle_timeout(self) -> float:
        """Seconds; 0 disables."""
        return self._manager.config.stream_idle_timeout

    def response_block(self, head: bytes) -> bytes:
        """Status line and field lines, as HTTP/1.1 writes them -> a block."""
        return self._manager.messages.response_out(head)

    def send_end(self, stream: Stream, trailers: Headers) -> None:
        """The body is over; the fields behind it, if any."""
        if trailers:
            self.send_trailers(stream, self._manager.messages.trailers_out(trailers))
        else:
            self.send_data(stream, b"", end=True)

    def stream_done(self, stream: Stream, now: float) -> None:
        """The exchange is over on our side."""
        self._last_progress = now
        if stream.id in self.streams and stream.is_local_done and not stream.is_remote_done:
            if not stream.queued:
                self.reset(stream, NO_ERROR)  # RFC 9113 section 8.1: the rest of the request is not wanted
            else:
                self.resume(stream)
        self.flush_soon()

    def _local_done(self, stream: Stream) -> None:
        super()._local_done(stream)
        side = stream.owner
        if isinstance(side, H2ServerStream) and side.exchange is None and stream.id in self.streams:
            self.reset(stream, NO_ERROR)  # as in `stream_done`; the answer had to wait


class H2ServerStream(ClientSide):
    """The client's side of one exchange."""

    __slots__ = ("_connection", "_moved", "_paused", "_progress_at", "_stream", "exchange")

    def __init__(self, connection: H2ServerConnection, stream: Stream) -> None:
        super().__init__(connection.facts, connection.forwarded_client_cert)
        self._connection = connection
        self._stream = stream
        self.exchange: H2Exchange | None = None
        self._paused = 0
        self._moved = -1
        self._progress_at = 0.0

    # --- called by the exchange ---

    def send_head(self, head: bytes, *, end: bool) -> None:
        """Status line and field lines, as HTTP/1.1 writes them."""
        connection = self._connection
        connection.send_head(self._stream, connection.response_block(head), end=end)
        connection.flush_soon()

    def send_interim(self, head: bytes) -> None:
        """As `send_head`, for one that another follows; left out while the client reads nothing: it is no
        loss, and no window would hold back a server that sends them without end."""
        if not self._connection.is_clogged:
            self.send_head(head, end=False)

    def send_data(self, data: bytes, *, end: bool) -> None:
        self._connection.send_data(self._stream, data, end=end)
        self._connection.flush_soon()

    def send_end(self, trailers: Headers) -> None:
        self._connection.send_end(self._stream, trailers)
        self._connection.flush_soon()

    def must_close(self, head: RequestHead) -> bool:
        return False

    def pause_reading(self, reason: int) -> None:
        self._paused |= reason
        self._connection.pause(self._stream)

    def unpause_reading(self, reason: int) -> None:
        was, self._paused = self._paused, self._paused & ~reason
        if was and not self._paused:
            self._connection.resume(self._stream)
            self._connection.flush_soon()

    def abort(self) -> None:
        self._connection.reset(self._stream, INTERNAL_ERROR)
        self._connection.flush_soon()

    def on_stream_done(self, now: float, *, close: bool) -> None:
        self.exchange = None
        self._connection.stream_done(self._stream, now)

    # --- called by the connection ---

    def on_lost(self) -> None:
        """The client gave it up, or is gone."""
        exchange, self.exchange = self.exchange, None
        if exchange is not None:
            exchange.on_downstream_lost()

    def on_send_paused(self) -> None:
        self.is_write_paused = True
        if self.exchange is not None:
            self.exchange.on_downstream_write_paused()

    def on_send_resumed(self) -> None:
        self.is_write_paused = False
        if self.exchange is not None:
            self.exchange.on_downstream_write_resumed()

    def check_idle(self, now: float) -> None:
        exchange = self.exchange
        if exchange is None:  # all is said, and the client does not take it
            limit = self._connection.stream_idle_timeout
        else:
            limit = exchange.idle_timeout
            if exchange.moved != self._moved:
                self._moved = exchange.moved
                self._progress_at = now
        if not self._progress_at:
            self._progress_at = now
        if limit and now - self._progress_at > limit:
            if exchange is not None:
                exchange.on_idle()
            else:
                self._connection.reset(self._stream, CANCEL)
                self._connection.flush_soon()
