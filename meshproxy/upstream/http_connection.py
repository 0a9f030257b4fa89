"""One HTTP/1.1 connection to an upstream: a codec and at most one exchange at a time. [8]"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

from meshproxy.errors import RemoteProtocolError
from meshproxy.http.codec import ResponseReader
from meshproxy.http.events import Headers
from meshproxy.http.h1_writer import LAST_CHUNK, chunk, last_chunk
from meshproxy.transport import socket_option
from meshproxy.transport.bounded_read import MAX_READ, STUCK, WRITE_HIGH_WATER, bound_reads
from meshproxy.upstream.lane import Lane, ResponseSink


class HttpUpstreamConnection(Lane):
    """An asyncio.Protocol in all but name: without a base that is not compiled it can be compiled itself.

    `on_free(connection)` is called when it may serve again, `on_gone(connection)` once when it is lost."""

    __slots__ = (
        "_chunked",
        "_is_write_paused",
        "_on_free",
        "_on_gone",
        "_reader",
        "_sink",
        "_switched",
        "_transport",
    )

    def __init__(
        self,
        reader: ResponseReader,
        on_free: Callable[[HttpUpstreamConnection], None],
        on_gone: Callable[[HttpUpstreamConnection], None],
    ) -> None:
        super().__init__()
        self._reader = reader
        self._sink: ResponseSink | None = None
        self._transport: asyncio.Transport | None = None
        self._on_free = on_free
        self._on_gone = on_gone
        self._is_write_paused = False
        self._switched = False
        self._chunked = False

    @property
    def is_connected(self) -> bool:
        """A transport was attached (it may be lost again)."""
        return self._transport is not None

    # --- the exchange ---

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
        self._sink = sink
        self.requests += 1
        self._reader.expect(method)
        self._chunked = chunked
        assert self._transport is not None
        if chunked:
            if body:
                head += chunk(body)
            if is_complete:
                head += last_chunk(trailers) if trailers else LAST_CHUNK
        elif body:
            head += body
        self._transport.write(head)

    def send_body(self, data: bytes) -> None:
        self.write(chunk(data) if self._chunked else data)

    def end_body(self, trailers: Headers) -> None:
        if self._chunked:
            self.write(last_chunk(trailers) if trailers else LAST_CHUNK)

    def write(self, data: bytes) -> None:
        assert self._transport is not None
        self._transport.write(data)

    def finish(self, reusable: bool) -> None:
        self._sink = None
        # Bytes behind the response would be taken for the next one: such a connection is not pooled. Nor is
        # one whose peer answered without reading: the next exchange would not hear that writing is paused.
        if reusable and not self.is_lost and self._reader.is_idle and not self._is_write_paused:
            self._on_free(self)
        else:
            self.close()

    def close(self) -> None:
        if self._is_write_paused:
            self.abort()
            return
        self._sink = None
        self.is_lost = True
        if self._transport is not None:
            socket_option.bound_flush(self._transport)
            self._transport.close()

    def abort(self) -> None:
        self._sink = None
        self.is_lost = True
        if self._transport is not None:
            self._transport.abort()

    def switch(self) -> bytes:
        self._switched = True
        return self._reader.switch()

    def write_eof(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write_eof()

    def reset(self) -> None:
        self._sink = None
        self.is_lost = True
        if self._transport is not None:
            socket_option.reset(self._transport)

    def pause_reading(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    # --- asyncio.Protocol ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=WRITE_HIGH_WATER)

    def data_received(self, data: bytes) -> None:
        sink = self._sink
        if sink is None:
            self.abort()  # bytes nobody asked for: the next response would be somebody else's
            return
        if len(data) > MAX_READ and self._transport is not None:
            bound_reads(self._transport, cast("asyncio.Protocol", self))
        try:
            events = self._reader.receive(data)
        except RemoteProtocolError as error:
            self._lose(error)
            return
        if events:
            sink.on_response(events)

    def eof_received(self) -> bool:
        sink = self._sink
        self.is_lost = True  # not reusable, whatever the events say
        if sink is not None:
            try:
                events = self._reader.receive_eof()
            except RemoteProtocolError:
                self._lose(None)
                return False
            if events:
                sink.on_response(events)
            else:
                self._lose(None)
        return self._switched

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_lost = True
        if self._is_write_paused:
            STUCK.count -= 1
        sink, self._sink = self._sink, None
        self._on_gone(self)
        if sink is not None:
            sink.on_upstream_lost(exc)

    def pause_writing(self) -> None:
        self._is_write_paused = True
        STUCK.count += 1
        if self._sink is not None:
            self._sink.on_upstream_write_paused()

    def resume_writing(self) -> None:
        self._is_write_paused = False
        STUCK.count -= 1
        if self._sink is not None:
            self._sink.on_upstream_write_resumed()

    def _lose(self, error: Exception | None) -> None:
        self.is_lost = True
        sink, self._sink = self._sink, None
        if self._transport is not None:
            self._transport.abort()
        if sink is not None:
            sink.on_upstream_lost(error)
