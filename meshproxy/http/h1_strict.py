"""HTTP/1.1 codec for a gateway that faces strangers: every byte is read twice, here and by h11 (pure). [3]

A message passes only while both readers agree on it: on the start line, each field, where the body ends, what
is in it, and which bytes follow. What either refuses is refused. Our own rules come first, so a refusal has
the same status and reason as in `h1_scan`; what only h11 objects to is `refused_by_h11`, and a message both
take but read differently is `readers_disagree`. So this codec takes at most what `h1_scan` takes.

Nothing is remembered: neither heads nor lines are shared between messages or connections. No speed work is
done here. Interface and events are those of `h1_scan`, named in `codec.py`.
"""

from __future__ import annotations

from typing import Final, TypeVar

from meshproxy.errors import LocalProtocolError, RemoteProtocolError
from meshproxy.http.bounded_memory import BoundedMemory, ParsedMemory
from meshproxy.http.events import Event, Framing, Request, Response
from meshproxy.http.field_line import parse_request_field, parse_response_field
from meshproxy.http.limits import HeadLimits
from meshproxy.http.message_reader import DONE, HEAD, RELAYED, SWITCHED, UNTIL_CLOSE, MessageReader
from meshproxy.http.request_head import RequestHeads
from meshproxy.http.response_head import ResponseHeads
from meshproxy.http.second_reading import SecondReading
from meshproxy.http.start_line import parse_request_line, parse_status_line
from meshproxy.http.syntax import TOKEN, refuse

__all__ = ["HeadLimits", "RequestReader", "ResponseReader"]

V = TypeVar("V")

_MAX_INTERIM: Final = 16
"""As in `h1_scan`."""


class _Unremembered(ParsedMemory[V]):
    """Parses at every lookup and keeps nothing."""

    __slots__ = ()

    def __missing__(self, key: bytes) -> V:
        return self._parse(key)


class _StrictReader(MessageReader):
    """Reads the body a second time."""

    __slots__ = ("_second",)

    def __init__(self, limits: HeadLimits, state: int, second: SecondReading) -> None:
        super().__init__(limits, state)
        self._second = second

    def _read_body(self, data: bytes, events: list[Event]) -> None:
        first = len(events)
        super()._read_body(data, events)
        if self._state == RELAYED:
            return  # not HTTP any more
        self._second.body(data, events[first:], rest=self._buffer if self._state == DONE else None)


class RequestReader(_StrictReader):
    """Reads the requests of one downstream connection, one at a time."""

    __slots__ = ("_heads", "_saw_eof", "_skipped_line")

    def __init__(self, limits: HeadLimits) -> None:
        super().__init__(limits, HEAD, SecondReading.of_request(limits))
        self._heads = RequestHeads(
            BoundedMemory(max_entries=1, max_bytes=1, max_key=1),
            _Unremembered(parse_request_line, max_entries=1, max_bytes=1, max_key=1),
            _Unremembered(parse_request_field, max_entries=1, max_bytes=1, max_key=1),
            limits,
            use_templates=False,
        )
        self._skipped_line = False
        self._saw_eof = False

    @property
    def is_idle(self) -> bool:
        """No byte of a request has come since the last one."""
        return self._state == HEAD and not self._buffer

    @property
    def is_complete(self) -> bool:
        """A whole request was read and `start_next` was not called yet; bytes are only buffered."""
        return self._state == DONE

    def receive(self, data: bytes) -> list[Event]:
        """Events of `data`. Raises RemoteProtocolError with the status to answer; the reader is then of no
        use."""
        self._raise_failure()
        if self._state == DONE:
            self._buffer += data
            return []
        if not data:
            return []
        events: list[Event] = []
        try:
            if self._state == HEAD:
                self._receive_head(self._buffer + data, events)
            else:
                self._read_body(data, events)
        except RemoteProtocolError as error:
            raise self._fail(error) from None
        return events

    def receive_eof(self) -> list[Event]:
        """The peer will send no more. Raises RemoteProtocolError inside a message; else no events."""
        self._raise_failure()
        self._saw_eof = True
        return self._end_of_requests()

    def start_next(self) -> list[Event]:
        """Go on with the next request: events of what was buffered. Call only when `is_complete`."""
        if self._state != DONE:
            raise LocalProtocolError("start_next before the request was complete")
        self._state = HEAD
        self._skipped_line = False
        self._second = SecondReading.of_request(self._limits)
        data, self._buffer = self._buffer, b""
        events = self.receive(data) if data else []
        if self._saw_eof:
            self.receive_eof()
        return events

    def _receive_head(self, data: bytes, events: list[Event]) -> None:
        self._buffer = b""
        if data.startswith(b"\r\n") and not self._skipped_line:
            self._skipped_line = True  # one empty line is old clients' habit: RFC 9112 section 2.2
            data = data[2:]
        end = data.find(b"\r\n\r\n")
        if end < 0:
            self._wait_for_head(data)
            return
        if end + 4 > self._limits.max_head_bytes:
            raise self._too_long(data)
        head, request_id, _ = self._heads.resolve(data, end, remember=False)
        self._second.request(data[: end + 4], head, request_id)
        events.append(Request(head, request_id))
        rest = data[end + 4 :]
        if head.end_stream:
            self._state = DONE
            self._buffer = rest
            return
        self._begin_body(chunked=head.chunked, length=head.content_length)
        if rest:
            self._read_body(rest, events)

    def _wait_for_head(self, data: bytes) -> None:
        if data and data[0] not in TOKEN and (data != b"\r" or self._skipped_line):
            raise refuse("a request does not start with a method", "bad_request_line")
        self._check_unfinished_head(data)
        self._buffer = data


