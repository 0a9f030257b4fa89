"""HTTP/1.1 codec of the data path: scan for the end of a head, remember, strict at first sight (pure). [3]

The common exchange costs one `find`, one dict lookup, one small object and one list. Everything else leaves
the short way early. Strictness lives in the parsers of lines and heads and is paid once per distinct line.
RFC 9112. Not here: what to do with a message (proxy), writing (`h1_writer.py`), timeouts and pausing
(connection).
"""

from __future__ import annotations

from typing import Final

from meshproxy.errors import LocalProtocolError, RemoteProtocolError
from meshproxy.http.events import END, Event, Framing, Request, RequestHead, Response
from meshproxy.http.head_memory import HeadMemory
from meshproxy.http.limits import HeadLimits
from meshproxy.http.message_reader import (
    DONE,
    FAILED,
    HEAD,
    SWITCHED,
    UNTIL_CLOSE,
    RememberingReader,
)
from meshproxy.http.response_head import KnownResponse
from meshproxy.http.syntax import TOKEN, refuse

__all__ = ["HeadLimits", "HeadMemory", "RequestReader", "ResponseReader"]

_MAX_INTERIM: Final = 16
"""1xx responses before a final one. More than a few is a fault; the bound also bounds recursion."""
_SPECIAL_METHODS: Final = frozenset({b"HEAD", b"CONNECT"})
_UUID_LINE: Final = b"\r\nx-request-id: "
_NO_FRAMING: Final = Framing.NONE
_LENGTH: Final = Framing.LENGTH


class RequestReader(RememberingReader):
    """Reads the requests of one downstream connection, one at a time."""

    __slots__ = ("_heads", "_known", "_saw_eof", "_skipped_line")

    def __init__(self, memory: HeadMemory, limits: HeadLimits) -> None:
        super().__init__(limits, HEAD)
        self._heads = memory.requests(limits)
        self._known = self._heads.memory
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
        if self._state:
            return self._receive_body(data)
        if self._buffer:
            data = self._buffer + data
            self._buffer = b""
        end = data.find(b"\r\n\r\n")
        if 0 < end <= self._memo_end:
            request_id = b""
            if end > 52 and data[end - 52 : end - 36] == _UUID_LINE:
                request_id = data[end - 36 : end]
                head = self._known.get(data[: end - 50])
                if not request_id.replace(b"-", b"").isalnum():
                    head = None
            else:
                head = self._known.get(data[: end + 4])
            if head is not None:
                self._misses = 0
                if head.end_stream and len(data) == end + 4:
                    self._state = DONE
                    return [Request(head, request_id)]
                return self._begin(head, request_id, data[end + 4 :])
        try:
            return self._receive_new_head(data, end)
        except RemoteProtocolError as error:
            raise self._fail(error) from None

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
        data = self._buffer
        if not data:
            return []
        self._buffer = b""
        events = self.receive(data)
        if self._saw_eof:
            self.receive_eof()
        return events

    def _receive_body(self, data: bytes) -> list[Event]:
        events: list[Event] = []
        if self._state == DONE:
            self._buffer += data
        elif self._state == FAILED:
            self._raise_failure()
        elif data:
            try:
                self._read_body(data, events)
            except RemoteProtocolError as error:
                raise self._fail(error) from None
        return events

    def _receive_new_head(self, data: bytes, end: int) -> list[Event]:
        if data.startswith(b"\r\n") and not self._skipped_line:
            self._skipped_line = (
                True  # one empty line before a request is old clients' habit: RFC 9112 section 2.2
            )
            return self.receive(data[2:])
        if end < 0:
            return self._wait_for_head(data)
        if end + 4 > self._limits.max_head_bytes:
            raise self._too_long(data)
        head, request_id, is_known = self._heads.resolve(data, end, remember=end <= self._memo_end)
        if is_known:
            self._misses = 0
        else:
            self._count_miss()
        return self._begin(head, request_id, data[end + 4 :])

    def _wait_for_head(self, data: bytes) -> list[Event]:
        if data and data[0] not in TOKEN and (data != b"\r" or self._skipped_line):
            raise refuse("a request does not start with a method", "bad_request_line")
        self._check_unfinished_head(data)
        self._buffer = data
        return []

    def _begin(self, head: RequestHead, request_id: bytes, rest: bytes) -> list[Event]:
        events: list[Event] = [Request(head, request_id)]
        if head.end_stream:
            self._state = DONE
            self._buffer = rest
            return events
        self._begin_body(chunked=head.chunked, length=head.content_length)
        if rest:
            try:
                self._read_body(rest, events)
            except RemoteProtocolError as error:
                raise self._fail(error) from None
        return events


