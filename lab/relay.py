"""Bytes from a socket in a network namespace to an address in ours: what runs there reaches the API server as
everybody else does, on 127.0.0.1, with the same kubeconfig and the same TLS."""

import asyncio
import contextlib
import socket
from pathlib import Path

from lab import netns
from lab.netns import NetworkError

_CHUNK = 64 * 1024
_CONNECT_TIMEOUT = 10.0
_FAILURES = (ConnectionError, OSError, NetworkError)


class Relay:
    """One listening socket. `start`, then `stop`."""

    def __init__(
        self, listener: socket.socket, target: tuple[str, int], namespace: Path | None = None
    ) -> None:
        """`listener` is bound, and the relay's from now on; `target`: host and port to connect to, in the
        network namespace at `namespace`, or ours."""
        self._listener = listener
        self._target = target
        self._namespace = namespace
        self._server: asyncio.Server | None = None
        self._running: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Take connections from now on."""
        self._server = await asyncio.start_server(self._on_connection, sock=self._listener)

    async def run(self) -> None:
        """For ever."""
        try:
            await self.start()
            await asyncio.get_running_loop().create_future()
        finally:
            await self.stop()

    async def stop(self) -> None:
        """Cut every connection."""
        if self._server is not None:
            self._server.close()
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    async def _on_connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._running.add(task)
        try:
            await self._relay(reader, writer)
        except _FAILURES:
            pass  # the client sees its connection end, and tries again
        finally:
            writer.transport.abort()
            self._running.discard(task)

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        to, away = await self._connect()
        try:
            await asyncio.gather(_pump(reader, away), _pump(to, writer))
        finally:
            away.transport.abort()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        namespace = self._namespace
        if namespace is None:
            return await asyncio.open_connection(*self._target)

        def connect() -> socket.socket:
            return socket.create_connection(self._target, _CONNECT_TIMEOUT)

        connection = await asyncio.to_thread(netns.inside, namespace, connect)
        return await asyncio.open_connection(sock=connection)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Until the sender has ended; the other direction may go on."""
    while chunk := await reader.read(_CHUNK):
        writer.write(chunk)
        await writer.drain()
    with contextlib.suppress(*_FAILURES):
        writer.write_eof()
