"""Keys made in a process of their own."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator

import pytest

from certs.bundle import TrustBundle
from certs.ca import CertificateAuthority
from certs.csr import create_csr, generate_key, parse_csr
from certs.errors import CertificateError
from certs.spiffe_id import SpiffeId
from meshproxy.identity.contexts import client_context, server_context
from meshproxy.identity.key_process import KeyProcess
from meshproxy.identity.key_work import KeyWork, answer
from meshproxy.identity.keys import IdentityUnavailable
from tests.unit.meshproxy.identity.mesh import CATALOG, HTTP, WEB, TlsPair, chain_texts, new_authority


@pytest.fixture
async def keys() -> AsyncIterator[KeyProcess]:
    async with KeyProcess() as keys:
        yield keys


async def test_an_identity_from_the_process_serves_tls(keys: KeyProcess) -> None:
    authority, now = new_authority(), time.time()
    csr = await keys.request(WEB)
    assert parse_csr(csr).spiffe_id == WEB
    roots = await keys.bundle(b"a comment\n" + TrustBundle((authority.root,)).pem, "roots")
    chain = chain_texts(authority, csr, now=now, ttl=600)
    identity = await keys.identity(chain, roots, now, 7)
    assert (identity.spiffe_id, identity.generation) == (WEB, 7)
    assert abs(identity.not_after - now - 600) < 2
    assert identity.chain_pem.count(b"BEGIN CERTIFICATE") == 2  # without the root
    assert identity.root_pem == roots == TrustBundle((authority.root,)).pem
    client = client_context(identity, alpn=HTTP)
    server = server_context(identity, require_client_certificate=True, alpn=HTTP)
    assert TlsPair(client, server).handshake().echo(b"hello") == b"hello"


async def test_what_it_refuses_is_told_and_it_goes_on(keys: KeyProcess) -> None:
    authority = new_authority()
    with pytest.raises(CertificateError, match="holds no readable PEM"):
        await keys.bundle(b"\xff rubbish", "roots.pem")
    csr = await keys.request(WEB)
    roots = TrustBundle((authority.root,)).pem
    with pytest.raises(CertificateError, match="is valid from"):
        await keys.identity(chain_texts(authority, csr, now=time.time()), roots, 0.0, 1)
    with pytest.raises(CertificateError, match=f"for {CATALOG}, not {WEB}"):
        await keys.identity(_foreign(authority, CATALOG), roots, time.time(), 1)
    with pytest.raises(CertificateError, match="another key than ours"):
        await keys.identity(_foreign(authority, WEB), roots, time.time(), 1)


async def test_each_process_makes_a_key_of_its_own() -> None:
    requests = set()
    for _ in range(2):
        async with KeyProcess() as keys:
            requests.add(parse_csr(await keys.request(WEB)).public_key.public_numbers().x)
    assert len(requests) == 2


async def test_a_bundle_of_the_largest_size_fits_through(keys: KeyProcess) -> None:
    root = TrustBundle((new_authority().root,)).pem
    pem = root * ((1 << 20) // len(root))
    assert await keys.bundle(pem, "roots") == pem


@pytest.mark.parametrize(
    ("command", "complaint"),
    [
        (("/nowhere/python",), "/nowhere/python cannot be run"),
        ((sys.executable, "-c", ""), "ended early"),
        ((sys.executable, "-c", "print('{}', end='')"), "ended early"),
        ((sys.executable, "-c", "import time; time.sleep(60)"), "more than 0.05 s"),
    ],
)
async def test_a_process_that_does_not_do_its_work_is_named(
    command: tuple[str, ...], complaint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "sleep" in command[-1]:
        monkeypatch.setattr("meshproxy.identity.key_process.ANSWER_TIMEOUT", 0.05)
    with pytest.raises(IdentityUnavailable, match=complaint):
        async with KeyProcess(command) as keys:
            await keys.request(WEB)


async def test_leaving_in_the_middle_ends_the_process() -> None:
    keys = KeyProcess((sys.executable, "-c", "import time; time.sleep(60)"))
    asking = asyncio.ensure_future(_ask(keys))
    while keys._process is None:  # noqa: ASYNC110 — nothing tells when a process has begun
        await asyncio.sleep(0)
    process = keys._process
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert process.returncode is not None


def test_a_question_of_no_kind_is_our_mistake() -> None:
    with pytest.raises(ValueError, match="'dance' is no kind"):
        answer(KeyWork(), {"kind": "dance"})


async def test_the_sidecar_itself_loads_neither_cryptography_nor_grpc() -> None:
    script = "import sys, meshproxy.__main__; print(*{'cryptography', 'grpc'} & {*sys.modules})"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    assert (process.returncode, output) == (0, b"\n")


async def _ask(keys: KeyProcess) -> None:
    async with keys:
        await keys.request(WEB)


def _foreign(authority: CertificateAuthority, spiffe_id: SpiffeId) -> list[str]:
    """A chain for a key that somebody else made."""
    return chain_texts(authority, create_csr(generate_key(), spiffe_id), now=time.time())