class ResponseReader(RememberingReader):
    """Reads the responses of one upstream connection, each announced by `expect`."""

    __slots__ = ("_heads", "_interim", "_is_bodyless", "_is_connect", "_is_special", "_known")

    def __init__(self, memory: HeadMemory, limits: HeadLimits) -> None:
        super().__init__(limits, DONE)
        self._heads = memory.responses(limits)
        self._known = self._heads.memory
        self._is_bodyless = False
        self._is_connect = False
        self._is_special = False
        """The method decides how the response is framed."""
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
        self._state = HEAD
        self._interim = 0
        if method in _SPECIAL_METHODS:
            self._is_special = True
            self._is_connect = method == b"CONNECT"
            self._is_bodyless = not self._is_connect
        elif self._is_special:
            self._is_special = self._is_connect = self._is_bodyless = False

    def receive(self, data: bytes) -> list[Event]:
        """Events of `data`. Raises RemoteProtocolError, also for bytes when no response is awaited."""
        if self._state:
            return self._receive_body(data)
        if self._buffer:
            data = self._buffer + data
            self._buffer = b""
        end = data.find(b"\r\n\r\n")
        if 0 < end <= self._memo_end:
            known = self._known.get(data[: end + 4])
            if known is not None:
                self._misses = 0
                head, framing, end_stream = known
                if (
                    framing is _LENGTH
                    and len(data) == end + 4 + head.content_length
                    and not end_stream
                    and not self._is_special
                    and head.status >= 200
                ):
                    self._state = DONE  # the whole response in one read
                    return [Response(head, framing, False), data[end + 4 :], END]
                return self._begin(known, data[end + 4 :])
        try:
            return self._receive_new_head(data, end)
        except RemoteProtocolError as error:
            raise self._fail(error) from None

    def receive_eof(self) -> list[Event]:
        """Ends a body that lasts until the connection closes; inside anything else raises
        RemoteProtocolError.

        Its reason is `eof_before_head` when not one byte of a response came, else `eof_in_head` or
        `eof_in_body`.
        """
        self._raise_failure()
        return self._end_of_responses(saw_interim=self._interim > 0)

    def take_remainder(self) -> bytes:
        """Bytes that came behind a 101 (or a 2xx to CONNECT): they belong to the protocol switched to."""
        remainder, self._buffer = self._buffer, b""
        return remainder

    def _receive_body(self, data: bytes) -> list[Event]:
        events: list[Event] = []
        if not data:
            return events
        if self._state == SWITCHED:
            self._buffer += data
            return events
        self._raise_failure()
        try:
            if self._state == DONE:
                raise refuse("bytes without a request they could answer", "unexpected_bytes")
            self._read_body(data, events)
        except RemoteProtocolError as error:
            raise self._fail(error) from None
        return events

    def _receive_new_head(self, data: bytes, end: int) -> list[Event]:
        if end < 0:
            if not b"HTTP/1.".startswith(data[:7]):
                raise refuse("a response does not start with `HTTP/1.`", "bad_status_line")
            self._check_unfinished_head(data)
            self._buffer = data
            return []
        if end + 4 > self._limits.max_head_bytes:
            raise self._too_long(data)
        known, is_known = self._heads.resolve(data, end, remember=end <= self._memo_end)
        if is_known:
            self._misses = 0
        else:
            self._count_miss()
        return self._begin(known, data[end + 4 :])

    def _begin(self, known: KnownResponse, rest: bytes) -> list[Event]:
        head, framing, end_stream = known
        if head.status < 200:
            return self._begin_interim(known, rest)
        if self._is_bodyless or (self._is_connect and head.status < 300):
            framing, end_stream = _NO_FRAMING, True
        events: list[Event] = [Response(head, framing, end_stream)]
        if end_stream:
            self._state = SWITCHED if self._is_connect and head.status < 300 else DONE
            self._buffer = rest
            return events
        if framing is Framing.UNTIL_CLOSE:
            self._state = UNTIL_CLOSE
        else:
            self._begin_body(chunked=head.chunked, length=head.content_length)
        if rest:
            try:
                self._read_body(rest, events)
            except RemoteProtocolError as error:
                raise self._fail(error) from None
        return events

    def _begin_interim(self, known: KnownResponse, rest: bytes) -> list[Event]:
        head, framing, _ = known
        events: list[Event] = [Response(head, framing, True)]
        if head.status == 101:
            self._state = SWITCHED
            self._buffer = rest
            return events
        self._interim += 1
        if self._interim > _MAX_INTERIM:
            raise self._fail(refuse(f"more than {_MAX_INTERIM} interim responses", "too_many_interim"))
        if rest:
            events += self.receive(rest)
        return events
