"""Key material on disk: private, whole or absent, and never replaced behind the operator's back."""

import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from certs.csr import generate_key, key_to_pem
from certs.errors import KeyStoreError
from certs.spiffe_id import TrustDomain
from certs.store import (
    CA_FILES,
    INTERMEDIATE_CERTIFICATE,
    INTERMEDIATE_KEY,
    ROOT_CERTIFICATE,
    ROOT_KEY,
    load_or_create_authority,
    load_or_create_key,
    make_private_directory,
    write_private,
)

NOW = 1_800_000_000.0
MESH = TrustDomain("cluster.local")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def ca(tmp_path: Path) -> Path:
    """A data directory's `ca` with a CA in it."""
    load_or_create_authority(tmp_path / "data" / "ca", MESH, now=NOW)
    return tmp_path / "data" / "ca"


def test_a_written_file_is_private_whole_and_alone(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_bytes(b"old")
    path.chmod(0o644)
    write_private(path, b"new")
    assert path.read_bytes() == b"new"
    assert mode(path) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.mkdir()
    with pytest.raises(OSError, match="directory"):
        write_private(path, b"new")
    assert list(tmp_path.iterdir()) == [path]


def test_an_open_directory_is_tightened(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir(mode=0o755)
    make_private_directory(tmp_path / "data")
    assert mode(tmp_path / "data") == 0o700


def test_a_new_ca_is_private_and_complete(ca: Path) -> None:
    assert sorted(path.name for path in ca.iterdir()) == sorted(CA_FILES)
    assert {mode(path) for path in ca.iterdir()} == {0o600}
    assert mode(ca) == mode(ca.parent) == 0o700
    assert list(ca.parent.iterdir()) == [ca]


def test_the_second_start_finds_the_same_ca(ca: Path) -> None:
    first = load_or_create_authority(ca, MESH, now=NOW)
    second = load_or_create_authority(ca, MESH, now=NOW + 1000)
    assert first.root == second.root
    assert first.intermediate_key.private_numbers() == second.intermediate_key.private_numbers()


@pytest.mark.parametrize("name", CA_FILES)
def test_a_missing_file_is_named_and_not_made_anew(ca: Path, name: str) -> None:
    (ca / name).unlink()
    with pytest.raises(KeyStoreError, match=rf"{name} missing; restore .* from a backup"):
        load_or_create_authority(ca, MESH, now=NOW)
    assert not (ca / name).exists()


@pytest.mark.parametrize("name", CA_FILES)
@pytest.mark.parametrize("content", [b"", b"\x00\xff", b"-----BEGIN X-----\n"])
def test_a_corrupt_file_is_named_with_a_mend_and_left_as_it_is(ca: Path, name: str, content: bytes) -> None:
    write_private(ca / name, content)
    with pytest.raises(KeyStoreError, match=rf"{name} .*restore"):
        load_or_create_authority(ca, MESH, now=NOW)
    assert (ca / name).read_bytes() == content


@pytest.mark.parametrize(
    ("name", "certificate"), [(ROOT_KEY, ROOT_CERTIFICATE), (INTERMEDIATE_KEY, "intermediate-cert")]
)
def test_a_key_of_another_certificate_is_refused(ca: Path, name: str, certificate: str) -> None:
    write_private(ca / name, key_to_pem(generate_key()))
    with pytest.raises(KeyStoreError, match=f"{certificate}.* does not belong"):
        load_or_create_authority(ca, MESH, now=NOW)


def test_an_intermediate_of_another_root_is_refused(ca: Path, tmp_path: Path) -> None:
    load_or_create_authority(tmp_path / "other", MESH, now=NOW)
    for name in (INTERMEDIATE_KEY, INTERMEDIATE_CERTIFICATE):
        write_private(ca / name, (tmp_path / "other" / name).read_bytes())
    with pytest.raises(KeyStoreError, match="not issued by"):
        load_or_create_authority(ca, MESH, now=NOW)


def test_several_certificates_in_one_file_are_refused(ca: Path) -> None:
    write_private(ca / ROOT_CERTIFICATE, (ca / ROOT_CERTIFICATE).read_bytes() * 2)
    with pytest.raises(KeyStoreError, match="2 certificates instead of one"):
        load_or_create_authority(ca, MESH, now=NOW)


def test_the_ca_of_another_trust_domain_is_refused_with_both_names(ca: Path) -> None:
    with pytest.raises(KeyStoreError, match=r"trust domain cluster\.local, not example\.org"):
        load_or_create_authority(ca, TrustDomain("example.org"), now=NOW)


def test_a_key_that_others_may_read_is_refused(ca: Path) -> None:
    (ca / INTERMEDIATE_KEY).chmod(0o640)
    with pytest.raises(KeyStoreError, match=r"mode 0640.*chmod 600"):
        load_or_create_authority(ca, MESH, now=NOW)


def test_a_file_that_cannot_be_read_is_named(ca: Path) -> None:
    (ca / ROOT_KEY).unlink()
    (ca / ROOT_KEY).mkdir()
    with pytest.raises(KeyStoreError, match=f"{ROOT_KEY} cannot be read"):
        load_or_create_authority(ca, MESH, now=NOW)


def test_a_directory_of_something_else_is_not_taken_over(tmp_path: Path) -> None:
    (tmp_path / "ca").mkdir()
    (tmp_path / "ca" / "notes").touch()
    with pytest.raises(KeyStoreError, match="other files"):
        load_or_create_authority(tmp_path / "ca", MESH, now=NOW)
    assert [path.name for path in tmp_path.iterdir()] == ["ca"]


def test_an_empty_directory_becomes_the_ca(tmp_path: Path) -> None:
    (tmp_path / "ca").mkdir()
    load_or_create_authority(tmp_path / "ca", MESH, now=NOW)
    assert len(list((tmp_path / "ca").iterdir())) == len(CA_FILES)


def test_a_single_key_is_created_once(tmp_path: Path) -> None:
    path = tmp_path / "token-key.pem"
    first = load_or_create_key(path, "token signing key")
    assert mode(path) == 0o600
    assert load_or_create_key(path, "token signing key").private_numbers() == first.private_numbers()


def test_a_single_key_of_another_kind_is_refused_with_its_purpose(tmp_path: Path) -> None:
    path = tmp_path / "token-key.pem"
    write_private(path, key_to_pem(ec.generate_private_key(ec.SECP384R1())))
    with pytest.raises(KeyStoreError, match=r"P-256.*new token signing key"):
        load_or_create_key(path, "token signing key")
