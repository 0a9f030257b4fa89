"""Arbitrary and damaged requests: a verdict of the CSR reader, and nothing else, ever comes out."""

import base64

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given, settings
from hypothesis import strategies as st

from certs.csr import create_csr, generate_key, parse_csr
from certs.errors import CertificateError
from certs.spiffe_id import SpiffeId, TrustDomain

WEB = SpiffeId.for_workload(TrustDomain("cluster.local"), "shop", "web")
KEY = generate_key()
REQUEST = x509.load_pem_x509_csr(create_csr(KEY, WEB))
DER = REQUEST.public_bytes(Encoding.DER)
VERSION = DER.index(b"\x02\x01\x00") + 2
"""Where the version of the request stands."""


def _pem(der: bytes) -> bytes:
    label = b"CERTIFICATE REQUEST-----\n"
    return b"-----BEGIN " + label + base64.encodebytes(der) + b"-----END " + label


def _judge(pem: bytes) -> None:
    try:
        parsed = parse_csr(pem)
    except CertificateError:
        return
    assert (parsed.spiffe_id, parsed.public_key) == (WEB, KEY.public_key())


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.integers(0, len(DER) - 1), st.integers(0, 255)), min_size=1, max_size=4))
def test_a_damaged_request_is_refused_or_unharmed(changes: list[tuple[int, int]]) -> None:
    der = bytearray(DER)
    for place, value in changes:
        der[place] = value
    _judge(_pem(bytes(der)))


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_refused(content: bytes) -> None:
    _judge(content)
    _judge(_pem(content))


def test_a_version_that_does_not_exist_is_refused() -> None:
    der = bytearray(DER)
    der[VERSION] = 7
    _judge(_pem(bytes(der)))
