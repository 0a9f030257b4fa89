"""Authorities and certificates of a world outside the mesh, for tests of gateways."""

from __future__ import annotations

import datetime
import ssl
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from meshproxy.config.tls import TlsCertificate

_DAY = datetime.timedelta(days=1)


@dataclass(frozen=True)
class Authority:
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    def issue(
        self, *names: str, common_name: str = "", uris: tuple[str, ...] = (), days: int = 1
    ) -> tuple[bytes, bytes]:
        """(chain, key) as PEM, for DNS `names` and `uris`."""
        key = ec.generate_private_key(ec.SECP256R1())
        sans: list[x509.GeneralName] = [x509.DNSName(name) for name in names]
        sans += [x509.UniformResourceIdentifier(uri) for uri in uris]
        now = datetime.datetime.now(datetime.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(_name(common_name or "leaf"))
            .issuer_name(self.certificate.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - 2 * _DAY)
            .not_valid_after(now + days * _DAY)
        )
        if sans:
            builder = builder.add_extension(x509.SubjectAlternativeName(sans), critical=False)
        certificate = builder.sign(self.key, hashes.SHA256())
        return (
            certificate.public_bytes(serialization.Encoding.PEM),
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            ),
        )

    def secret(self, name: str, *names: str) -> TlsCertificate:
        chain, key = self.issue(*names)
        return TlsCertificate(f"kubernetes://edge/{name}", chain, key)

    def client(self, *identity: bytes, folder: Path | None = None) -> ssl.SSLContext:
        """Trusts this authority; with (chain, key) it can prove itself, by a file in `folder`."""
        context = ssl.create_default_context(cadata=self.pem)
        if identity:
            assert folder is not None
            path = folder / "client.pem"
            path.write_bytes(b"".join(identity))
            context.load_cert_chain(path)
        return context


@cache
def authority(name: str) -> Authority:
    """One for each name, made once."""
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(_name(name))
        .issuer_name(_name(name))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - 2 * _DAY)
        .not_valid_after(now + _DAY)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    return Authority(certificate, key)


def _name(common_name: str) -> x509.Name:
    organisation = x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Outside, Inc.")
    return x509.Name([organisation, x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
