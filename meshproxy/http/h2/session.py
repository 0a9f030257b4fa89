"""One HTTP/2 connection, either side of it, without I/O (RFC 9113) (pure). [3]

Bytes go in by `receive`; what they mean comes out through the `on_…` methods, which the owner overrides, and
what is to be sent through `take_output`. A `ConnectionFault` ends the connection: the GOAWAY that says why is
in the output already. Faults of one stream are answered here (RST_STREAM) and told by `on_reset`.

A hostile peer is bounded by `H2Limits`: open streams, header blocks, CONTINUATION, requests taken back,
frames that carry nothing, answers that it does not read, and data that nobody takes.
"""

from __future__ import annotations

from typing import Final

from meshproxy.http.h2 import frame as frames
from meshproxy.http.h2.error import (
    CANCEL,
    ENHANCE_YOUR_CALM,
    FLOW_CONTROL_ERROR,
    FRAME_SIZE_ERROR,
    NO_ERROR,
    PROTOCOL_ERROR,
    REFUSED_STREAM,
    STREAM_CLOSED,
    ConnectionFault,
    HeaderListTooLarge,
    StreamFault,
)
from meshproxy.http.h2.frame import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HAS_PRIORITY,
    HEAD_BYTES,
    HEADERS,
    MAX_STREAM_ID,
    MAX_WINDOW,
    PADDED,
    PING,
    PREFACE,
    PRIORITY,
    PUSH_PROMISE,
    RST_STREAM,
    SETTINGS,
    SMALLEST_MAX_FRAME,
    WINDOW_UPDATE,
    word,
)
from meshproxy.http.h2.hpack import DEFAULT_TABLE_SIZE, Block, BlockReader, Fields
from meshproxy.http.h2.inflow import Inflow
from meshproxy.http.h2.settings import (
    DEFAULT_WINDOW,
    ENABLE_PUSH,
    INITIAL_WINDOW_SIZE,
    MAX_CONCURRENT_STREAMS,
    MAX_HEADER_LIST_SIZE,
    H2Limits,
)
from meshproxy.http.h2.stream import Stream

_MESSAGE_CREDIT: Final = 20
_NOTHING: Final = Block(())
_FIXED_SIZES: Final = {PRIORITY: 5, RST_STREAM: 4, PING: 8, WINDOW_UPDATE: 4}


