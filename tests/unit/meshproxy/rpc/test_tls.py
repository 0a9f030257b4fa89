"""Calls over TLS, on both event loops: whose server is believed, and that it must speak HTTP/2."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable, Coroutine
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
import uvloop

from certs.spiffe_id import SpiffeId
from certs.svid import KeyedSvid
from meshproxy.errors import UpstreamError
from meshproxy.identity.contexts import control_plane_context
from meshproxy.rpc.call import dial, unary
from tests.unit.meshproxy.identity.mesh import MESH, new_authority
from tests.unit.meshproxy.rpc.test_call import OK, Answering, Peer

CONTROL_PLANE = SpiffeId.for_workload(MESH, "meshproxy-system", "control-plane")
RUNNERS: list[Callable[[Coroutine[Any, Any, None]], None]] = [asyncio.run, uvloop.run]


def serving() -> KeyedSvid:
    """A control plane's certificate for 127.0.0.1, of a CA of its own."""
    loopback = [ip_address("127.0.0.1")]
    return new_authority().issue_serving(
        CONTROL_PLANE, dns_names=["control-plane"], addresses=loopback, now=time.time()
    )


def server_context(certificate: KeyedSvid, folder: Path, alpn: list[str]) -> ssl.SSLContext:
    path = folder / "pair.pem"
    path.write_bytes(certificate.key_pem + certificate.svid.chain_pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    context.set_alpn_protocols(alpn)
    return context


async def ask(server_tls: ssl.SSLContext, root_pem: bytes, host: str = "127.0.0.1") -> None:
    """One question to a server that answers at once."""
    peers: list[Peer] = []

    def accept() -> Peer:
        peers.append(Answering([b"answer"], OK))
        return peers[0]

    server = await asyncio.get_running_loop().create_server(accept, "127.0.0.1", 0, ssl=server_tls)
    try:
        port = server.sockets[0].getsockname()[1]
        call = await dial(f"{host}:{port}", control_plane_context(root_pem, None))
        assert await unary(call, "/a.B/C", b"question", (), 5.0) == b"answer"
    finally:
        if peers and peers[0].transport is not None:  # else its handshake failed
            async with asyncio.timeout(30):
                await peers[0].lost.wait()
        server.close()


@pytest.mark.parametrize("run", RUNNERS)
def test_a_server_that_proves_itself_is_asked(
    run: Callable[[Coroutine[Any, Any, None]], None], tmp_path: Path
) -> None:
    certificate = serving()
    run(ask(server_context(certificate, tmp_path, ["h2"]), certificate.svid.root_pem))


@pytest.mark.parametrize("run", RUNNERS)
def test_a_server_without_http2_is_refused(
    run: Callable[[Coroutine[Any, Any, None]], None], tmp_path: Path
) -> None:
    certificate = serving()
    with pytest.raises(UpstreamError, match="does not speak HTTP/2"):
        run(ask(server_context(certificate, tmp_path, ["http/1.1"]), certificate.svid.root_pem))


@pytest.mark.parametrize("run", RUNNERS)
def test_a_server_of_another_ca_is_refused(
    run: Callable[[Coroutine[Any, Any, None]], None], tmp_path: Path
) -> None:
    with pytest.raises(UpstreamError, match=r"UNAVAILABLE: .*certificate verify failed"):
        run(ask(server_context(serving(), tmp_path, ["h2"]), serving().svid.root_pem))


@pytest.mark.parametrize("run", RUNNERS)
def test_a_server_of_another_name_is_refused(
    run: Callable[[Coroutine[Any, Any, None]], None], tmp_path: Path
) -> None:
    certificate = serving()
    with pytest.raises(UpstreamError, match=r"UNAVAILABLE: localhost.*certificate verify failed"):
        run(ask(server_context(certificate, tmp_path, ["h2"]), certificate.svid.root_pem, "localhost"))
