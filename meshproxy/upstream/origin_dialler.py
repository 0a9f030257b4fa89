"""TLS with servers outside the mesh: they prove a name, by an authority that the configuration has. [8]

No session is kept: a resumed one would skip the check of a certificate that nobody here renews.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from functools import partial

from meshproxy.config.tls import OriginTls
from meshproxy.errors import UpstreamError
from meshproxy.transport.handshake_gate import HandshakeGate
from meshproxy.transport.outside_peer import is_any, outside_peer
from meshproxy.transport.tls import TlsConnection
from meshproxy.transport.tls_dial import dial


class OriginRefused(UpstreamError):
    """The server proved another name than one of those wanted."""


class OriginDialler:
    """Handshakes and checks. TLS contexts come through a callable, because identity is a sibling layer."""

    def __init__(
        self,
        context: Callable[[OriginTls], ssl.SSLContext],
        gate: HandshakeGate,
        wall: Callable[[], float],
    ) -> None:
        """`gate` is the event loop's; `wall` the time in seconds since the Unix epoch."""
        self._context = context
        self._gate = gate
        self._wall = wall

    async def connect(
        self,
        tls: OriginTls,
        connect_tcp: Callable[[asyncio.Protocol], Awaitable[None]],
        protocol: asyncio.Protocol,
    ) -> None:
        """Raises TlsFailure, OriginRefused, and what `connect_tcp` raises. Cancelled, it leaves nothing."""
        connection = await dial(
            partial(self._connection, tls),
            connect_tcp,
            lambda established: self._check(tls, established.ssl_object),
        )
        connection.attach(protocol)

    def _connection(
        self,
        tls: OriginTls,
        on_established: Callable[[TlsConnection], None],
        on_failed: Callable[[Exception], None],
    ) -> TlsConnection:
        return TlsConnection(
            self._context(tls),
            server_side=False,
            server_name=tls.sni or None,
            on_established=on_established,
            on_failed=on_failed,
            gate=self._gate,
        )

    def _check(self, tls: OriginTls, ssl_object: ssl.SSLObject) -> None:
        peer = outside_peer(ssl_object, self._wall())
        if peer is None or not is_any(peer, tls.sans):
            wanted = " or ".join(match.exact or match.prefix or match.suffix for match in tls.sans)
            proved = ", ".join(name for _, name in peer.names) if peer is not None else ""
            raise OriginRefused(f"proved {proved or 'no name'}, expected {wanted}")
