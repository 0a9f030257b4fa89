"""One HTTP/2 connection to an upstream: many exchanges at once, each on a stream of its own. [8]

What the streams have to say gathers and goes out in one write, at the end of a read or of the loop's turn.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, cast

from meshproxy.errors import UpstreamError
from meshproxy.http.events import END, NO_BODY, Event, Headers
from meshproxy.http.h2.error import (
    CANCEL,
    ENHANCE_YOUR_CALM,
    PROTOCOL_ERROR,
    REFUSED_STREAM,
    ConnectionFault,
    StreamFault,
)
from meshproxy.http.h2.hpack import ID_FIELD_NAME, Block
from meshproxy.http.h2.message import Messages
from meshproxy.http.h2.session import Session
from meshproxy.http.h2.settings import H2Limits
from meshproxy.http.h2.stream import Stream
from meshproxy.transport import socket_option
from meshproxy.transport.bounded_read import STUCK, WRITE_HIGH_WATER
from meshproxy.upstream.lane import Lane, ResponseSink

_HEAD: Final = b"HEAD"
_FINAL: Final = 200
_MAX_INTERIMS: Final = 1000
"""Of one exchange: they are heads, and no window holds heads back."""


class StreamRefused(UpstreamError):
    """The upstream has not looked at the request (RFC 9113 section 8.7): any may be tried again."""


class StreamReset(UpstreamError):
    """The upstream gave the stream up. `code`: RFC 9113 section 7."""

    def __init__(self, code: int) -> None:
        super().__init__(f"the upstream reset the stream with code {code}")
        self.code = code


class H2UpstreamConnection(Session):
    """An asyncio.Protocol in all but name: without a base that is not compiled it can be compiled itself.

    `on_room(connection)` is called when another exchange may begin after there was no room, or at the start;
    `on_gone(connection)` once when it is lost."""

    def __init__(
        self,
        messages: Messages,
        limits: H2Limits,
        on_room: Callable[[H2UpstreamConnection], None],
        on_gone: Callable[[H2UpstreamConnection], None],
    ) -> None:
        super().__init__(limits, is_client=True)
        self.messages = messages
        self._transport: asyncio.Transport | None = None
        self._on_room = on_room
        self._on_gone = on_gone
        self._is_flush_due = False
        self._is_reading = False
        self._touched: list[H2Lane] = []
        self._is_write_paused = False
        self.is_lost = False
        self.is_retired = False
        """It takes no new exchange; it ends with the last one."""
        self.requests = 0
        self.idle_since = 0.0
        """Monotonic seconds; kept by who pools it."""

    @property
    def is_connected(self) -> bool:
        """A transport was attached (it may be lost again)."""
        return self._transport is not None

    @property
    def has_room(self) -> bool:
        """Another exchange may begin."""
        # Not behind streams whose readers are so slow that all of them have to wait.
        return self.can_open and not self.is_lost and not self.is_retired and not self._withheld

    def lane(self) -> H2Lane:
        """For one exchange, which begins at once. Only when it `has_room`."""
        return H2Lane(self)

    def retire(self) -> None:
        """No new exchanges; those under way go on, and with the last one it ends."""
        self.is_retired = True
        self._close_if_done()

    def close(self) -> None:
        """Say goodbye and end it; what is under way is cut."""
        if self.is_lost:
            return
        self.is_lost = True
        transport = self._transport
        if transport is not None and not transport.is_closing():
            self.refuse_new()
            self._write_out()
            socket_option.bound_flush(transport)
            transport.close()

    def abort(self) -> None:
        """Cut it."""
        self.is_lost = True
        if self._transport is not None:
            self._transport.abort()

    # --- asyncio.Protocol ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=WRITE_HIGH_WATER)
        self.start()
        self._write_out()

    def data_received(self, data: bytes) -> None:
        if self.is_lost:
            return
        self._is_reading = True
        try:
            self.receive(data)
        except ConnectionFault as fault:
            self._tell_touched()
            self._write_out()
            self._lose(fault)
            return
        self._tell_touched()
        self._is_reading = False
        self._write_out()
        self._close_if_done()

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        if self._is_write_paused:
            STUCK.count -= 1
        self._lose(exc)
        self._on_gone(self)

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
        if data and self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def _lose(self, error: Exception | None) -> None:
        """Nobody is served any more."""
        self.is_lost = True
        self._is_reading = False
        lanes = [one.owner for one in self.streams.values()]
        for stream in list(self.streams.values()):
            self._drop(stream)
        if self._transport is not None and not self._transport.is_closing():
            self._transport.close()
        for lane in lanes:
            if isinstance(lane, H2Lane):
                lane.on_lost(error)

    def _close_if_done(self) -> None:
        if not self.streams and (self.is_retired or self.goaway_received):
            self.close()

    # --- what the session tells ---

    def _touch(self, stream: Stream, event: Event) -> None:
        lane = stream.owner
        if isinstance(lane, H2Lane):
            if not lane.events:
                self._touched.append(lane)
            lane.events.append(event)

    def _tell_touched(self) -> None:
        """Each exchange hears of all that one read brought it at once."""
        while self._touched:
            touched, self._touched = self._touched, []
            for lane in touched:
                events, lane.events = lane.events, []
                if events:
                    lane.tell(events)

    def on_head(self, stream: Stream, block: Block, request_id: bytes, *, end: bool) -> None:
        lane = stream.owner
        assert isinstance(lane, H2Lane)
        if request_id:  # only requests have it apart
            block = Block((*block.fields, (ID_FIELD_NAME, request_id)))
        response = self.messages.response(block, end=end, is_head=lane.is_head)
        head = response.head
        if head.status < _FINAL:
            lane.interims += 1
            if lane.interims > _MAX_INTERIMS:
                raise StreamFault(ENHANCE_YOUR_CALM, "interim responses without end")
        elif lane.is_head or head.status in NO_BODY:
            stream.expected = 0  # its content-length, if any, is another response's
        elif end and head.content_length > 0:
            raise StreamFault(PROTOCOL_ERROR, "a body is declared that does not come")
        else:
            stream.expected = head.content_length
        self._touch(stream, response)

    def on_head_too_large(self, stream: Stream, *, end: bool) -> None:
        raise StreamFault(CANCEL, "the response's head is larger than allowed")

    def on_trailers(self, stream: Stream, block: Block) -> None:
        self._touch(stream, self.messages.trailers(block))
        self._touch(stream, END)

    def on_data(self, stream: Stream, data: bytes, *, end: bool) -> None:
        if data:
            self._touch(stream, data)
        if end:
            self._touch(stream, END)

    def on_reset(self, stream: Stream, code: int) -> None:
        lane = stream.owner
        if not isinstance(lane, H2Lane):
            return
        self._tell_touched()  # what came before it
        if code == REFUSED_STREAM:
            lane.on_lost(StreamRefused("the upstream refused the stream"))
        else:
            lane.on_lost(StreamReset(code))

    def on_send_blocked(self, stream: Stream) -> None:
        if isinstance(stream.owner, H2Lane):
            stream.owner.on_send_paused()

    def on_send_ready(self, stream: Stream) -> None:
        if isinstance(stream.owner, H2Lane):
            stream.owner.on_send_resumed()

    def on_stream_over(self, stream: Stream) -> None:
        if not self.is_lost:
            self._on_room(self)

    def _on_settings(self, stream_id: int, flags: int, payload: bytes) -> None:
        super()._on_settings(stream_id, flags, payload)
        if self.has_room:
            self._on_room(self)  # more streams may be allowed now

    def drop_lane(self, stream: Stream, code: int) -> None:
        """Its exchange is over, or given up."""
        stream.owner = None
        if stream.id in self.streams:
            self.reset(stream, code)
            self.flush_soon()
        self._close_if_done()


class H2Lane(Lane):
    """One stream, from its request to the end of its response."""

    __slots__ = ("_connection", "_sink", "_stream", "events", "interims", "is_head")

    def __init__(self, connection: H2UpstreamConnection) -> None:
        super().__init__()
        self._connection = connection
        self._sink: ResponseSink | None = None
        self._stream: Stream | None = None
        self.events: list[Event] = []
        """What the read under way brought."""
        self.interims = 0
        self.is_head = False
        self.requests = connection.requests

    def begin(
        self,
        sink: ResponseSink,
        method: bytes,
        head: bytes,
        body: bytes = b"",
        *,
        chunked: bool = False,
        is_complete: bool = True,
        trailers: Headers = (),
    ) -> None:
        connection = self._connection
        connection.requests += 1
        self.requests = connection.requests
        self._sink = sink
        self.is_head = method == _HEAD
        stream = self._stream = connection.open()
        stream.owner = self
        block = connection.messages.request_out(head)
        connection.send_head(stream, block, end=is_complete and not body and not trailers)
        if body:
            connection.send_data(stream, body, end=is_complete and not trailers)
        if trailers and is_complete:
            connection.send_trailers(stream, connection.messages.trailers_out(trailers))
        connection.flush_soon()

    def send_body(self, data: bytes) -> None:
        stream = self._stream
        if stream is not None and not stream.is_local_done:
            self._connection.send_data(stream, data, end=False)
            self._connection.flush_soon()

    def end_body(self, trailers: Headers) -> None:
        stream = self._stream
        if stream is None or stream.is_local_done:
            return
        if trailers:
            self._connection.send_trailers(stream, self._connection.messages.trailers_out(trailers))
        else:
            self._connection.send_data(stream, b"", end=True)
        self._connection.flush_soon()

    def finish(self, reusable: bool) -> None:
        self._leave(CANCEL)  # where the request is still on its way: nobody wants the rest

    def close(self) -> None:
        self._leave(CANCEL)

    def abort(self) -> None:
        self._leave(CANCEL)

    def _leave(self, code: int) -> None:
        self._sink = None
        self.is_lost = True
        self.events = []
        stream, self._stream = self._stream, None
        if stream is not None:
            self._connection.drop_lane(stream, code)

    def pause_reading(self) -> None:
        if self._stream is not None:
            self._connection.pause(self._stream)

    def resume_reading(self) -> None:
        if self._stream is not None:
            self._connection.resume(self._stream)
            self._connection.flush_soon()

    # --- called by the connection ---

    def tell(self, events: list[Event]) -> None:
        if self._sink is not None:
            self._sink.on_response(events)

    def on_lost(self, error: Exception | None) -> None:
        self.is_lost = True
        self._stream = None
        sink, self._sink = self._sink, None
        if sink is not None:
            sink.on_upstream_lost(error)

    def on_send_paused(self) -> None:
        if self._sink is not None:
            self._sink.on_upstream_write_paused()

    def on_send_resumed(self) -> None:
        if self._sink is not None:
            self._sink.on_upstream_write_resumed()
