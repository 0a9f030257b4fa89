"""One end of the socket pair between the main process and a worker."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from typing import cast

from meshproxy.errors import LocalProtocolError
from meshproxy.workers.frame import FrameReader, encode

_log = logging.getLogger(__name__)


class Channel(asyncio.Protocol):
    """Sends and receives whole messages. `on_closed` is called once, when the other process is gone."""

    def __init__(self, on_message: Callable[[object], None], on_closed: Callable[[], None]) -> None:
        self._on_message = on_message
        self._on_closed = on_closed
        self._reader = FrameReader()
        self._transport: asyncio.Transport | None = None

    @classmethod
    async def over(
        cls, sock: socket.socket, on_message: Callable[[object], None], on_closed: Callable[[], None]
    ) -> Channel:
        """A channel over `sock`, which it owns from now on."""
        loop = asyncio.get_running_loop()
        sock.setblocking(False)
        _, channel = await loop.create_unix_connection(lambda: cls(on_message, on_closed), sock=sock)
        return channel

    def send(self, message: object) -> None:
        """Send `message`; to a process that is gone it is dropped, and `on_closed` tells. Raises
        LocalProtocolError for what cannot be sent."""
        data = encode(message)
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def close(self) -> None:
        """End it; the other side sees an end of file after what was sent."""
        if self._transport is not None:
            self._transport.close()

    # --- asyncio.Protocol ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        try:
            for message in self._reader.feed(data):
                self._on_message(message)
        except LocalProtocolError as error:
            _log.error("channel between processes: %s", error)
            if self._transport is not None:
                self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._on_closed()