class Session(Inflow):
    """`is_client`: who opens streams."""

    def __init__(self, limits: H2Limits, *, is_client: bool) -> None:
        super().__init__(limits, is_client=is_client)
        self.is_closed = False
        """After a ConnectionFault: nothing that comes is read."""
        self.goaway_received = False
        self._goaway_sent = MAX_STREAM_ID + 1
        """Streams of the peer's above it are not served; none yet."""
        self._buffer = b""
        self._needs_preface = not is_client
        self._needs_settings = True
        self._has_peer_settings = False
        self._reader = BlockReader(max_list_bytes=limits.max_head_bytes)
        self._block: list[bytes] = []
        self._block_bytes = 0
        self._block_stream = 0
        """The stream of a block that has begun; 0 for none."""
        self._block_ends_stream = False

    # --- for the owner to override ---

    def on_head(self, stream: Stream, block: Block, request_id: bytes, *, end: bool) -> None:
        """A request (for a server: of a new stream) or a response, also an interim one. `request_id`: a last
        `x-request-id`, which is not among the fields. May raise StreamFault."""

    def on_trailers(self, stream: Stream, block: Block) -> None:
        """The fields behind the body, which end the stream. May raise StreamFault."""

    def on_head_too_large(self, stream: Stream, *, end: bool) -> None:
        """A request or response whose fields are more than allowed; the connection goes on."""

    def on_goaway(self, last_stream: int, code: int) -> None:
        """The peer takes no new streams; those of ours above `last_stream` were told by `on_reset`."""

    def on_ping_answer(self) -> None:
        """Our PING came back."""

    # --- the owner's side ---

    def start(self) -> None:
        """The preface and our settings: the first bytes on the connection."""
        values = {
            MAX_CONCURRENT_STREAMS: 0 if self.is_client else self.limits.max_concurrent_streams,
            INITIAL_WINDOW_SIZE: self.limits.stream_window,
            MAX_HEADER_LIST_SIZE: self.limits.max_head_bytes,
        }
        if self.is_client:
            self.out.append(PREFACE)
            values[ENABLE_PUSH] = 0
            del values[MAX_CONCURRENT_STREAMS]
        self.out.append(frames.settings(values))
        self.out.append(frames.window_update(0, self.limits.max_unread - DEFAULT_WINDOW))

    @property
    def can_open(self) -> bool:
        """A client may begin another stream now."""
        return (
            not self.goaway_received
            and not self.is_closed
            and self._next_id <= MAX_STREAM_ID
            and len(self.streams) < self.peer.max_concurrent_streams
        )

    def open(self) -> Stream:
        """The next stream of ours; only when `can_open`."""
        stream = Stream(self._next_id, self.peer.initial_window)
        self.streams[self._next_id] = stream
        self._next_id += 2
        return stream

    @property
    def is_in_head(self) -> bool:
        """The preface or a header block is unfinished, or a frame is."""
        return bool(self._block_stream or self._buffer or self._needs_preface)

    def announce_end(self) -> None:
        """Graceful shutdown, first step: no new streams please, but those under way are served."""
        self.out.append(frames.goaway(MAX_STREAM_ID, NO_ERROR))

    def refuse_new(self) -> None:
        """Graceful shutdown, second step: streams opened from now on are not served."""
        if self._goaway_sent > self.last_peer_stream:
            self._goaway_sent = self.last_peer_stream
            self.out.append(frames.goaway(self.last_peer_stream, NO_ERROR))

    def ping(self, payload: bytes) -> None:
        """Ask whether anybody is there. 8 bytes."""
        self.out.append(frames.frame(PING, 0, 0, payload))

    # --- receiving ---

    def receive(self, data: bytes) -> None:
        """Take in what came. Raises ConnectionFault, once; its GOAWAY is in the output."""
        if self.is_closed:
            return
        try:
            self._receive(data)
        except ConnectionFault as fault:
            self.is_closed = True
            last = min(self.last_peer_stream, self._goaway_sent)  # it must not grow (RFC 9113 section 6.8)
            self.out.append(frames.goaway(last, fault.code, str(fault).encode()[:128]))
            raise

    def _receive(self, data: bytes) -> None:
        if self._buffer:
            data = self._buffer + data
            self._buffer = b""
        position, end = 0, len(data)
        if self._needs_preface:
            if not data.startswith(PREFACE[:end]):
                raise ConnectionFault(PROTOCOL_ERROR, "the connection does not begin with the preface")
            if end < len(PREFACE):
                self._buffer = data
                return
            self._needs_preface = False
            position = len(PREFACE)
        while end - position >= HEAD_BYTES:
            size = (data[position] << 16) | (data[position + 1] << 8) | data[position + 2]
            kind = data[position + 3]
            if size > SMALLEST_MAX_FRAME:
                raise ConnectionFault(
                    FRAME_SIZE_ERROR, f"a frame of {size} bytes; {SMALLEST_MAX_FRAME} are allowed"
                )
            start = position + HEAD_BYTES
            if end - start < size:
                break
            stream_id = word(data, position + 5) & MAX_STREAM_ID
            flags = data[position + 4]
            position = start + size
            if kind == DATA and not self._block_stream and not self._needs_settings:
                self._on_data(stream_id, flags, data[start:position])
            else:
                self._on_frame(kind, flags, stream_id, data[start:position])
        self._buffer = data[position:]

    def _on_frame(self, kind: int, flags: int, stream_id: int, payload: bytes) -> None:
        if self._needs_settings:
            if kind != SETTINGS or flags & ACK:
                raise ConnectionFault(PROTOCOL_ERROR, "the first frame is not SETTINGS")
            self._needs_settings = False
        if self._block_stream and (kind != CONTINUATION or stream_id != self._block_stream):
            raise ConnectionFault(PROTOCOL_ERROR, "a header block is interrupted by another frame")
        wanted = _FIXED_SIZES.get(kind)
        if wanted is not None and len(payload) != wanted:
            self._on_wrong_size(kind, stream_id)
        elif kind == HEADERS:
            self._on_headers(stream_id, flags, payload)
        elif kind == WINDOW_UPDATE:
            self._on_window_update(stream_id, word(payload) & MAX_WINDOW)
        elif kind == CONTINUATION:
            self._on_continuation(stream_id, flags, payload)
        elif kind == RST_STREAM:
            self._on_rst_stream(stream_id, word(payload))
        elif kind == SETTINGS:
            self._on_settings(stream_id, flags, payload)
        elif kind == PING:
            self._on_ping(stream_id, flags, payload)
        elif kind == GOAWAY:
            self._on_goaway(stream_id, payload)
        elif kind == PRIORITY:
            self._on_priority(stream_id, word(payload) & MAX_STREAM_ID)
        elif kind == PUSH_PROMISE:
            raise ConnectionFault(PROTOCOL_ERROR, "PUSH_PROMISE, which was switched off")
        else:
            self._spend(1)  # RFC 9113 section 4.1: frames of unknown types are ignored

    def _on_wrong_size(self, kind: int, stream_id: int) -> None:
        """RFC 9113 section 4.2: of one stream only where the frame says nothing on others."""
        if kind == PRIORITY and stream_id:
            self._stream_fault(stream_id, FRAME_SIZE_ERROR)
            return
        raise ConnectionFault(FRAME_SIZE_ERROR, f"a frame of type {kind} has the wrong length")

    # --- header blocks ---

    def _on_headers(self, stream_id: int, flags: int, payload: bytes) -> None:
        if not stream_id:
            raise ConnectionFault(PROTOCOL_ERROR, "HEADERS on stream 0")
        start, end = 0, len(payload)
        if flags & PADDED:
            if not payload or payload[0] >= end:
                raise ConnectionFault(PROTOCOL_ERROR, "more padding than frame")
            start, end = 1, end - payload[0]
        depends_on = -1
        if flags & HAS_PRIORITY:
            if end - start < 5:
                raise ConnectionFault(FRAME_SIZE_ERROR, "HEADERS ends inside its priority")
            depends_on = word(payload, start) & MAX_STREAM_ID
            start += 5
        self._block_ends_stream = bool(flags & END_STREAM)
        block = payload[start:end] if start or end != len(payload) else payload
        if flags & END_HEADERS:
            self._on_block(stream_id, block)
        else:
            self._block_stream = stream_id
            self._block = [block]
            self._block_bytes = len(block)
        if depends_on == stream_id:
            if self._block_stream:  # the stream would be opened after its reset
                raise ConnectionFault(PROTOCOL_ERROR, "HEADERS on a stream that depends on itself")
            self._stream_fault(stream_id, PROTOCOL_ERROR)

    def _on_continuation(self, stream_id: int, flags: int, payload: bytes) -> None:
        if not self._block_stream:
            raise ConnectionFault(PROTOCOL_ERROR, "CONTINUATION without HEADERS")
        self._block.append(payload)
        self._block_bytes += len(payload)
        if self._block_bytes > self.limits.max_head_bytes or len(self._block) > self.limits.max_continuations:
            raise ConnectionFault(ENHANCE_YOUR_CALM, "a header block is longer than allowed")
        if flags & END_HEADERS:
            block = b"".join(self._block)
            self._block = []
            self._block_stream = 0
            self._on_block(stream_id, block)

    def _on_block(self, stream_id: int, block: bytes) -> None:
        ends = self._block_ends_stream
        is_too_large = False
        found, request_id = _NOTHING, b""
        try:
            found, request_id = self._reader.read(block)  # always: the table must stay in step
        except HeaderListTooLarge:
            is_too_large = True
        stream = self.streams.get(stream_id)
        if stream is None:
            stream = self._new_stream(stream_id)
            if stream is None:
                return
        elif stream.is_remote_done:
            self._stream_fault(stream_id, STREAM_CLOSED)
            return
        self._control_credit += _MESSAGE_CREDIT
        try:
            self._tell_block(stream, found, request_id, ends=ends, is_too_large=is_too_large)
        except StreamFault as fault:
            self._stream_fault(stream_id, fault.code)

    def _tell_block(
        self, stream: Stream, block: Block, request_id: bytes, *, ends: bool, is_too_large: bool
    ) -> None:
        if stream.is_reading_trailers:
            if is_too_large:
                raise StreamFault(ENHANCE_YOUR_CALM, "trailers are longer than allowed")
            if not ends:
                raise StreamFault(PROTOCOL_ERROR, "trailers do not end the stream")
            self._check_length(stream)
            stream.is_remote_done = True
            self.on_trailers(stream, block)
        else:
            stream.is_reading_trailers = not (self.is_client and _is_interim(block.fields))
            if ends and not stream.is_reading_trailers:
                raise StreamFault(PROTOCOL_ERROR, "an interim response ends the stream")
            stream.is_remote_done = ends
            if is_too_large:
                self.on_head_too_large(stream, end=ends)
            else:
                self.on_head(stream, block, request_id, end=ends)
                if ends and stream.expected > 0 and not self.is_client:
                    raise StreamFault(PROTOCOL_ERROR, "a body is declared that does not come")
        if ends:
            self._remote_done(stream)

    def _new_stream(self, stream_id: int) -> Stream | None:
        """A stream the peer opens; None when it is not served."""
        is_peers = (stream_id & 1) == (0 if self.is_client else 1)
        if not is_peers or self.is_client:
            if not is_peers and stream_id < self._next_id:
                self._spend(1)  # an answer that was on its way when we gave the stream up
                return None
            raise ConnectionFault(PROTOCOL_ERROR, "HEADERS on a stream that the peer may not open")
        if stream_id <= self.last_peer_stream:
            if stream_id in self._reset_by_us:
                self._spend(1)
                return None
            raise ConnectionFault(STREAM_CLOSED, "HEADERS on a stream that is closed")
        self.last_peer_stream = stream_id
        if stream_id > self._goaway_sent:
            self._remember_reset(stream_id)
            return None  # RFC 9113 section 6.8: ignored, the peer knows that it was not served
        limits = self.limits
        if len(self.streams) >= limits.max_concurrent_streams or self._unsent_heads > limits.max_unsent_heads:
            self._remember_reset(stream_id)
            self._control(frames.rst_stream(stream_id, REFUSED_STREAM))
            self._spend_reset()
            return None
        stream = Stream(stream_id, self.peer.initial_window)
        self.streams[stream_id] = stream
        return stream

    # --- control frames ---

    def _on_window_update(self, stream_id: int, increment: int) -> None:
        self._spend(1)
        if not stream_id:
            if not increment:
                raise ConnectionFault(PROTOCOL_ERROR, "WINDOW_UPDATE by 0")
            if not self._open_send_window(increment):
                raise ConnectionFault(FLOW_CONTROL_ERROR, "the connection's window grew beyond 2^31-1")
            return
        stream = self.streams.get(stream_id)
        if stream is None:
            self._check_not_idle(stream_id, "WINDOW_UPDATE")
        elif not increment:
            self._stream_fault(stream_id, PROTOCOL_ERROR)
        else:
            stream.send_window += increment
            if stream.send_window > MAX_WINDOW:
                self._stream_fault(stream_id, FLOW_CONTROL_ERROR)
            elif stream.queued:
                self._pump()

    def _on_rst_stream(self, stream_id: int, code: int) -> None:
        if not stream_id:
            raise ConnectionFault(PROTOCOL_ERROR, "RST_STREAM on stream 0")
        stream = self.streams.get(stream_id)
        if stream is None:
            self._check_not_idle(stream_id, "RST_STREAM")
            self._spend(1)
            return
        if not self.is_client and not stream.is_answered:
            self._spend_reset()
        self._forget_unread(stream)
        self.on_reset(stream, code)
        if stream_id in self.streams:
            self._drop(stream)

    def _on_settings(self, stream_id: int, flags: int, payload: bytes) -> None:
        if stream_id:
            raise ConnectionFault(PROTOCOL_ERROR, "SETTINGS on a stream")
        if flags & ACK:
            if payload:
                raise ConnectionFault(FRAME_SIZE_ERROR, "an acknowledgement of SETTINGS with content")
            self._spend(1)
            self._settings_acked = True
            return
        if len(payload) % 6:
            raise ConnectionFault(FRAME_SIZE_ERROR, "SETTINGS whose length is not a multiple of 6")
        self._spend(1 + len(payload) // 48)
        if not self._has_peer_settings:
            self._has_peer_settings = True
            self.peer.begin()
        before, table = self.peer.initial_window, self.peer.smallest_table
        for key, value in frames.read_settings(payload):
            self.peer.apply(key, value, from_server=self.is_client)
        if self.peer.smallest_table < table == DEFAULT_TABLE_SIZE:
            self._owes_table_update = True  # once: less than nothing is not to be had
        # First: for a peer that counts strictly its new window holds from the acknowledgement on.
        self._control(frames.frame(SETTINGS, ACK, 0, b""))
        shift = self.peer.initial_window - before  # once: a frame holds thousands, each for all streams
        if shift and not self._shift_send_windows(shift):
            raise ConnectionFault(FLOW_CONTROL_ERROR, "a stream's window grew beyond 2^31-1")

    def _on_ping(self, stream_id: int, flags: int, payload: bytes) -> None:
        if stream_id:
            raise ConnectionFault(PROTOCOL_ERROR, "PING on a stream")
        self._spend(1)
        if flags & ACK:
            self.on_ping_answer()
            return
        self._control(frames.frame(PING, ACK, 0, payload))

    def _on_goaway(self, stream_id: int, payload: bytes) -> None:
        if stream_id:
            raise ConnectionFault(PROTOCOL_ERROR, "GOAWAY on a stream")
        if len(payload) < 8:
            raise ConnectionFault(FRAME_SIZE_ERROR, "GOAWAY of less than 8 bytes")
        self._spend(1)
        last, code = word(payload) & MAX_STREAM_ID, word(payload, 4)
        self.goaway_received = True
        if self.is_client:
            for stream in [one for one in self.streams.values() if one.id > last]:
                self._forget_unread(stream)
                self.on_reset(stream, REFUSED_STREAM)
                if stream.id in self.streams:
                    self._drop(stream)
        self.on_goaway(last, code)

    def _on_priority(self, stream_id: int, depends_on: int) -> None:
        if not stream_id:
            raise ConnectionFault(PROTOCOL_ERROR, "PRIORITY on stream 0")
        self._spend(1)
        if depends_on == stream_id:
            self._stream_fault(stream_id, PROTOCOL_ERROR)

    def give_up(self, stream: Stream) -> None:
        """Whoever the stream was for is gone."""
        self.reset(stream, CANCEL)


def _is_interim(fields: Fields) -> bool:
    """A 1xx response: another head follows."""
    return bool(fields) and fields[0][0] == b":status" and fields[0][1][:1] == b"1" and len(fields[0][1]) == 3
