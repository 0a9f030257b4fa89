"""What request and response readers share: the state of the message being read, and its body (pure). [3]"""

from __future__ import annotations

from typing import Final

from meshproxy.errors import LocalProtocolError, RemoteProtocolError
from meshproxy.http.bounded_memory import MAX_KEPT_HEAD
from meshproxy.http.chunked import ChunkedDecoder
from meshproxy.http.events import END, Event
from meshproxy.http.limits import HeadLimits
from meshproxy.http.syntax import refuse

HEAD: Final = 0
"""Zero, so that the data path may ask `if self._state`."""
LENGTH: Final = 1
CHUNKED: Final = 2
UNTIL_CLOSE: Final = 3
DONE: Final = 4
SWITCHED: Final = 5
FAILED: Final = 6
RELAYED: Final = 7

_STOP_AFTER: Final = 16
"""Misses in a row after which a connection stops looking whole heads up: hashing and keeping them is then
waste."""
_RETRY_AFTER: Final = 64
"""Heads after which such a connection tries one again."""


class MessageReader:
    """State of one direction of a connection. `_buffer` holds an unfinished head, or what follows a whole
    message."""

    __slots__ = ("_buffer", "_chunked", "_failure", "_limits", "_remaining", "_state")

    def __init__(self, limits: HeadLimits, state: int) -> None:
        self._limits = limits
        self._state = state
        self._buffer = b""
        self._remaining = 0
        self._chunked: ChunkedDecoder | None = None
        self._failure: RemoteProtocolError | None = None

    @property
    def buffered(self) -> int:
        """Bytes held back: pause reading when they grow past what the connection may hold."""
        return len(self._buffer)

    def switch(self) -> bytes:
        """The connection goes on in another protocol: from now on bytes pass as data, unread, and the end is
        `END`. Returns what came behind the message already. Only between a request and the next, or behind
        a 101 (or a 2xx to CONNECT)."""
        if self._state not in {DONE, SWITCHED}:
            raise LocalProtocolError("switch within a message")
        self._state = RELAYED
        remainder, self._buffer = self._buffer, b""
        return remainder

    def _end_of_requests(self) -> list[Event]:
        """The peer sends no more requests. Raises RemoteProtocolError inside one."""
        if self._state == RELAYED:
            return [END]
        if self._state == DONE or (self._state == HEAD and not self._buffer):
            return []
        part = "head" if self._state == HEAD else "body"
        raise self._fail(refuse(f"connection ended within a request {part}", f"eof_in_{part}"))

    def _end_of_responses(self, *, saw_interim: bool) -> list[Event]:
        """The peer sends no more responses: the end of a body that lasts until then. Raises
        RemoteProtocolError inside anything else."""
        if self._state == UNTIL_CLOSE:
            self._state = DONE
            return [END]
        if self._state == RELAYED:
            return [END]
        if self._state in {DONE, SWITCHED}:
            return []
        part = "in_body"
        if self._state == HEAD:
            part = "in_head" if self._buffer or saw_interim else "before_head"
        raise self._fail(refuse("connection ended before the response was complete", f"eof_{part}"))

    def _begin_body(self, *, chunked: bool, length: int) -> None:
        if chunked:
            self._state = CHUNKED
            self._chunked = ChunkedDecoder(self._limits)
        else:
            self._state = LENGTH
            self._remaining = length

    def _read_body(self, data: bytes, events: list[Event]) -> None:
        """Append the body events of non-empty `data`; what follows the message goes to `_buffer`."""
        if self._state == LENGTH:
            remaining = self._remaining
            size = len(data)
            if size < remaining:
                self._remaining = remaining - size
                events.append(data)
                return
            self._state = DONE
            if size > remaining:
                self._buffer = data[remaining:]
                data = data[:remaining]
            events.append(data)
            events.append(END)
        elif self._state == CHUNKED:
            assert self._chunked is not None
            excess = self._chunked.receive(data, events)
            if excess is not None:
                self._state = DONE
                self._chunked = None
                self._buffer = excess
        else:
            events.append(data)

    def _fail(self, error: RemoteProtocolError) -> RemoteProtocolError:
        """Nothing more is parsed; every further call raises the same again."""
        self._state = FAILED
        self._failure = error
        self._buffer = b""
        return error

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise RemoteProtocolError(
                str(self._failure), status=self._failure.status, reason=self._failure.reason
            )

    def _too_long(self, data: bytes) -> RemoteProtocolError:
        limits = self._limits
        line_end = data.find(b"\r\n", 0, limits.max_target_bytes)
        if line_end < 0:
            return refuse("start line does not end within the head's limit", "target_too_long", 414)
        return refuse(f"head is longer than {limits.max_head_bytes} bytes", "head_too_large", 431)

    def _check_unfinished_head(self, data: bytes) -> None:
        """Refuse early what no further byte can mend, so that such a peer need not time out."""
        if len(data) >= self._limits.max_head_bytes:
            raise self._too_long(data)
        if 10 in data and data.count(b"\n") != data.count(b"\r\n"):
            raise refuse("bare LF in a head", "bad_line_ending")


class RememberingReader(MessageReader):
    """Adds the switch that stops remembering on connections whose heads never repeat."""

    __slots__ = ("_memo_end", "_misses")

    def __init__(self, limits: HeadLimits, state: int) -> None:
        super().__init__(limits, state)
        self._misses = 0
        self._memo_end = self._longest_kept()
        """Largest position of a head's end that is looked up; 0 while switched off."""

    def _longest_kept(self) -> int:
        return min(MAX_KEPT_HEAD, self._limits.max_head_bytes) - 4

    def _count_miss(self) -> None:
        self._misses += 1
        if self._misses == _STOP_AFTER:
            self._memo_end = 0
        elif self._misses == _STOP_AFTER + _RETRY_AFTER:
            self._misses = _STOP_AFTER - 1
            self._memo_end = self._longest_kept()
