"""Connections killed at any byte of a POST: what the server did, it did once."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from contextlib import suppress

import pytest

from tests.unit.meshproxy.proxy.harness import Upstream, http_listener, ok, running, snapshot, static_cluster
from tests.unit.meshproxy.proxy.test_http_failure import A, serving, settled
from tests.unit.meshproxy.proxy.test_http_proxy import RETRY
from tests.unit.meshproxy.proxy.test_tcp_proxy import reset_socket
from tests.unit.meshproxy.proxy.test_two_sidecars import authority, sidecars

__all__ = ["authority"]

BODY = b"b" * 100
NEVER = 1 << 30


def post(number: int) -> bytes:
    return b"POST /%d HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%b" % (number, len(BODY), BODY)


class Ledger:
    """A server that counts every POST it has received whole, and kills its connection at byte `cut` of an
    exchange, request and response counted together."""

    def __init__(self) -> None:
        self.entries: Counter[int] = Counter()
        self.cut = NEVER
        self.resets = False
        self.length = 0
        """Of the last request, as it arrived."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            received = b""
            while not received.endswith(BODY):
                piece = await reader.read(max(1, min(65536, self.cut - len(received))))
                if not piece:
                    return None
                received += piece
                if len(received) >= self.cut and not received.endswith(BODY):
                    return self._kill(writer)
            self.entries[int(received.split(b" ")[1][1:])] += 1
            self.length = len(received)
            answer = ok(b"done")
            part = answer[: max(0, self.cut - len(received))]
            writer.write(part)
            if len(part) < len(answer):
                await writer.drain()
                return self._kill(writer)

    def _kill(self, writer: asyncio.StreamWriter) -> None:
        if self.resets:
            reset_socket(writer)


class Client:
    """Sends POSTs one after the other, on one connection as long as it lasts."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._pair: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._pair is None:
            self._pair = await asyncio.open_connection("127.0.0.1", self._port)
        return self._pair

    async def send(self, request: bytes) -> bytes:
        """The status, or nothing when no whole answer came."""
        reader, writer = await self.connect()
        writer.write(request)
        try:
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30)
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            await asyncio.wait_for(reader.readexactly(length), 30)
        except (ConnectionError, asyncio.IncompleteReadError):
            self.close()
            return b""
        if b"connection: close" in head.lower():
            self.close()
        return head.split(b" ")[1]

    def close(self) -> None:
        if self._pair is not None:
            self._pair[1].transport.abort()
            self._pair = None


async def cut_by_the_server(ledger: Ledger, port: int, count: int, rng: random.Random) -> None:
    client = Client(port)
    assert await client.send(post(0)) == b"200"
    whole = ledger.length + len(ok(b"done"))
    statuses: Counter[bytes] = Counter()
    for number in range(1, count):
        ledger.cut = rng.randrange(whole + 20)  # some are not cut at all, and leave a connection in the pool
        ledger.resets = rng.random() < 0.5
        status = await client.send(post(number))
        statuses[status] += 1
        if status == b"200":
            assert ledger.entries[number] == 1
    client.close()
    assert statuses.keys() == {b"200", b"503", b""}
    assert set(ledger.entries.values()) == {1}


async def test_a_post_whose_connection_the_server_kills_is_never_processed_twice():
    ledger = Ledger()
    async with (
        serving(ledger.serve) as upstream,
        running(snapshot(http_listener(A, retry=RETRY), static_cluster("a", upstream.endpoint))) as mesh,
    ):
        await cut_by_the_server(ledger, mesh.port, 400, random.Random(1))


async def test_nor_through_two_sidecars(authority):
    ledger = Ledger()
    app = await Upstream(ledger.serve).start()
    async with sidecars(authority, app, retry=RETRY) as pair:
        await cut_by_the_server(ledger, pair.web.port, 300, random.Random(2))
    await app.stop()


@pytest.mark.parametrize("seed", [3])
async def test_a_post_that_its_client_cuts_is_whole_at_the_server_or_not_there(seed):
    ledger, rng = Ledger(), random.Random(seed)
    async with (
        serving(ledger.serve) as upstream,
        running(snapshot(http_listener(A, retry=RETRY), static_cluster("a", upstream.endpoint))) as mesh,
    ):
        whole = set()
        for number in range(200):
            request = post(number)
            cut = rng.randrange(1, len(request) + 1)
            _, writer = await mesh.connect()
            writer.write(request[:cut])
            if cut == len(request):
                whole.add(number)
                await settled(lambda number=number: ledger.entries[number] == 1)
            else:
                await writer.drain()
            with suppress(OSError):
                reset_socket(writer)
        await settled(lambda: mesh.worker.open_connections == 0)
        assert set(ledger.entries.elements()) <= whole
        assert set(ledger.entries.values()) <= {1}
