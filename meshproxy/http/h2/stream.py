"""One stream of HTTP/2: its windows, what waits to be sent, and how far both sides are (pure). [3]"""

from __future__ import annotations

from collections import deque


class Stream:
    """Made by the session for the peer's streams and by `open` for ours; kept until both sides are done."""

    __slots__ = (
        "expected",
        "id",
        "is_answered",
        "is_local_done",
        "is_paused",
        "is_reading_trailers",
        "is_remote_done",
        "is_send_blocked",
        "owner",
        "queue",
        "queued",
        "received",
        "send_window",
        "trailer_block",
        "uncredited",
        "unread",
    )

    def __init__(self, stream_id: int, send_window: int) -> None:
        self.id = stream_id
        self.owner: object = None
        """Whoever deals with it; the session does not look at it."""
        self.send_window = send_window
        """Bytes we may send; negative after the peer made its initial window smaller."""
        self.queue: deque[bytes] = deque()
        """What the windows do not let through yet."""
        self.queued = 0
        self.trailer_block = b""
        """Fields to be sent behind the queue, which end the stream."""
        self.is_send_blocked = False
        """Its writer was told to wait."""
        self.is_answered = False
        """A head of ours went out."""
        self.is_local_done = False
        """We said END_STREAM, or shall behind the queue."""
        self.is_remote_done = False
        self.is_reading_trailers = False
        """A message's head was read: the next block is its trailers."""
        self.is_paused = False
        """Its reader takes nothing now: no credit is given."""
        self.unread = 0
        """Bytes received while paused."""
        self.uncredited = 0
        """Bytes read whose credit was not given back yet."""
        self.expected = -1
        """Declared content-length; -1 for none."""
        self.received = 0
        """Bytes of DATA."""
