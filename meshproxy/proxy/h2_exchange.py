"""One exchange on a stream of HTTP/2: the same decisions, other bytes for the client. [5, 6, 7]"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from meshproxy.http import grpc
from meshproxy.http.events import END, Event, Headers, Request, Response, Trailers
from meshproxy.http.h1_writer import local_response
from meshproxy.proxy.http_manager import HttpManager
from meshproxy.proxy.http_stream import HttpStream
from meshproxy.proxy.outcome import RULES, Outcome

if TYPE_CHECKING:
    from meshproxy.proxy.h2_connection import H2ServerStream

_HEAD_END: Final = b"\r\n\r\n"
_INTERIM: Final = 200
"""Statuses below it."""


class H2Exchange(HttpStream):
    """What differs from HTTP/1.1: nothing is framed, an answer may come before the request is whole, and the
    connection does not end with it."""

    __slots__ = ("_side",)

    def __init__(self, side: H2ServerStream, manager: HttpManager, request: Request, now: float) -> None:
        super().__init__(side, manager, request, now)
        self._side = side
        if grpc.is_grpc(request.head):
            self._call = grpc.GrpcCall()

    def on_request_data(self, data: bytes) -> None:
        if self._call is not None:
            self._call.on_request(data)
        super().on_request_data(data)

    def on_response(self, events: list[Event]) -> None:
        side = self._side
        trailers: Headers = ()
        for index, event in enumerate(events):
            if type(event) is bytes:
                self.response_bytes += len(event)
                if self._call is not None:
                    self._call.on_response(event)
                ends = index + 1 < len(events) and events[index + 1] is END
                side.send_data(event, end=ends)
                if ends:
                    self._finish()
                    return
            elif type(event) is Response:
                head = self._take_head(event, events)
                if head is None:
                    return  # it is tried again, or was answered here
                if event.head.status < _INTERIM:
                    side.send_interim(head.removesuffix(b"\r\n"))
                    continue
                side.send_head(head, end=event.end_stream)
                if event.end_stream:
                    self._finish()
                    return
            elif type(event) is Trailers:
                trailers = event.headers
                if self._call is not None:
                    self._call.on_fields(trailers)
            else:  # END
                side.send_end(trailers)
                self._finish()
                return

    def _accept(self, response: Response) -> bytes:
        self._response = response
        if self._call is not None:
            self._call.on_fields(response.head.headers)
        return self._shown(response.head) + self._answer_lines

    def _give_up(self, outcome: Outcome, status: int = 0) -> None:
        """A call whose answer has begun can still be told in its trailers why it ends."""
        code = RULES[outcome].grpc_status
        response = self._response
        if self._call is None or response is None or code is None:
            super()._give_up(outcome, status)
            return
        self._leave_upstream()
        fields = grpc.trailers(code, RULES[outcome].body.encode())
        self._call.on_fields(fields)
        self._side.send_end(fields)
        self._complete(response.head.status, RULES[outcome].flag, close=False)

    def _reply(
        self,
        status: int,
        body: bytes,
        flag: str,
        close: bool,
        headers: Headers = (),
        grpc_status: int | None = None,
    ) -> None:
        is_head = self._head.method == b"HEAD"
        if self._call is not None:
            code = grpc.status_of(status) if grpc_status is None else grpc_status
            fields = grpc.trailers_only(code, body, headers)
            self._call.on_fields(fields)
            data = b"HTTP/1.1 200 OK\r\n%b\r\n" % b"".join([b"%b: %b\r\n" % field for field in fields])
        else:
            data = local_response(status, body, headers, close=False, head_request=is_head)
        if self._route is not None:
            data = self._edited_reply(status, data)
        end = data.index(_HEAD_END)
        answer = data[end + len(_HEAD_END) :]
        self._side.send_head(data[: end + 2], end=not answer)
        if answer:
            self._side.send_data(answer, end=True)
            self.response_bytes += len(answer)
        self._complete(status, flag, close=False)
