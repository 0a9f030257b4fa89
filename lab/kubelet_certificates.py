"""TLS between the API server and the kubelets of a lab: a small CA of their own, made when it is needed.

Below `<lab>/kubelet/`: `ca.crt` and `ca.key`; `apiserver.crt` and `.key`, by which the API server is known to
kubelets (kube-apiserver's `--kubelet-client-certificate` and `--kubelet-client-key`, with `ca.crt` as
`--kubelet-certificate-authority`); and one pair for each node, with its name and addresses.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from lab.paths import LabPaths

_LIFETIME = timedelta(days=365)
"""A lab's directory does not outlive a reboot of the machine."""
_SKEW = timedelta(minutes=5)
_API_SERVER = "apiserver"
_CLIENT_NAME = "kube-apiserver-kubelet-client"

Address = IPv4Address | IPv6Address


@dataclass(frozen=True, slots=True)
class KeyPairFiles:
    """A certificate and its key, as PEM files."""

    certificate: Path
    key: Path


@dataclass(frozen=True, slots=True)
class KubeletTls:
    """What both sides need."""

    authority: Path
    """Verifies kubelets and the API server alike."""
    pair: KeyPairFiles


class KubeletAuthority:
    """The CA of a lab's kubelets, opened or made."""

    def __init__(self, paths: LabPaths) -> None:
        """Raises OSError."""
        self._folder = paths.kubelet
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._ca = self._files("ca")
        if not self._ca.certificate.exists():
            self._make_authority()

    def api_server(self) -> KubeletTls:
        """For the API server's requests to kubelets; made once."""
        files = self._files(_API_SERVER)
        if not files.certificate.exists():
            self._issue(files, _CLIENT_NAME, [], ExtendedKeyUsageOID.CLIENT_AUTH)
        return KubeletTls(self._ca.certificate, files)

    def node(self, name: str, addresses: Iterable[Address]) -> KubeletTls:
        """For the kubelet of a node; made anew each time."""
        names: list[x509.GeneralName] = [x509.DNSName(name)]
        names += [x509.IPAddress(address) for address in addresses]
        files = self._files(f"node-{name}")
        self._issue(files, f"system:node:{name}", names, ExtendedKeyUsageOID.SERVER_AUTH)
        return KubeletTls(self._ca.certificate, files)

    def _files(self, name: str) -> KeyPairFiles:
        return KeyPairFiles(self._folder / f"{name}.crt", self._folder / f"{name}.key")

    def _make_authority(self) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
        name = _name("kubelet-ca")
        builder = _builder(name, name, key.public_key())
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        builder = builder.add_extension(usage, critical=True)
        _write(self._ca, builder.sign(key, hashes.SHA256()), key)

    def _issue(
        self,
        files: KeyPairFiles,
        common_name: str,
        names: list[x509.GeneralName],
        purpose: x509.ObjectIdentifier,
    ) -> None:
        authority = x509.load_pem_x509_certificate(self._ca.certificate.read_bytes())
        signer = serialization.load_pem_private_key(self._ca.key.read_bytes(), None)
        assert isinstance(signer, ec.EllipticCurvePrivateKey)  # written by _make_authority
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(_name(common_name), authority.subject, key.public_key())
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        builder = builder.add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        _write(files, builder.sign(signer, hashes.SHA256()), key)


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(now + _LIFETIME)
    )


def _write(files: KeyPairFiles, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
    """The key first: who sees a certificate may use both."""
    text = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    _replace(files.key, text)
    _replace(files.certificate, certificate.public_bytes(serialization.Encoding.PEM))


def _replace(path: Path, content: bytes) -> None:
    staged = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(content)
    os.replace(staged, path)
