"""The sending half of an HTTP/2 connection: windows, queues, and what goes out in which order (pure). [3]

Frames gather in `out` until the owner takes them with `take_output`, so that whatever one event makes us say
is one write. DATA waits in its stream for the stream's window, the connection's, and a transport that takes
more; streams that wait are served in turn, a frame each.
"""

from __future__ import annotations

from typing import Final

from meshproxy.http.h2 import frame as frames
from meshproxy.http.h2.error import ENHANCE_YOUR_CALM, ConnectionFault
from meshproxy.http.h2.frame import END_STREAM, MAX_WINDOW
from meshproxy.http.h2.hpack import NO_TABLE
from meshproxy.http.h2.settings import DEFAULT_WINDOW, H2Limits, PeerSettings
from meshproxy.http.h2.stream import Stream

_LEAST_PART: Final = 1024
"""Bytes: who opens its windows by less gets no credit for the frames that costs."""


class Outflow:
    """Base of the session: everything that is sent."""

    def __init__(self, limits: H2Limits) -> None:
        self.limits = limits
        self.peer = PeerSettings()
        self.streams: dict[int, Stream] = {}
        """Open ones, by id."""
        self.out: list[bytes] = []
        self._send_window = DEFAULT_WINDOW
        self._waiting: dict[int, Stream] = {}
        """Streams with something queued, in the order they are served."""
        self._is_transport_full = False
        self._owes_table_update = False
        """The next block begins with `NO_TABLE`."""
        self._unsent_control = 0
        self._unsent_heads = 0
        """Bytes written while the transport was full."""
        self._control_credit = limits.control_budget

    # --- for the owner to override ---

    def on_send_blocked(self, stream: Stream) -> None:
        """More than its window is waiting: stop producing for it."""

    def on_send_ready(self, stream: Stream) -> None:
        """All that waited went out."""

    def on_stream_over(self, stream: Stream) -> None:
        """Both sides are done, or it was reset: it is no stream of this connection any more."""

    # --- sending ---

    def take_output(self) -> bytes:
        """Everything to be written now."""
        out = self.out
        if not out:
            return b""
        self.out = []
        return out[0] if len(out) == 1 else b"".join(out)

    def send_head(self, stream: Stream, block: bytes, *, end: bool) -> None:
        """A message's head, or an interim one."""
        stream.is_answered = True
        if self._owes_table_update:
            self._owes_table_update = False
            block = NO_TABLE + block
        if self._is_transport_full:
            self._unsent_heads += len(block) + frames.HEAD_BYTES
        self.out.append(frames.header_frames(stream.id, block, END_STREAM if end else 0, self.peer.max_frame))
        if end:
            self._local_done(stream)

    def send_data(self, stream: Stream, data: bytes, *, end: bool) -> None:
        """A piece of the body; `end`: the last one."""
        size = len(data)
        if (
            not stream.queued
            and size <= stream.send_window
            and size <= self._send_window
            and size <= self.peer.max_frame
            and not self._is_transport_full
        ):
            stream.send_window -= size
            self._send_window -= size
            self._control_credit += 4
            self.out.append(frames.frame(frames.DATA, END_STREAM if end else 0, stream.id, data))
            if end:
                self._local_done(stream)
            return
        if size:
            stream.queue.append(data)
            stream.queued += size
        if end:
            stream.is_local_done = True
        self._pump_one(stream)

    def send_trailers(self, stream: Stream, block: bytes) -> None:
        """The fields behind the body; they end the stream."""
        if stream.queued:
            stream.trailer_block = block
            stream.is_local_done = True
        else:
            self.send_head(stream, block, end=True)

    def reset(self, stream: Stream, code: int) -> None:
        """Give a stream up; nothing of it is sent or told any more."""
        if self.streams.get(stream.id) is stream:
            self.out.append(frames.rst_stream(stream.id, code))
            self._drop(stream)

    def transport_full(self, *, is_full: bool) -> None:
        """The transport takes no more for now, or takes it again."""
        self._is_transport_full = is_full
        if not is_full:
            self._unsent_control = self._unsent_heads = 0
            self._pump()

    def _control(self, data: bytes) -> None:
        """Send what a control frame of the peer asks for. Raises ConnectionFault when it reads none of it."""
        if self._is_transport_full:
            self._unsent_control += 1
            if self._unsent_control > self.limits.max_unsent_control:
                raise ConnectionFault(ENHANCE_YOUR_CALM, "the answers to control frames are not read")
        self.out.append(data)

    # --- windows ---

    def _open_send_window(self, increment: int) -> bool:
        """For the connection; False when it would grow too large."""
        self._send_window += increment
        if self._send_window > MAX_WINDOW:
            return False
        self._pump()
        return True

    def _shift_send_windows(self, difference: int) -> bool:
        """The peer's initial window changed (RFC 9113 section 6.9.2); False when one would grow too large."""
        for stream in self.streams.values():
            stream.send_window += difference
            if stream.send_window > MAX_WINDOW:
                return False
        if difference > 0:
            self._pump()
        return True

    def _pump(self) -> None:
        """Serve all that wait, in turn, as far as the windows go."""
        while self._waiting and self._send_window > 0 and not self._is_transport_full:
            moved = False
            for stream in list(self._waiting.values()):
                if stream.send_window > 0 and self._send_window > 0 and stream.id in self._waiting:
                    self._send_queued(stream)
                    moved = True
            if not moved:
                return

    def _pump_one(self, stream: Stream) -> None:
        if not stream.queued:
            if stream.is_local_done:
                self._end_behind_queue(stream)
            return
        while (
            stream.queued
            and stream.send_window > 0
            and self._send_window > 0
            and not self._is_transport_full
            and (not self._waiting or stream.id in self._waiting)
        ):
            self._send_queued(stream)
        if stream.queued:
            self._waiting[stream.id] = stream
            if not stream.is_send_blocked:
                stream.is_send_blocked = True
                self.on_send_blocked(stream)

    def _send_queued(self, stream: Stream) -> None:
        """One frame of what waits."""
        size = min(stream.send_window, self._send_window, self.peer.max_frame)
        data = stream.queue.popleft()
        if len(data) <= size or size >= _LEAST_PART:
            self._control_credit += 4
        if len(data) > size:
            stream.queue.appendleft(data[size:])
            data = data[:size]
        stream.queued -= len(data)
        stream.send_window -= len(data)
        self._send_window -= len(data)
        is_last = not stream.queued and stream.is_local_done and not stream.trailer_block
        self.out.append(frames.frame(frames.DATA, END_STREAM if is_last else 0, stream.id, data))
        if stream.queued:
            return
        self._waiting.pop(stream.id, None)
        if is_last:
            self._local_done(stream)
        elif stream.trailer_block:
            self._end_behind_queue(stream)
        elif stream.is_send_blocked:
            stream.is_send_blocked = False
            self.on_send_ready(stream)

    def _end_behind_queue(self, stream: Stream) -> None:
        block, stream.trailer_block = stream.trailer_block, b""
        if block:
            self.send_head(stream, block, end=True)
        else:
            self.out.append(frames.frame(frames.DATA, END_STREAM, stream.id, b""))
            self._local_done(stream)

    # --- ends ---

    def _local_done(self, stream: Stream) -> None:
        stream.is_local_done = True
        if stream.is_remote_done:
            self._drop(stream)

    def _drop(self, stream: Stream) -> None:
        del self.streams[stream.id]
        self._waiting.pop(stream.id, None)
        stream.queue.clear()
        stream.queued = 0
        stream.trailer_block = b""
        self.on_stream_over(stream)
