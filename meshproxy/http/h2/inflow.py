"""The receiving half of an HTTP/2 connection: data, credit, and what a peer may waste (pure). [3]

Credit for data goes back at once while its stream is read, and waits while it is paused: a slow reader slows
its own sender. What paused streams hold together is bounded by withholding the connection's credit.
"""

from __future__ import annotations

from typing import Final

from meshproxy.http.h2 import frame as frames
from meshproxy.http.h2.error import (
    ENHANCE_YOUR_CALM,
    FLOW_CONTROL_ERROR,
    PROTOCOL_ERROR,
    STREAM_CLOSED,
    ConnectionFault,
    StreamFault,
)
from meshproxy.http.h2.frame import END_STREAM, PADDED
from meshproxy.http.h2.outflow import Outflow
from meshproxy.http.h2.settings import DEFAULT_WINDOW, H2Limits
from meshproxy.http.h2.stream import Stream

_REMEMBERED_RESETS: Final = 2048
"""Streams we reset whose late frames are taken without complaint."""
_EMPTY_FRAME_COST: Final = 10


class Inflow(Outflow):
    """Base of the session: data that comes, and what is wrong with it."""

    def __init__(self, limits: H2Limits, *, is_client: bool) -> None:
        super().__init__(limits)
        self.is_client = is_client
        self.last_peer_stream = 0
        """The highest stream of the peer's that was opened."""
        self._next_id = 1 if is_client else 2
        self._receive_window = limits.max_unread
        self._uncredited = 0
        self._unread = 0
        """Bytes that paused streams hold."""
        self._withheld = 0
        """Of these, what was not credited to the connection."""
        self._resets_left = limits.reset_budget
        self._reset_by_us: dict[int, None] = {}
        self._settings_acked = False
        self._early_window = DEFAULT_WINDOW
        """What the peer may send on a stream until it has our settings."""

    # --- for the owner to override ---

    def on_data(self, stream: Stream, data: bytes, *, end: bool) -> None:
        """A piece of the body."""

    def on_reset(self, stream: Stream, code: int) -> None:
        """The peer gave the stream up, or made a fault in it. `on_stream_over` follows."""

    # --- the owner's side ---

    def reset(self, stream: Stream, code: int) -> None:
        """Give a stream up."""
        if self.streams.get(stream.id) is stream:
            self._remember_reset(stream.id)
        super().reset(stream, code)

    def recover(self) -> None:
        """A second has passed: a hundredth of what a peer may waste is its again, so that one that asks now
        and then whether anybody is there, or gives up a few streams, may stay for ever."""
        limits = self.limits
        self._control_credit = min(self._control_credit + limits.control_budget // 100, limits.control_budget)
        self._resets_left = min(self._resets_left + limits.reset_budget // 100, limits.reset_budget)

    def pause(self, stream: Stream) -> None:
        """Take no more of its data: the peer runs out of window."""
        stream.is_paused = True

    def resume(self, stream: Stream) -> None:
        """Take its data again."""
        stream.is_paused = False
        if stream.unread:
            unread = stream.unread
            self._forget_unread(stream)
            self._credit(stream, unread)

    # --- data ---

    def _on_data(self, stream_id: int, flags: int, payload: bytes) -> None:
        size = len(payload)
        self._receive_window -= size
        if self._receive_window < 0:
            raise ConnectionFault(FLOW_CONTROL_ERROR, "more data than the connection's window allows")
        if flags & PADDED:
            if not size or payload[0] >= size:
                raise ConnectionFault(PROTOCOL_ERROR, "more padding than frame")
            payload = payload[1 : size - payload[0]]
        stream = self.streams.get(stream_id)
        if stream is None:
            self._check_not_idle(stream_id, "DATA")
            self._credit_connection(size)
            if self.is_client or stream_id in self._reset_by_us:
                self._spend(1)  # it was on its way when we gave the stream up
            else:
                self._stream_fault(stream_id, STREAM_CLOSED)
            return
        if stream.is_remote_done:
            self._credit_connection(size)
            self._stream_fault(stream_id, STREAM_CLOSED)
            return
        ends = bool(flags & END_STREAM)
        stream.received += len(payload)
        window = (
            self.limits.stream_window
            if self._settings_acked
            else max(self._early_window, self.limits.stream_window)
        )
        if stream.unread + stream.uncredited + size > window:
            self._credit_connection(size)
            self._stream_fault(stream_id, FLOW_CONTROL_ERROR)
            return
        if not payload and not ends:
            self._spend(_EMPTY_FRAME_COST)
        else:
            self._control_credit += 1
        try:
            if stream.expected >= 0 and (stream.received > stream.expected or ends):
                self._check_length(stream)
            if not stream.is_reading_trailers:
                raise StreamFault(PROTOCOL_ERROR, "DATA before the head of the message")
        except StreamFault as fault:
            self._credit_connection(size)
            self._stream_fault(stream_id, fault.code)
            return
        self._account(stream, size, ends=ends)
        stream.is_remote_done = ends
        self.on_data(stream, payload, end=ends)
        if ends:
            self._remote_done(stream)

    def _account(self, stream: Stream, size: int, *, ends: bool) -> None:
        """Give credit back at once for what is passed on at once."""
        if stream.is_paused:
            stream.unread += size
            self._unread += size
            if self._unread > self.limits.max_unread // 2:
                self._withheld += size
            else:
                self._credit_connection(size)
            return
        self._credit_connection(size)
        if not ends:
            self._credit(stream, size)

    def _credit(self, stream: Stream, size: int) -> None:
        stream.uncredited += size
        if stream.uncredited >= self.limits.stream_window // 2 and not stream.is_remote_done:
            self.out.append(frames.window_update(stream.id, stream.uncredited))
            stream.uncredited = 0

    def _credit_connection(self, size: int) -> None:
        self._uncredited += size
        if self._uncredited >= self.limits.max_unread // 4:
            self.out.append(frames.window_update(0, self._uncredited))
            self._receive_window += self._uncredited
            self._uncredited = 0

    def _check_length(self, stream: Stream) -> None:
        """RFC 9113 section 8.1.1."""
        if stream.expected >= 0 and stream.received != stream.expected:
            raise StreamFault(PROTOCOL_ERROR, "the body is not as long as its content-length")

    # --- bounds and ends ---

    def _spend(self, cost: int) -> None:
        """A frame that carries nothing. Raises ConnectionFault when they are too many."""
        self._control_credit = min(self._control_credit, self.limits.control_budget) - cost
        if self._control_credit < 0:
            raise ConnectionFault(ENHANCE_YOUR_CALM, "too many frames that carry nothing")

    def _spend_reset(self) -> None:
        self._resets_left -= 1
        if self._resets_left < 0:
            raise ConnectionFault(ENHANCE_YOUR_CALM, "too many requests are taken back")

    def _check_not_idle(self, stream_id: int, what: str) -> None:
        """RFC 9113 section 5.1: frames on a stream that nobody opened yet."""
        is_ours = (stream_id & 1) == (1 if self.is_client else 0)
        is_idle = stream_id >= self._next_id if is_ours else stream_id > self.last_peer_stream
        if is_idle or not stream_id:
            raise ConnectionFault(PROTOCOL_ERROR, f"{what} on an idle stream")

    def _stream_fault(self, stream_id: int, code: int) -> None:
        """RST_STREAM for the peer; told to the owner if the stream is one."""
        stream = self.streams.get(stream_id)
        self._remember_reset(stream_id)
        self._control(frames.rst_stream(stream_id, code))
        self._spend_reset()
        if stream is not None:
            self._forget_unread(stream)
            self.on_reset(stream, code)
            if stream_id in self.streams:
                self._drop(stream)

    def _remember_reset(self, stream_id: int) -> None:
        if len(self._reset_by_us) >= _REMEMBERED_RESETS:
            del self._reset_by_us[next(iter(self._reset_by_us))]
        self._reset_by_us[stream_id] = None

    def _forget_unread(self, stream: Stream) -> None:
        self._unread -= stream.unread
        stream.unread = 0
        if self._withheld and self._unread <= self.limits.max_unread // 2:
            withheld, self._withheld = self._withheld, 0
            self._credit_connection(withheld)

    def _remote_done(self, stream: Stream) -> None:
        stream.is_remote_done = True
        if stream.is_local_done and not stream.queued and stream.id in self.streams:
            self._drop(stream)

    def _drop(self, stream: Stream) -> None:
        self._forget_unread(stream)
        if stream.is_local_done and self._resets_left < self.limits.reset_budget:
            self._resets_left += 1
        super()._drop(stream)
