"""`python -m meshproxy.identity.key_work`: makes one key and what belongs to it, then ends.

The only part of a sidecar that imports `cryptography`, whose library would cost the long-lived process 14 MB
for work that takes milliseconds a day. Questions come on stdin, answers leave on stdout, one JSON object a
line; the key leaves through that pipe only, into the memory of the sidecar that asked.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any

from certs.bundle import TrustBundle
from certs.csr import create_csr, generate_key, key_to_pem
from certs.errors import CertificateError
from certs.spiffe_id import SpiffeId
from meshproxy.identity.builder import IdentityBuilder
from meshproxy.identity.identity import Identity


class KeyWork:
    """`Keys`, done here and at once."""

    def __init__(self) -> None:
        self._key = generate_key()
        self._spiffe_id: SpiffeId | None = None

    def request(self, spiffe_id: SpiffeId) -> bytes:
        """A PEM request, signed by our key."""
        self._spiffe_id = spiffe_id
        return create_csr(self._key, spiffe_id)

    def bundle(self, pem: bytes, what: str) -> bytes:
        """The roots in `pem`. Raises CertificateError."""
        return TrustBundle.parse(pem, what).pem

    def identity(self, chain: list[str], root_pem: bytes, now: float) -> Identity:
        """After `request`. Raises CertificateError."""
        assert self._spiffe_id is not None, "a chain answers a request"
        builder = IdentityBuilder(self._spiffe_id)
        return builder.build(chain, key_to_pem(self._key), self._key.public_key(), root_pem, now)


def answer(work: KeyWork, question: Mapping[str, Any]) -> dict[str, object]:
    """What is answered to one question; `refused` says why there is nothing else. Bytes travel as Latin-1."""
    try:
        kind = question["kind"]
        if kind == "request":
            return {"csr": _text(work.request(SpiffeId.parse(question["spiffe_id"])))}
        if kind == "bundle":
            return {"pem": _text(work.bundle(_bytes(question["pem"]), question["what"]))}
        if kind == "identity":
            return _facts(work.identity(question["chain"], _bytes(question["root_pem"]), question["now"]))
    except CertificateError as refusal:
        return {"refused": str(refusal)}
    raise ValueError(f"{kind!r} is no kind of question")


def _facts(identity: Identity) -> dict[str, object]:
    return {
        "serial_number": identity.serial_number,
        "not_before": identity.not_before,
        "not_after": identity.not_after,
        "chain_pem": _text(identity.chain_pem),
        "root_pem": _text(identity.root_pem),
        "key_pem": _text(identity.key_pem),
    }


def _text(content: bytes) -> str:
    return content.decode("latin-1")


def _bytes(text: str) -> bytes:
    return text.encode("latin-1")


def main() -> None:
    """Answer until stdin ends: with the work, or with the sidecar."""
    work = KeyWork()
    for line in sys.stdin:
        print(json.dumps(answer(work, json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
