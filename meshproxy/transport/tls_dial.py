"""Dialling a TLS connection: TCP, handshake, and whatever is asked of the peer before it is trusted. [8]"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import cast

from meshproxy.transport.tls import TlsConnection, TlsFailure

Make = Callable[[Callable[[TlsConnection], None], Callable[[Exception], None]], TlsConnection]
"""(on_established, on_failed) -> a client's connection that tells them."""


async def dial(
    make: Make,
    connect_tcp: Callable[[asyncio.Protocol], Awaitable[None]],
    check: Callable[[TlsConnection], None],
) -> TlsConnection:
    """An established connection that `check` let pass, still to be attached.

    Raises TlsFailure, and what `connect_tcp` and `check` raise. When it does, or is cancelled, nothing is
    left open.
    """
    established: asyncio.Future[TlsConnection] = asyncio.get_running_loop().create_future()

    def on_established(done: TlsConnection) -> None:
        if not established.done():
            established.set_result(done)

    def on_failed(error: Exception) -> None:
        if not established.done():
            established.set_exception(error)

    connection = make(on_established, on_failed)
    try:
        await connect_tcp(cast("asyncio.Protocol", connection))
        await established
        if connection.is_closing():
            raise TlsFailure("peer closed the connection right after the TLS handshake")
        check(connection)
    except BaseException:
        connection.abort()
        if established.done() and not established.cancelled():
            established.exception()  # retrieved: the cause is already on its way up
        established.cancel()  # what the abort brings is no news
        raise
    return connection
