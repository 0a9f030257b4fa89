"""Connections that are held and not used."""

import asyncio
import contextlib
import socket
import ssl
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import NameOID

from certs.csr import generate_key, key_to_pem
from injector import overdue, serving
from injector.certificate import IssuedCertificate
from injector.overdue import Overdue
from injector.serving import WebhookApp, WebhookServer
from injector.template import InjectorSettings


def test_a_connection_is_overdue_once_it_has_owed_for_long() -> None:
    found: Overdue[str] = Overdue()
    assert found.find(["a"], 0.0, is_crowded=False) == []
    assert found.find(["a", "b"], 9.9, is_crowded=False) == []
    assert found.find(["a", "b"], 10.0, is_crowded=False) == ["a"]
    assert found.find(["b"], 10.9, is_crowded=True) == ["b"]
    assert found.find([], 11.0, is_crowded=True) == []
    assert found.find(["b"], 11.1, is_crowded=True) == []


def certificate() -> IssuedCertificate:
    key, now = generate_key(), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "injector")])
    leaf, root = (
        x509.CertificateBuilder(name, name, key.public_key(), serial, now, now + timedelta(days=1)).sign(
            key, hashes.SHA256()
        )
        for serial in (1, 2)
    )
    return IssuedCertificate(key_to_pem(key), (leaf,), root)


async def ended(reader: asyncio.StreamReader) -> bytes:
    with contextlib.suppress(ConnectionError):
        return await reader.read()
    return b""


async def test_who_sends_half_a_request_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overdue, "PATIENCE", 0.0)
    monkeypatch.setattr(serving, "_LOOK", 0.01)
    server = WebhookServer(WebhookApp(InjectorSettings()))
    server.present(certificate())
    port = await server.start(socket.create_server(("127.0.0.1", 0)))
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    head = b"POST /inject HTTP/1.1\r\nHost: injector\r\nContent-Length: 9\r\n\r\n"
    for sent in (b"", b"POST /inject HT", head, head + b"12345"):
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
        writer.write(sent)
        async with asyncio.timeout(30):
            assert await ended(reader) == b""
        writer.transport.abort()
    await server.stop()
