"""Key material on disk: private, atomic, durable; what is broken is reported and never silently replaced.

Files have mode 0600 and lie in directories of mode 0700. A CA directory is built beside its final name and
renamed, so that a crash leaves either no CA or a whole one.
"""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from certs.bundle import parse_certificates
from certs.ca import CertificateAuthority, create_authority
from certs.csr import generate_key, key_to_pem
from certs.errors import CertificateError, KeyStoreError
from certs.spiffe_id import TrustDomain
from certs.svid import certificate_to_pem, spiffe_id_of

ROOT_KEY: Final = "root-key.pem"
ROOT_CERTIFICATE: Final = "root-cert.pem"
INTERMEDIATE_KEY: Final = "intermediate-key.pem"
INTERMEDIATE_CERTIFICATE: Final = "intermediate-cert.pem"
CA_FILES: Final = (ROOT_KEY, ROOT_CERTIFICATE, INTERMEDIATE_KEY, INTERMEDIATE_CERTIFICATE)

_UNFINISHED_PREFIX: Final = ".unfinished-"


def make_private_directory(path: Path) -> None:
    """Create `path` (parents too) with mode 0700, or tighten it."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.chmod(0o700)


def write_private(path: Path, content: bytes) -> None:
    """Replace `path` atomically and durably by a file of mode 0600. The directory must exist."""
    descriptor, name = tempfile.mkstemp(prefix=_UNFINISHED_PREFIX, dir=path.parent)  # mkstemp's mode is 0600
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.rename(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    _sync_directory(path.parent)


def load_or_create_key(path: Path, purpose: str) -> ec.EllipticCurvePrivateKey:
    """The P-256 key of `path`, created when there is none. `purpose` says in errors what it is for."""
    if not path.exists():
        key = generate_key()
        write_private(path, key_to_pem(key))
        return key
    return _load_key(path, f"restore it from a backup, or remove it to begin with a new {purpose}")


def load_or_create_authority(
    directory: Path, trust_domain: TrustDomain, *, now: float
) -> CertificateAuthority:
    """The CA of `directory`, created when there is none. `now` is in seconds since the epoch.

    Raises KeyStoreError when files are missing, unreadable, open to others, or do not belong together.
    """
    present = [name for name in CA_FILES if (directory / name).exists()]
    if not present:
        return _create_authority(directory, trust_domain, now)
    mend = (
        f"restore {directory} from a backup, or remove that directory to begin with a new CA "
        "(every certificate issued so far then becomes invalid)"
    )
    if missing := [name for name in CA_FILES if name not in present]:
        raise KeyStoreError(f"{directory}: {', '.join(missing)} missing; {mend}")
    return _load_authority(directory, trust_domain, mend)


def _create_authority(directory: Path, trust_domain: TrustDomain, now: float) -> CertificateAuthority:
    make_private_directory(directory.parent)
    created = create_authority(trust_domain, now=now)
    authority = created.authority
    with _directory_to_be(directory) as unfinished:
        write_private(unfinished / ROOT_KEY, key_to_pem(created.root_key))
        write_private(unfinished / ROOT_CERTIFICATE, certificate_to_pem(authority.root))
        write_private(unfinished / INTERMEDIATE_KEY, key_to_pem(authority.intermediate_key))
        write_private(unfinished / INTERMEDIATE_CERTIFICATE, certificate_to_pem(authority.intermediate))
    return authority


@contextmanager
def _directory_to_be(final: Path) -> Iterator[Path]:
    """A fresh private directory beside `final` that takes its name when the block ends well."""
    unfinished = Path(tempfile.mkdtemp(prefix=_UNFINISHED_PREFIX, dir=final.parent))  # mkdtemp's mode is 0700
    try:
        yield unfinished
        try:
            unfinished.rename(final)  # replaces an empty directory, never a filled one
        except OSError as exc:
            raise KeyStoreError(
                f"{final} exists and holds other files, but no CA; move it away: {exc.strerror}"
            ) from exc
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    _sync_directory(final.parent)


def _load_authority(directory: Path, trust_domain: TrustDomain, mend: str) -> CertificateAuthority:
    root_key = _load_key(directory / ROOT_KEY, mend)
    root = _load_certificate(directory / ROOT_CERTIFICATE, mend)
    intermediate_key = _load_key(directory / INTERMEDIATE_KEY, mend)
    intermediate = _load_certificate(directory / INTERMEDIATE_CERTIFICATE, mend)
    _check_pair(directory / ROOT_CERTIFICATE, root, root_key, mend)
    _check_pair(directory / INTERMEDIATE_CERTIFICATE, intermediate, intermediate_key, mend)
    _check_issued(directory / ROOT_CERTIFICATE, root, root, mend)
    _check_issued(directory / INTERMEDIATE_CERTIFICATE, intermediate, root, mend)
    _check_trust_domain(directory / ROOT_CERTIFICATE, root, trust_domain)
    return CertificateAuthority(trust_domain, root, intermediate, intermediate_key)


def _read(path: Path, mend: str) -> bytes:
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            content = file.read()
    except OSError as exc:
        raise KeyStoreError(f"{path} cannot be read ({exc.strerror}); {mend}") from exc
    if mode & 0o077:
        raise KeyStoreError(
            f"{path} has mode {mode:04o}, open to others; check who read it, then `chmod 600 {path}`"
        )
    return content


def _load_key(path: Path, mend: str) -> ec.EllipticCurvePrivateKey:
    content = _read(path, mend)
    try:
        key = load_pem_private_key(content, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as exc:
        raise KeyStoreError(f"{path} holds no readable unencrypted PEM private key; {mend}") from exc
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise KeyStoreError(f"{path} holds a key that is not ECDSA P-256; {mend}")
    return key


def _load_certificate(path: Path, mend: str) -> x509.Certificate:
    try:
        certificates = parse_certificates(_read(path, mend), str(path))
    except KeyStoreError:
        raise
    except CertificateError as exc:
        raise KeyStoreError(f"{exc}; {mend}") from exc
    if len(certificates) != 1:
        raise KeyStoreError(f"{path} holds {len(certificates)} certificates instead of one; {mend}")
    return certificates[0]


def _check_pair(
    path: Path, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey, mend: str
) -> None:
    if certificate.public_key() != key.public_key():
        raise KeyStoreError(f"{path} does not belong to the private key beside it; {mend}")


def _check_issued(path: Path, certificate: x509.Certificate, issuer: x509.Certificate, mend: str) -> None:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature) as exc:
        raise KeyStoreError(f"{path} was not issued by {ROOT_CERTIFICATE}; {mend}") from exc


def _check_trust_domain(path: Path, root: x509.Certificate, trust_domain: TrustDomain) -> None:
    try:
        found = spiffe_id_of(root).trust_domain
    except CertificateError as exc:
        raise KeyStoreError(f"{path} does not say which trust domain it is for: {exc}") from exc
    if found != trust_domain:
        raise KeyStoreError(
            f"{path} is for trust domain {found}, not {trust_domain}; start with --trust-domain {found}, "
            "or use another data directory"
        )


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)  # else a power cut may undo the rename
    finally:
        os.close(descriptor)
