"""What the agent believes of an answer from the control plane."""

from __future__ import annotations

import pytest

from certs.bundle import TrustBundle
from certs.csr import create_csr, generate_key, key_to_pem
from certs.errors import CertificateError
from meshproxy.identity.builder import IdentityBuilder
from tests.unit.meshproxy.identity.mesh import CATALOG, WEB, chain_texts, new_authority

NOW = 1_800_000_000.0
AUTHORITY = new_authority(NOW)
ROOT = TrustBundle((AUTHORITY.root,)).pem
KEY = generate_key()


def test_the_chain_is_kept_without_its_root() -> None:
    chain = chain_texts(AUTHORITY, create_csr(KEY, WEB), now=NOW)
    identity = IdentityBuilder(WEB).build(chain, key_to_pem(KEY), KEY.public_key(), ROOT, NOW)
    assert identity.chain_pem.decode() == "".join(chain[:2])
    assert identity.root_pem == ROOT
    assert (identity.spiffe_id, identity.generation) == (WEB, 1)
    assert identity.not_after == NOW + 3600
    assert identity.is_valid(NOW + 3599)
    assert not identity.is_valid(NOW + 3600)


def test_generations_count_up() -> None:
    builder = IdentityBuilder(WEB)
    chain = chain_texts(AUTHORITY, create_csr(KEY, WEB), now=NOW)
    generations = [
        builder.build(chain, key_to_pem(KEY), KEY.public_key(), ROOT, NOW).generation for _ in range(3)
    ]
    assert generations == [1, 2, 3]


def test_another_identity_than_ours_is_refused() -> None:
    chain = chain_texts(AUTHORITY, create_csr(KEY, CATALOG), now=NOW)
    with pytest.raises(CertificateError, match=r"sa/catalog, not .*sa/web"):
        IdentityBuilder(WEB).build(chain, b"", KEY.public_key(), ROOT, NOW)


def test_another_key_than_ours_is_refused() -> None:
    chain = chain_texts(AUTHORITY, create_csr(generate_key(), WEB), now=NOW)
    with pytest.raises(CertificateError, match="another key"):
        IdentityBuilder(WEB).build(chain, b"", KEY.public_key(), ROOT, NOW)


def test_a_chain_to_another_root_is_refused_whatever_root_it_brings() -> None:
    chain = chain_texts(new_authority(NOW), create_csr(KEY, WEB), now=NOW)
    with pytest.raises(CertificateError, match="does not lead"):
        IdentityBuilder(WEB).build(chain, b"", KEY.public_key(), ROOT, NOW)


@pytest.mark.parametrize("chain", [[], ["rubbish"], [""]])
def test_an_answer_that_cannot_be_read_is_refused(chain: list[str]) -> None:
    with pytest.raises(CertificateError):
        IdentityBuilder(WEB).build(chain, b"", KEY.public_key(), ROOT, NOW)
