"""A relay from our network into a namespace: how what runs on a lab's node is seen from the host."""

import asyncio
import socket
from pathlib import Path

import pytest

from lab import netns
from lab.relay import Relay

pytestmark = pytest.mark.privileged


async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"hello from inside, " + await reader.read())
    await writer.drain()
    writer.close()


async def test_a_relay_connects_inside_a_namespace(tmp_path: Path) -> None:
    namespace = tmp_path / "inside"
    netns.create(namespace)
    try:
        netns.run(namespace, ["ip", "link", "set", "lo", "up"])
        inside = netns.inside(namespace, lambda: socket.create_server(("127.0.0.1", 0)))
        server = await asyncio.start_server(greet, sock=inside)
        listener = socket.create_server(("127.0.0.1", 0))
        relay = Relay(listener, inside.getsockname(), namespace)
        await relay.start()
        reader, writer = await asyncio.open_connection(*listener.getsockname())
        writer.write(b"host")
        writer.write_eof()
        assert await reader.read() == b"hello from inside, host"
        writer.close()
        await relay.stop()
        server.close()
    finally:
        netns.delete(namespace)


async def test_a_relay_into_a_namespace_that_is_gone_ends_the_connection(tmp_path: Path) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    relay = Relay(listener, ("127.0.0.1", 1), tmp_path / "gone")
    await relay.start()
    reader, writer = await asyncio.open_connection(*listener.getsockname())
    try:
        assert await reader.read() == b""
    except ConnectionResetError:
        pass
    writer.close()
    await relay.stop()
