"""Dialling an upstream: TCP, then mTLS where the endpoint asks for it, and who answered is checked. [8]

Never falls back to plaintext: a failed handshake or a foreign identity is a failed connection.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from meshproxy.config.model import UpstreamTls
from meshproxy.config.tls import OriginTls
from meshproxy.errors import UpstreamError
from meshproxy.openssl import take_session
from meshproxy.transport.handshake_gate import HandshakeGate
from meshproxy.transport.tls import TlsConnection, TlsFailure
from meshproxy.transport.tls_dial import dial
from meshproxy.transport.tls_session import MAX_SESSIONS, SessionStore
from meshproxy.upstream.origin_dialler import OriginDialler, OriginRefused


class ConnectFailed(UpstreamError):
    """No connection came about. `reason` is a stable token for metrics: `refused`, `timeout`, `unreachable`,
    `tls_handshake`, `identity_mismatch`, `no_identity`, `closed`, `internal`."""

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


Security = OriginTls | bool
"""TLS with a server outside; else whether it is mutual TLS of the mesh."""


@dataclass(frozen=True, slots=True)
class DialTarget:
    """Where to connect and what to expect there."""

    address: str
    port: int
    connect_timeout: float
    """Seconds for TCP and TLS together."""
    tls: UpstreamTls | None = None
    """None: plaintext, or `origin`."""
    spiffe_id: str = ""
    """The identity this endpoint must prove; empty: one of `tls.san_matchers`."""
    bind_address: str = ""
    origin: OriginTls | None = None
    """TLS with a server that is not of the mesh; then `tls` is None."""

    @property
    def security(self) -> Security:
        """What connections rest on: one that rests on something else is not used again."""
        return self.origin or self.tls is not None


class Connector:
    """Opens connections. TLS contexts and the reading of a peer's identity come through callables, because
    identity is a sibling layer."""

    def __init__(
        self,
        client_context: Callable[[tuple[str, ...]], ssl.SSLContext | None],
        peer_identity: Callable[[ssl.SSLObject], str],
        gate: HandshakeGate | None = None,
        on_handshake: Callable[[bool], None] | None = None,
        origin: OriginDialler | None = None,
    ) -> None:
        """`client_context(alpn)` is None while the sidecar has no valid identity; `peer_identity` "" is
        nobody. `gate` is the event loop's; `on_handshake(resumed)` counts; `origin`
        speaks TLS with servers outside the mesh.
        """
        self._client_context = client_context
        self._peer_identity = peer_identity
        self._gate = gate or HandshakeGate()
        self._on_handshake = on_handshake
        self._origin = origin
        self._sessions: dict[tuple[tuple[str, ...], int], SessionStore] = {}
        """By ALPN, as contexts are, and by how many may be kept: no more than the configuration names."""

    async def connect(self, target: DialTarget, protocol: asyncio.Protocol) -> None:
        """Connect and attach `protocol` (its `connection_made` runs before this returns).

        Raises ConnectFailed. On cancellation nothing is left open.
        """
        try:
            async with asyncio.timeout(target.connect_timeout):
                if target.origin is not None:
                    assert self._origin is not None
                    await self._origin.connect(target.origin, partial(self._connect_tcp, target), protocol)
                elif target.tls is None:
                    await self._connect_tcp(target, protocol)
                else:
                    await self._connect_tls(target, target.tls, protocol)
        except TimeoutError as exc:
            raise ConnectFailed(
                f"no connection to {target.address}:{target.port} in {target.connect_timeout:g} s", "timeout"
            ) from exc
        except ConnectFailed:
            raise
        except OriginRefused as exc:
            raise ConnectFailed(f"{target.address}:{target.port}: {exc}", "identity_mismatch") from exc
        except TlsFailure as exc:
            raise ConnectFailed(f"TLS with {target.address}:{target.port}: {exc}", "tls_handshake") from exc
        except ConnectionError as exc:
            raise ConnectFailed(f"{target.address}:{target.port}: {exc}", "refused") from exc
        except OSError as exc:
            raise ConnectFailed(f"{target.address}:{target.port}: {exc}", "unreachable") from exc

    async def _connect_tcp(self, target: DialTarget, protocol: asyncio.Protocol) -> None:
        loop = asyncio.get_running_loop()
        local = (target.bind_address, 0) if target.bind_address else None
        await loop.create_connection(lambda: protocol, target.address, target.port, local_addr=local)

    async def _connect_tls(self, target: DialTarget, tls: UpstreamTls, protocol: asyncio.Protocol) -> None:
        context = self._client_context(tls.alpn_protocols)
        if context is None:
            raise ConnectFailed("this sidecar has no valid certificate", "no_identity")
        loop = asyncio.get_running_loop()
        sessions = self._session_store(tls)
        peer = (target.address, target.port, target.spiffe_id, tls.san_matchers, tls.san_prefixes, tls.sni)

        def on_tickets(ssl_object: ssl.SSLObject) -> None:
            if (
                sessions.is_wanted(context, peer, loop.time())
                and (session := take_session(ssl_object)) is not None
            ):
                sessions.keep(context, peer, session, loop.time())

        offered = sessions.find(context, peer)

        def connection(
            on_established: Callable[[TlsConnection], None], on_failed: Callable[[Exception], None]
        ) -> TlsConnection:
            return TlsConnection(
                context,
                server_side=False,
                server_name=tls.sni or None,
                session=offered,
                on_established=on_established,
                on_failed=on_failed,
                gate=self._gate,
                on_tickets=on_tickets,
            )

        def check(established: TlsConnection) -> None:
            is_resumed = bool(established.ssl_object.session_reused)
            if offered is not None:
                sessions.on_answer(peer, offered, is_resumed=is_resumed)
            if self._on_handshake is not None:
                self._on_handshake(is_resumed)
            self._check_identity(target, tls, established.ssl_object)

        try:
            established = await dial(connection, partial(self._connect_tcp, target), check)
        except BaseException:
            sessions.forget(peer)
            raise
        established.attach(protocol)

    def _session_store(self, tls: UpstreamTls) -> SessionStore:
        limit = MAX_SESSIONS if tls.max_session_keys is None else tls.max_session_keys
        store = self._sessions.get((tls.alpn_protocols, limit))
        if store is None:
            store = self._sessions[tls.alpn_protocols, limit] = SessionStore(limit)
        return store

    def _check_identity(self, target: DialTarget, tls: UpstreamTls, ssl_object: ssl.SSLObject) -> None:
        peer = self._peer_identity(ssl_object)
        is_named = target.spiffe_id in ("", peer)
        if not peer or not is_named or not _is_accepted(tls, peer, named=bool(target.spiffe_id)):
            expected = (target.spiffe_id,) if target.spiffe_id else _accepted(tls)
            wanted = " or ".join(expected) or "nobody: no identity is configured for it"
            raise ConnectFailed(
                f"{target.address}:{target.port} proved {peer or 'no identity'}, expected {wanted}",
                "identity_mismatch",
            )


def _is_accepted(tls: UpstreamTls, peer: str, *, named: bool) -> bool:
    """By the cluster's matchers; without any, only the identity that the endpoint is `named` with."""
    if not tls.san_matchers and not tls.san_prefixes:
        return named
    return peer in tls.san_matchers or peer.startswith(tls.san_prefixes)


def _accepted(tls: UpstreamTls) -> tuple[str, ...]:
    return (*tls.san_matchers, *(f"{prefix}…" for prefix in tls.san_prefixes))
