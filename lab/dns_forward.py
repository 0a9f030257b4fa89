"""What the cluster's DNS does not know, asked of a server outside, when the lab is told one.

The question goes out from the host's own network, on a socket and with an id of its own for each; the answer
is handed on as it came. It is nothing for hostile networks: sidecars, who ask the cluster's DNS, check what
they get by themselves.
"""

import asyncio
import logging
import secrets
from ipaddress import IPv4Address, IPv6Address

from lab.addressing import Address

_log = logging.getLogger(__name__)

_TRIES = 2
_PATIENCE = 2.0
"""Seconds for one try; glibc asks again after 5."""
MAX_UNDER_WAY = 256
"""Questions; more get no answer."""
_HEADER_SIZE = 12


class DnsForwarder:
    """Asks one server."""

    def __init__(self, address: Address, port: int = 53) -> None:
        self._server = (str(address), port)
        self._under_way = 0

    async def answer(self, query: bytes, *, over_udp: bool) -> bytes | None:
        """The server's response to a whole query, with the query's id; None when there is none."""
        if self._under_way >= MAX_UNDER_WAY:
            return None
        self._under_way += 1
        try:
            return await self._ask(query, over_udp=over_udp)
        finally:
            self._under_way -= 1

    async def _ask(self, query: bytes, *, over_udp: bool) -> bytes | None:
        for _ in range(_TRIES):
            asked = secrets.token_bytes(2) + query[2:]
            try:
                async with asyncio.timeout(_PATIENCE):
                    ask = self._over_udp if over_udp else self._over_tcp
                    return query[:2] + (await ask(asked))[2:]
            except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
                _log.debug("DNS server %s: %s", self._server[0], error)
        return None

    async def _over_udp(self, query: bytes) -> bytes:
        loop = asyncio.get_running_loop()
        reply: asyncio.Future[bytes] = loop.create_future()
        transport, _ = await loop.create_datagram_endpoint(
            lambda: _Reply(query, reply), remote_addr=self._server
        )
        try:
            transport.sendto(query)
            return await reply
        finally:
            reply.cancel()
            transport.abort()

    async def _over_tcp(self, query: bytes) -> bytes:
        reader, writer = await asyncio.open_connection(*self._server)
        try:
            writer.write(len(query).to_bytes(2, "big") + query)
            size = int.from_bytes(await reader.readexactly(2), "big")
            reply = await reader.readexactly(size)
        finally:
            writer.transport.abort()
        if not _answers(query, reply):
            raise OSError("its reply does not fit the question")
        return reply


class _Reply(asyncio.DatagramProtocol):
    def __init__(self, query: bytes, reply: "asyncio.Future[bytes]") -> None:
        self._query = query
        self._reply = reply

    def datagram_received(self, data: bytes, addr: object) -> None:
        if not self._reply.done() and _answers(self._query, data):
            self._reply.set_result(data)

    def error_received(self, exc: Exception) -> None:
        if not self._reply.done():
            self._reply.set_exception(exc)


def _answers(query: bytes, reply: bytes) -> bool:
    """Same id and question, and a response. The question is the first thing after the header in both."""
    end = query.index(b"\0", _HEADER_SIZE) + 5
    same = query[_HEADER_SIZE:end].lower() == reply[_HEADER_SIZE:end].lower()
    return len(reply) > end - 1 and reply[:2] == query[:2] and bool(reply[2] & 0x80) and same


def parse_upstream(text: str) -> Address | None:
    """An address; empty is none. Raises ValueError."""
    if not text:
        return None
    try:
        return IPv6Address(text) if ":" in text else IPv4Address(text)
    except ValueError as error:
        raise ValueError(f"DNS upstream {text!r}: give the IP address of a DNS server") from error
