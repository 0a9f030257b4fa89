"""More handshakes than places: who waits, who is served, who is turned away."""

from __future__ import annotations

import asyncio

import pytest

from certs.ca import CertificateAuthority
from meshproxy.transport import handshake_gate
from meshproxy.transport.handshake_gate import HandshakeGate
from tests.unit.meshproxy.identity.mesh import new_authority
from tests.unit.meshproxy.proxy.harness import Mesh
from tests.unit.meshproxy.proxy.test_hostile_tls import GET, ByHand, Handshakes, catalog
from tests.unit.meshproxy.proxy.test_http_failure import settled


@pytest.fixture(scope="module")
def authority() -> CertificateAuthority:
    return new_authority()


def gate_of(mesh: Mesh) -> HandshakeGate:
    return mesh.worker.listeners._services.gate


async def silent(mesh: Mesh, authority: CertificateAuthority) -> asyncio.StreamWriter:
    """Says its ClientHello and nothing more."""
    _, writer = await mesh.connect()
    writer.write(ByHand(authority).flight())
    await settled(lambda: gate_of(mesh).under_way + gate_of(mesh).waiting > 0)
    return writer


@pytest.fixture
def one_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(HandshakeGate.__init__, "__defaults__", (1, 1))


@pytest.mark.usefixtures("one_place")
async def test_who_waits_is_served_when_the_silent_one_is_cut(authority, monkeypatch):
    monkeypatch.setattr(handshake_gate, "PATIENCE", 0.05)
    async with catalog(authority) as mesh:
        dawdler = await silent(mesh, authority)
        client = ByHand(authority)
        reader, writer = await mesh.connect()
        writer.write(await client.finished(reader, writer) + client.sealed(GET))
        answer = b""
        while not answer.endswith(b"hello"):
            data = await asyncio.wait_for(reader.read(65536), 30)
            assert data
            answer += client.opened(data)
        assert mesh.refused == [("listener", "tls_handshake")]
        assert gate_of(mesh).under_way == 0
        for ended in (dawdler, writer):
            ended.close()


@pytest.mark.usefixtures("one_place")
async def test_who_waits_too_long_or_finds_no_room_to_wait_is_reset_and_counted(authority, monkeypatch):
    monkeypatch.setattr(handshake_gate, "PATIENCE", 3600.0)
    handshakes = Handshakes(monkeypatch)
    async with catalog(authority) as mesh:
        dawdler = await silent(mesh, authority)
        reader, waiting = await mesh.connect()
        waiting.write(ByHand(authority).flight())
        await settled(lambda: gate_of(mesh).waiting == 1)
        late_reader, late = await mesh.connect()
        late.write(ByHand(authority).flight())
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(late_reader.read(), 30)
        handshakes.time_is_over(1)
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(reader.read(), 30)
        assert mesh.refused == [("listener", "tls_handshake_limit")] * 2
        assert gate_of(mesh).waiting == 0
        for writer in (dawdler, waiting, late):
            writer.transport.abort()
        await settled(lambda: gate_of(mesh).under_way == 0)