class ResponseReader(_StrictReader):
    """Reads the responses of one upstream connection, each announced by `expect`."""

    __slots__ = ("_heads", "_interim", "_is_bodyless", "_is_connect")

    def __init__(self, limits: HeadLimits) -> None:
        super().__init__(limits, DONE, SecondReading.of_response(limits, b"GET"))
        self._heads = ResponseHeads(
            BoundedMemory(max_entries=1, max_bytes=1, max_key=1),
            _Unremembered(parse_status_line, max_entries=1, max_bytes=1, max_key=1),
            _Unremembered(parse_response_field, max_entries=1, max_bytes=1, max_key=1),
            limits,
        )
        self._is_bodyless = False
        self._is_connect = False
        self._interim = 0

    @property
    def is_idle(self) -> bool:
        """No response is awaited and nothing came behind the last one: the connection may carry another
        request (if that response's head had `keep_alive` and its framing was not UNTIL_CLOSE)."""
        return self._state == DONE and not self._buffer

    def expect(self, method: bytes) -> None:
        """Announce the response to a request with `method`, before that request is written."""
        if self._state != DONE or self._buffer:
            raise LocalProtocolError("expect while a response is awaited or bytes are left over")
        self._second = SecondReading.of_response(self._limits, method)
        self._state = HEAD
        self._interim = 0
        self._is_connect = method == b"CONNECT"
        self._is_bodyless = method == b"HEAD"

    def receive(self, data: bytes) -> list[Event]:
        """Events of `data`. Raises RemoteProtocolError, also for bytes when no response is awaited."""
        if self._state == SWITCHED:
            self._buffer += data
            return []
        if not data:
            return []
        self._raise_failure()
        events: list[Event] = []
        try:
            if self._state == DONE:
                raise refuse("bytes without a request they could answer", "unexpected_bytes")
            if self._state == HEAD:
                self._receive_heads(self._buffer + data, events)
            else:
                self._read_body(data, events)
        except RemoteProtocolError as error:
            raise self._fail(error) from None
        return events

    def receive_eof(self) -> list[Event]:
        """Ends a body that lasts until the connection closes; inside anything else raises
        RemoteProtocolError.

        Its reason is `eof_before_head` when not one byte of a response came, else `eof_in_head` or
        `eof_in_body`.
        """
        self._raise_failure()
        is_end_of_body = self._state == UNTIL_CLOSE
        events = self._end_of_responses(saw_interim=self._interim > 0)
        if is_end_of_body:
            self._second.end()
        return events

    def take_remainder(self) -> bytes:
        """Bytes that came behind a 101 (or a 2xx to CONNECT): they belong to the protocol switched to."""
        remainder, self._buffer = self._buffer, b""
        return remainder

    def _receive_heads(self, data: bytes, events: list[Event]) -> None:
        """Interim heads, as many as there are, then the final one and what of its body is there."""
        self._buffer = b""
        while data and self._state == HEAD:
            end = data.find(b"\r\n\r\n")
            if end < 0:
                self._wait_for_head(data)
                return
            if end + 4 > self._limits.max_head_bytes:
                raise self._too_long(data)
            self._read_head(data, end, events)
            data = data[end + 4 :]
        if self._state in {DONE, SWITCHED}:
            self._buffer = data
        elif data:
            self._read_body(data, events)

    def _wait_for_head(self, data: bytes) -> None:
        if not b"HTTP/1.".startswith(data[:7]):
            raise refuse("a response does not start with `HTTP/1.`", "bad_status_line")
        self._check_unfinished_head(data)
        self._buffer = data

    def _read_head(self, data: bytes, end: int, events: list[Event]) -> None:
        """One head, interim or final; sets the state of what follows it."""
        (head, framing, end_stream), _ = self._heads.resolve(data, end, remember=False)
        is_tunnel = head.status == 101 or (self._is_connect and 200 <= head.status < 300)
        if head.status >= 200 and (self._is_bodyless or is_tunnel):
            framing, end_stream = Framing.NONE, True
        self._second.response(data[: end + 4], head, end_stream=end_stream)
        events.append(Response(head, framing, end_stream))
        if is_tunnel:
            self._state = SWITCHED
        elif head.status < 200:
            self._interim += 1
            if self._interim > _MAX_INTERIM:
                raise refuse(f"more than {_MAX_INTERIM} interim responses", "too_many_interim")
        elif end_stream:
            self._state = DONE
        elif framing is Framing.UNTIL_CLOSE:
            self._state = UNTIL_CLOSE
        else:
            self._begin_body(chunked=head.chunked, length=head.content_length)
