"""`either_version` by HTTP/1.1, on asyncio's streams."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress

from meshproxy.config.model import Endpoint
from tests.unit.meshproxy.proxy.either_version import (
    LIMIT,
    Answer,
    Asked,
    Client,
    Field,
    Handler,
    Server,
    Talk,
    joined,
)
from tests.unit.meshproxy.proxy.harness import Upstream

_CHUNKED = (b"transfer-encoding", b"chunked")
_SMALL_BUFFER = 64 * 1024
"""Bytes of a client's socket, so that one that does not read is felt soon."""


def _head(first: bytes, *fields: Field) -> bytes:
    return b"".join([first, b"\r\n", *(b"%b: %b\r\n" % one for one in fields), b"\r\n"])


async def _read_fields(reader: asyncio.StreamReader) -> dict[bytes, bytes]:
    fields: list[Field] = []
    while line := (await reader.readuntil(b"\r\n"))[:-2]:
        name, _, value = line.partition(b":")
        fields.append((name, value.strip()))
    return joined(fields)


class _Body:
    """Of the message whose head was read."""

    def __init__(self, reader: asyncio.StreamReader, fields: dict[bytes, bytes], *, is_empty: bool) -> None:
        self._reader = reader
        self._chunked = not is_empty and b"transfer-encoding" in fields
        self._left = 0 if is_empty else int(fields.get(b"content-length", b"0"))
        self.data = b""
        self.trailers: dict[bytes, bytes] = {}
        self.is_whole = not self._chunked and not self._left

    async def read(self) -> None:
        """Some more."""
        if not self._left:
            self._left = int(await self._reader.readuntil(b"\r\n"), 16)
            if not self._left:
                self.trailers = await _read_fields(self._reader)
                self.is_whole = True
                return
        part = await self._reader.read(min(self._left, 65536))
        if not part:
            raise asyncio.IncompleteReadError(b"", self._left)
        self.data += part
        self._left -= len(part)
        if not self._left and self._chunked:
            await self._reader.readexactly(2)
        self.is_whole = not self._left and not self._chunked


class Http1Talk(Talk):
    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, method: bytes, *, chunked: bool
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._is_head = method == b"HEAD"
        self._chunked = chunked
        self._answer = Answer()
        self._body: _Body | None = None

    async def send(self, data: bytes) -> None:
        if data:
            self._writer.write(b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data)
            with suppress(ConnectionError):  # `answer` says how it ended
                await self._writer.drain()

    async def end(self, *trailers: Field) -> None:
        if self._chunked:
            self._writer.write(_head(b"0", *trailers))

    async def interim(self) -> int:
        await asyncio.wait_for(self._read_head(), LIMIT)
        return self._answer.interim[-1]

    async def some(self, size: int) -> None:
        body = await self._begun()
        while len(body.data) < size:
            await asyncio.wait_for(body.read(), LIMIT)

    async def answer(self) -> Answer:
        answer = self._answer
        try:
            async with asyncio.timeout(LIMIT):
                body = await self._begun()
                while not body.is_whole:
                    await body.read()
                answer.trailers = body.trailers
        except (ConnectionError, asyncio.IncompleteReadError):
            answer.is_cut = True
        answer.body = self._body.data if self._body is not None else b""
        return answer

    async def leave(self) -> None:
        self._writer.transport.abort()

    async def _begun(self) -> _Body:
        while self._body is None:
            await self._read_head()
        return self._body

    async def _read_head(self) -> None:
        status = int((await self._reader.readuntil(b"\r\n")).split(b" ")[1])
        fields = await _read_fields(self._reader)
        if status < 200:
            self._answer.interim.append(status)
            return
        self._answer.status, self._answer.fields = status, fields
        self._body = _Body(self._reader, fields, is_empty=self._is_head or status in {204, 304})


class Http1Client(Client):
    """A connection for each request."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._writers: list[asyncio.StreamWriter] = []

    async def start(self, method: bytes, path: bytes, *fields: Field, end: bool = True) -> Talk:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port, limit=_SMALL_BUFFER)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SMALL_BUFFER)
        self._writers.append(writer)
        chunked = not end and b"content-length" not in dict(fields)
        given = (*fields, _CHUNKED) if chunked else fields
        host = () if b"host" in dict(fields) else ((b"host", b"web"),)
        writer.write(_head(b"%b %b HTTP/1.1" % (method, path), *host, *given))
        return Http1Talk(reader, writer, method, chunked=chunked)

    async def close(self) -> None:
        for writer in self._writers:
            writer.transport.abort()


class Http1Asked(Asked):
    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        first: bytes,
        fields: dict[bytes, bytes],
    ) -> None:
        self.method, self.path, _ = first.split(b" ")
        self.authority = fields[b"host"]
        self.fields = fields
        self.is_over = False
        self._reader = reader
        self._writer = writer
        self._incoming = _Body(reader, fields, is_empty=False)
        self._chunked = False

    @property
    def body(self) -> bytes:
        return self._incoming.data

    @property
    def trailers(self) -> dict[bytes, bytes]:
        return self._incoming.trailers

    async def whole(self) -> bytes:
        while not self._incoming.is_whole:
            await self._incoming.read()
        return self._incoming.data

    async def gone(self) -> None:
        with suppress(ConnectionError):
            while await self._reader.read(65536):
                pass

    async def interim(self, status: int) -> None:
        self._writer.write(b"HTTP/1.1 %d Interim\r\n\r\n" % status)

    async def begin(self, status: int, *fields: Field, end: bool = False) -> None:
        self._chunked = not end and b"content-length" not in dict(fields)
        given = (*fields, _CHUNKED) if self._chunked else fields
        self._writer.write(_head(b"HTTP/1.1 %d Text" % status, *given))
        self.is_over = end

    async def send(self, data: bytes) -> None:
        self._writer.write(b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data)
        await self._writer.drain()

    async def end(self, *trailers: Field) -> None:
        if self._chunked:
            self._writer.write(_head(b"0", *trailers))
        self.is_over = True

    async def cut(self) -> None:
        await self._writer.drain()
        self._writer.transport.abort()

    def stop_reading(self) -> None:
        self._writer.transport.pause_reading()  # type: ignore[attr-defined]


class Http1Server(Server):
    def __init__(self, handler: Handler) -> None:
        super().__init__(handler)
        self._upstream = Upstream(self._serve)

    async def start(self) -> None:
        await self._upstream.start()

    async def stop(self) -> None:
        await self._upstream.stop()

    @property
    def endpoint(self) -> Endpoint:
        return self._upstream.endpoint

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            first = (await reader.readuntil(b"\r\n"))[:-2]
            asked = Http1Asked(reader, writer, first, await _read_fields(reader))
            self.asked.append(asked)
            await self.handler(asked)
            if not asked.is_over or not asked._incoming.is_whole:
                return
