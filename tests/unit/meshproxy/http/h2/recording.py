"""A session that writes down what it is told."""

from types import FunctionType

import pytest

from meshproxy.http.h2.error import ENHANCE_YOUR_CALM, ConnectionFault, StreamFault
from meshproxy.http.h2.frame import PREFACE, settings
from meshproxy.http.h2.hpack import Block, Fields
from meshproxy.http.h2.session import Session
from meshproxy.http.h2.settings import H2Limits
from meshproxy.http.h2.stream import Stream

REQUEST: Fields = ((b":method", b"POST"), (b":scheme", b"http"), (b":path", b"/"), (b":authority", b"a"))


if not isinstance(Session.receive, FunctionType):
    reason = "a compiled class takes no subclass that is not; the sources are tested without it"
    pytest.skip(reason, allow_module_level=True)


class Recording(Session):
    def __init__(self, limits: H2Limits | None = None, *, is_client: bool = False) -> None:
        super().__init__(limits or H2Limits(), is_client=is_client)
        self.told: list[tuple[object, ...]] = []
        self.refuse: int | None = None
        """Code to refuse every head with."""

    def on_head(self, stream: Stream, block: Block, request_id: bytes, *, end: bool) -> None:
        fields = block.fields + (((b"x-request-id", request_id),) if request_id else ())
        if self.refuse is not None:
            raise StreamFault(self.refuse, "refused by the test")
        self.told.append(("head", stream.id, fields, end))
        for name, value in fields:
            if name == b"content-length" and value.isdigit():
                stream.expected = int(value)

    def on_trailers(self, stream: Stream, block: Block) -> None:
        self.told.append(("trailers", stream.id, block.fields))

    def on_head_too_large(self, stream: Stream, *, end: bool) -> None:
        self.told.append(("too large", stream.id, end))

    def on_data(self, stream: Stream, data: bytes, *, end: bool) -> None:
        self.told.append(("data", stream.id, data, end))

    def on_reset(self, stream: Stream, code: int) -> None:
        self.told.append(("reset", stream.id, code))

    def on_goaway(self, last_stream: int, code: int) -> None:
        self.told.append(("goaway", last_stream, code))

    def on_ping_answer(self) -> None:
        self.told.append(("ping answer",))

    def on_send_blocked(self, stream: Stream) -> None:
        self.told.append(("blocked", stream.id))

    def on_send_ready(self, stream: Stream) -> None:
        self.told.append(("ready", stream.id))

    def on_stream_over(self, stream: Stream) -> None:
        self.told.append(("over", stream.id))

    def take(self) -> list[tuple[object, ...]]:
        told, self.told = self.told, []
        return told


def server(limits: H2Limits | None = None) -> Recording:
    """A server whose client has said its preface and settings."""
    session = Recording(limits)
    session.start()
    session.receive(PREFACE + settings({}))
    session.take_output()
    return session


def flood(session: Recording, data: bytes, most: int) -> int:
    """How many times `data` was taken before the connection ended."""
    for count in range(most):
        try:
            session.receive(data)
        except ConnectionFault as fault:
            assert fault.code == ENHANCE_YOUR_CALM  # noqa: PT017 — others are the caller's failure
            return count
        session.take_output()
    return most
