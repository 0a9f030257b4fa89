"""`either_version` by HTTP/2, on python-hyper's `h2`."""

from __future__ import annotations

from meshproxy.config.model import Endpoint
from tests.unit.meshproxy.proxy.either_version import (
    Answer,
    Asked,
    Client,
    Field,
    Handler,
    Server,
    Talk,
    joined,
)
from tests.unit.meshproxy.proxy.h2_peer import H2Upstream, Message, Peer, connect


class Http2Talk(Talk):
    def __init__(self, peer: Peer, message: Message) -> None:
        self._peer = peer
        self._message = message
        self._interim = 0

    async def send(self, data: bytes) -> None:
        await self._peer.send(self._message.stream, data, end=False)

    async def end(self, *trailers: Field) -> None:
        if trailers:
            self._peer.trailers(self._message.stream, *trailers)
        elif self._message.reset is None:
            self._peer.h2.end_stream(self._message.stream)
            self._peer.flush()

    async def interim(self) -> int:
        self._interim += 1
        await self._message.until(lambda one: len(one.interim) >= self._interim)
        return int(self._message.interim[self._interim - 1][b":status"])

    async def some(self, size: int) -> None:
        self._peer.reads = False  # the first window still comes: `size` is less
        await self._message.until(lambda one: len(one.body) >= size)

    async def answer(self) -> Answer:
        message = await self._message.end()
        fields = joined([one for one in message.pairs if one[0] != b":status"])
        return Answer(
            status=message.status if message.fields else 0,
            fields=fields,
            body=message.body,
            trailers=message.trailers,
            interim=[int(one[b":status"]) for one in message.interim],
            is_cut=not message.is_whole,
        )

    async def leave(self) -> None:
        self._peer.give_up(self._message.stream)


class Http2Client(Client):
    """All requests on one connection."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._peer: Peer | None = None

    async def start(self, method: bytes, path: bytes, *fields: Field, end: bool = True) -> Talk:
        if self._peer is None:
            self._peer = await connect(self._port)
        authority = dict(fields).get(b"host", b"web")
        pseudo = [(b":method", method), (b":scheme", b"http"), (b":authority", authority), (b":path", path)]
        number = self._peer.h2.get_next_available_stream_id()
        regular = [one for one in fields if one[0] != b"host"]
        message = self._peer.messages[number] = Message(number)
        self._peer.h2.send_headers(number, [*pseudo, *regular], end_stream=end)
        self._peer.flush()
        return Http2Talk(self._peer, message)

    async def close(self) -> None:
        if self._peer is not None:
            self._peer.close()
            await self._peer.lost.wait()


class Http2Asked(Asked):
    def __init__(self, peer: Peer, message: Message) -> None:
        self.method, self.path = message.fields[b":method"], message.fields[b":path"]
        self.authority = message.fields[b":authority"]
        self.fields = joined(message.pairs)
        self._peer = peer
        self._message = message

    @property
    def body(self) -> bytes:
        return self._message.body

    @property
    def trailers(self) -> dict[bytes, bytes]:
        return self._message.trailers

    async def whole(self) -> bytes:
        return (await self._message.end()).body

    async def gone(self) -> None:
        await self._message.until(lambda one: one.reset is not None)

    async def interim(self, status: int) -> None:
        self._peer.respond(self._message.stream, (b":status", b"%d" % status))

    async def begin(self, status: int, *fields: Field, end: bool = False) -> None:
        self._peer.respond(self._message.stream, (b":status", b"%d" % status), *fields, end=end)

    async def send(self, data: bytes) -> None:
        await self._peer.send(self._message.stream, data, end=False)

    async def end(self, *trailers: Field) -> None:
        if trailers:
            self._peer.trailers(self._message.stream, *trailers)
        else:
            self._peer.h2.end_stream(self._message.stream)
            self._peer.flush()

    async def cut(self) -> None:
        self._peer.give_up(self._message.stream, 2)

    def stop_reading(self) -> None:
        self._peer.reads = False


class Http2Server(Server):
    def __init__(self, handler: Handler) -> None:
        super().__init__(handler)
        self._upstream = H2Upstream(self._serve)

    async def start(self) -> None:
        await self._upstream.start()

    async def stop(self) -> None:
        await self._upstream.stop()

    @property
    def endpoint(self) -> Endpoint:
        return self._upstream.endpoint

    async def _serve(self, peer: Peer, message: Message) -> None:
        asked = Http2Asked(peer, message)
        self.asked.append(asked)
        await self.handler(asked)
