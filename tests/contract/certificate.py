"""Certificates of servers that are not of the mesh, signed by themselves."""

import datetime
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

T = TypeVar("T")


def server_certificate(directory: Path, common_name: str, *dns_names: str) -> ssl.SSLContext:
    """A server's context; its certificate is `<directory>/<common name>.pem`, key included."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.DNSName(name) for name in dns_names]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    )
    certificate = builder.sign(key, hashes.SHA256())
    pem = certificate.public_bytes(serialization.Encoding.PEM) + key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path = directory / f"{common_name}.pem"
    path.write_bytes(pem)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return context


class TlsClient:
    """TLS over a connection, which stays its caller's: `ssl.SSLSocket` loses one that is reset early.

    Raises ssl.SSLError, or ConnectionError when the other side ends it.
    """

    def __init__(self, connection: socket.socket, context: ssl.SSLContext, server_name: str | None) -> None:
        self._connection = connection
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._in, self._out, server_hostname=server_name)
        self._until_done(self._tls.do_handshake)

    @property
    def certificate(self) -> bytes:
        """The server's, DER."""
        return self._tls.getpeercert(binary_form=True) or b""

    def receive(self) -> bytes:
        """What the server says next."""
        return self._until_done(lambda: self._tls.read(1000))

    def _until_done(self, step: Callable[[], T]) -> T:
        while True:
            try:
                return step()
            except ssl.SSLWantReadError:
                self._connection.sendall(self._out.read())
                data = self._connection.recv(16384)
                if not data:
                    raise ConnectionResetError("the other side ended the connection") from None
                self._in.write(data)
            finally:
                if self._out.pending:
                    self._connection.sendall(self._out.read())
