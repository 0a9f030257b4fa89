"""WebSockets of PyPI's `websockets` through two sidecar processes, mutual TLS between them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

from websockets.asyncio.client import connect

from meshproxy.config.model import Endpoint
from tests.contract.sidecar_pair import sidecar_processes
from tests.unit.meshproxy.proxy.test_upgrade import echo_server

COUNT = 10_000
AT_ONCE = 100
"""Messages on their way, at most: neither side reads while it writes."""


@asynccontextmanager
async def echo_behind_the_mesh() -> AsyncIterator[str]:
    """Where to reach a server that sends everything back."""

    async with (
        echo_server() as port,
        sidecar_processes(Endpoint("127.0.0.1", port), upgrade_types=("websocket",)) as pair,
    ):
        yield f"ws://127.0.0.1:{pair.web.port}/chat"


def messages() -> Iterator[str | bytes]:
    """Text and binary, empty ones, and some that take several frames of TLS."""
    for number in range(COUNT):
        if number % 1000 == 999:
            yield bytes(range(256)) * 200
        else:
            yield f"message {number} äöü" if number % 2 else b"\0\xff" * (number % 50)


async def test_ten_thousand_messages_go_there_and_come_back_as_they_were() -> None:
    async with echo_behind_the_mesh() as url, asyncio.timeout(60):
        async with connect(url, compression=None, ping_interval=None, proxy=None) as socket:
            sent: list[str | bytes] = []
            for message in messages():
                await socket.send(message)
                sent.append(message)
                if len(sent) == AT_ONCE:
                    assert [await socket.recv() for _ in sent] == sent
                    sent = []
            assert not sent
            assert await (await socket.ping()) >= 0.0
        assert socket.close_code == 1000
