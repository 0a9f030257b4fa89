"""One question to one server: over UDP from a random port, over TCP where the answer does not fit.

Each question has its own connected socket, so the kernel takes replies from that server's address only, and
its own random id and letter case (draft-vixie-dnsext-dns0x20): a forger must guess all three at once. Replies
that are none of ours are ignored, not taken for a failure.
"""

from __future__ import annotations

import asyncio
import secrets
from typing import Final, cast

from meshproxy.dns.message import Answer, Question, write_query
from meshproxy.dns.name import DnsError
from meshproxy.dns.reply import Verdict, read_reply
from meshproxy.errors import UpstreamError

Server = tuple[str, int]
_MAX_FOREIGN: Final = 16
"""Replies that do not fit, after which a question is given up: somebody is guessing."""


class ServerFailure(UpstreamError):
    """The server answered that it cannot say (SERVFAIL, REFUSED …): asking it again would change nothing."""


class _Reply:
    """What is waited for."""

    def __init__(self, identity: int, question: Question, *, over_udp: bool) -> None:
        self.done: asyncio.Future[Answer | Verdict] = asyncio.get_running_loop().create_future()
        self._identity = identity
        self._question = question
        self._over_udp = over_udp
        self._foreign = 0

    def take(self, data: bytes) -> None:
        if self.done.done():
            return
        try:
            found = read_reply(data, self._identity, self._question, over_udp=self._over_udp)
        except DnsError:
            found = Verdict.FOREIGN
        if found is not Verdict.FOREIGN:
            self.done.set_result(found)
            return
        self._foreign += 1
        if self._foreign >= _MAX_FOREIGN or not self._over_udp:
            self.fail("its replies do not fit the question")

    def fail(self, reason: str) -> None:
        if not self.done.done():
            self.done.set_exception(UpstreamError(reason))


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, reply: _Reply) -> None:
        self._reply = reply

    def datagram_received(self, data: bytes, addr: object) -> None:
        self._reply.take(data)

    def error_received(self, exc: Exception) -> None:
        self._reply.fail(str(exc))

    def connection_lost(self, exc: Exception | None) -> None:
        self._reply.fail("the socket was closed")


class _Stream(asyncio.Protocol):
    """One reply with its length before it (RFC 1035 section 4.2.2)."""

    def __init__(self, reply: _Reply, query: bytes) -> None:
        self._reply = reply
        self._query = query
        self._buffer = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        framed = len(self._query).to_bytes(2, "big") + self._query
        cast("asyncio.Transport", transport).write(framed)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if len(self._buffer) >= 2 and len(self._buffer) >= (
            end := 2 + int.from_bytes(self._buffer[:2], "big")
        ):
            self._reply.take(bytes(self._buffer[2:end]))

    def connection_lost(self, exc: Exception | None) -> None:
        self._reply.fail("the connection ended before the reply")


async def ask(server: Server, question: Question, patience: float) -> Answer:
    """The server's answer. Raises UpstreamError when there is none within `patience` seconds, of
    which ServerFailure when the server says so."""
    sent = Question(random_case(question.name), question.type)
    try:
        async with asyncio.timeout(patience):
            found = await _over_udp(server, sent)
            if found is Verdict.TRUNCATED:
                found = await _over_tcp(server, sent)
    except TimeoutError as error:
        raise UpstreamError(f"{server[0]} did not answer within {patience:g} s") from error
    except (OSError, UpstreamError) as error:
        raise UpstreamError(f"{server[0]}: {error}") from error
    if isinstance(found, Verdict):
        raise ServerFailure(f"{server[0]} could not answer")
    return found


async def _over_udp(server: Server, question: Question) -> Answer | Verdict:
    identity = secrets.randbits(16)
    reply = _Reply(identity, question, over_udp=True)
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: _Datagrams(reply), remote_addr=server
    )
    try:
        transport.sendto(write_query(identity, question))
        return await reply.done
    finally:
        _end(reply)
        transport.abort()


async def _over_tcp(server: Server, question: Question) -> Answer | Verdict:
    identity = secrets.randbits(16)
    reply = _Reply(identity, question, over_udp=False)
    query = write_query(identity, question)
    transport, _ = await asyncio.get_running_loop().create_connection(lambda: _Stream(reply, query), *server)
    try:
        return await reply.done
    finally:
        _end(reply)
        transport.abort()


def _end(reply: _Reply) -> None:
    """Nobody waits any more: an error that comes now is nobody's."""
    reply.done.cancel()


def random_case(name: bytes) -> bytes:
    """The name with each letter large or small by chance. Length bytes are no letters: they are below 64."""
    bits = secrets.randbits(len(name))
    return bytes(
        byte ^ 0x20 if bits >> place & 1 and chr(byte).isascii() and chr(byte).isalpha() else byte
        for place, byte in enumerate(name)
    )
