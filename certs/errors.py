"""What this library refuses, as exceptions at its boundary.

CertificateError       a CSR, certificate, chain or request that cannot be accepted
└── KeyStoreError      key material on disk that cannot be used; names the file and the mend
SpiffeIdError          text that is not a SPIFFE id or trust domain (a `ValueError`)
"""


class SpiffeIdError(ValueError):
    """Text that is not a valid trust domain or SPIFFE id; the message quotes it (shortened) and names the
    rule.
    """


class CertificateError(Exception):
    """A CSR, certificate or chain that is refused; the message says which rule it breaks."""


class KeyStoreError(CertificateError):
    """Key material on disk that cannot be used; the message names the file and how to mend it."""
