"""One case at a time through a running proxy: a client that sends it, an upstream that keeps count."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field

import h11

from tests.fuzz.cases import EnvoyVerdict, method_of

_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3})")
_OK = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
LONGEST_WAIT = 10.0
"""Seconds for an answer that must come."""


@dataclass
class Upstream:
    """Reads with h11 alone, which is laxer than what is tested, and answers every whole request."""

    answer: bytes | None = None
    """Sent as it is to the first request of a connection, which then ends; else every request gets a 200."""
    port: int = 0
    begun: int = 0
    """Request heads seen."""
    whole: int = 0
    """Requests seen with their whole body."""
    _server: asyncio.Server | None = None
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def start(self) -> Upstream:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        with contextlib.suppress(ConnectionError, h11.RemoteProtocolError, asyncio.CancelledError):
            while await self._read_one(reader):
                if self.answer is not None:
                    await _send_and_end(reader, writer, self.answer)
                    break
                writer.write(_OK)
        self._tasks.discard(task)
        writer.close()

    async def _read_one(self, reader: asyncio.StreamReader) -> bool:
        """Count one request; False when the peer sends no more. What is pipelined behind it is an error."""
        peer = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
        while True:
            event = peer.next_event()
            if event is h11.NEED_DATA:
                peer.receive_data(await reader.read(65536))
            elif type(event) is h11.Request:
                self.begun += 1
            elif type(event) is h11.EndOfMessage:
                self.whole += 1
                excess = peer.trailing_data[0]
                assert not excess, f"a proxy sent bytes behind a request before its answer: {excess!r}"
                return True
            elif type(event) is h11.ConnectionClosed:
                return False


async def _send_and_end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answer: bytes) -> None:
    """Wait for the proxy to end too, so that no later case finds this connection in its pool."""
    writer.write(answer)
    writer.write_eof()
    while await reader.read(65536):
        pass


@dataclass
class Lane:
    """A port of a proxy whose requests all go to one upstream of ours. Run one case at a time."""

    port: int
    upstream: Upstream
    quiet: float
    """Seconds of silence after which nothing more is expected, when the connection stays open."""

    async def run(self, case: str, data: bytes, expected: EnvoyVerdict | None = None) -> EnvoyVerdict:
        """What the proxy does with a case. `expected` only saves waiting: answers it tells of are awaited
        for long."""
        if case.startswith("request/"):
            return await self._run_request(data, len(expected["statuses"]) if expected else 0)
        return await self._run_response(case, data)

    async def _run_request(self, data: bytes, awaited: int) -> EnvoyVerdict:
        self.upstream.answer = None
        self.upstream.begun = self.upstream.whole = 0
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        received = b""
        with contextlib.suppress(ConnectionError, TimeoutError):
            writer.write(data)
            while True:
                wait = self.quiet if len(_statuses(received)) >= awaited else LONGEST_WAIT
                part = await asyncio.wait_for(reader.read(65536), wait)
                if not part:
                    break
                received += part
        writer.close()
        return EnvoyVerdict(statuses=_statuses(received), requests=self.upstream.whole)

    async def _run_response(self, case: str, data: bytes) -> EnvoyVerdict:
        self.upstream.answer = data
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        client = h11.Connection(h11.CLIENT, max_incomplete_event_size=1 << 20)
        asked = [("host", "a"), ("connection", "close")]
        sent = client.send(h11.Request(method=method_of(case), target="/", headers=asked))
        assert sent is not None
        writer.write(sent)
        client.send(h11.EndOfMessage())
        received = b""
        with contextlib.suppress(ConnectionError):
            while part := await asyncio.wait_for(reader.read(65536), LONGEST_WAIT):
                received += part
        writer.close()
        statuses = _statuses(received[:4096])
        return EnvoyVerdict(status=statuses[-1] if statuses else 0, complete=_is_complete(client, received))


def _statuses(received: bytes) -> list[int]:
    """Of final responses and 101."""
    found = [int(status) for status in _STATUS.findall(received)]
    return [status for status in found if status >= 200 or status == 101]


def _is_complete(client: h11.Connection, received: bytes) -> bool:
    client.receive_data(received)
    client.receive_data(b"")
    try:
        while True:
            event = client.next_event()
            if type(event) is h11.EndOfMessage:
                return True
            if type(event) is h11.ConnectionClosed or event is h11.PAUSED:
                return False
    except h11.RemoteProtocolError:
        return False


async def run_all(
    lanes: Iterable[Lane],
    cases: dict[str, bytes],
    judge: Callable[[Lane, str, bytes], Awaitable[None]],
) -> None:
    """Give every case to a lane that is free."""
    waiting = list(cases.items())

    async def work(lane: Lane) -> None:
        while waiting:
            await judge(lane, *waiting.pop())

    async with asyncio.TaskGroup() as group:
        for lane in lanes:
            group.create_task(work(lane))
