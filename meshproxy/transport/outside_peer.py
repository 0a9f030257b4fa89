"""Who a peer outside the mesh has proved to be: the names in its verified certificate. [2, 8]

What is read here is for `x-forwarded-client-cert`, and for the matchers of the configuration. It never makes
a mesh identity: whoever signs certificates for strangers signs no SPIFFE ids for us.
"""

from __future__ import annotations

import hashlib
import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final
from urllib.parse import quote

from meshproxy.config.tls import ClientValidation, SanKind, SanMatch

_SHORT_NAMES: Final = {
    "commonName": "CN",
    "countryName": "C",
    "domainComponent": "DC",
    "localityName": "L",
    "organizationName": "O",
    "organizationalUnitName": "OU",
    "stateOrProvinceName": "ST",
    "streetAddress": "STREET",
    "userId": "UID",
}
"""RFC 2253 section 2.3; others keep the name that OpenSSL gives them."""
_SPECIAL: Final = frozenset(',+"\\<>;')


@dataclass(frozen=True, slots=True)
class OutsidePeer:
    """A certificate that was verified."""

    der: bytes
    subject: tuple[tuple[tuple[str, str], ...], ...]
    """Relative distinguished names, the most general first, as in the certificate."""
    names: tuple[tuple[str, str], ...]
    """(`SanKind` value, name)."""

    def of_kind(self, kind: SanKind) -> list[str]:
        return [name for found, name in self.names if found == kind.value]

    def forwarded(self, details: Iterable[str]) -> str:
        """Value of `x-forwarded-client-cert`; `details` are fields of `SetCurrentClientCertDetails`."""
        wanted = frozenset(details)
        parts = [f"Hash={hashlib.sha256(self.der).hexdigest()}"]
        if "cert" in wanted:
            parts.append(f'Cert="{quote(ssl.DER_cert_to_PEM_cert(self.der), safe="")}"')
        if "subject" in wanted:
            parts.append(f'Subject="{_quoted(self.subject_text)}"')
        if "uri" in wanted:
            parts += [f"URI={_plain(uri)}" for uri in self.of_kind(SanKind.URI)] or ["URI="]
        if "dns" in wanted:
            parts += [f"DNS={_plain(name)}" for name in self.of_kind(SanKind.DNS)]
        return ";".join(parts)

    @property
    def subject_text(self) -> str:
        """RFC 2253: the most specific name first."""
        return ",".join(
            "+".join(f"{_SHORT_NAMES.get(kind, kind)}={_escaped(value)}" for kind, value in names)
            for names in reversed(self.subject)
        )


def outside_peer(ssl_object: ssl.SSLObject, now: float) -> OutsidePeer | None:
    """The peer of a finished handshake; None when it showed no certificate, or one that is over: OpenSSL does
    not look at it when a session is resumed. `now` in seconds since the Unix epoch."""
    der, found = ssl_object.getpeercert(binary_form=True), ssl_object.getpeercert()
    if not der or not found:
        return None
    not_after, subject, names = (
        found.get("notAfter"),
        found.get("subject", ()),
        found.get("subjectAltName", ()),
    )
    if not isinstance(not_after, str) or now >= ssl.cert_time_to_seconds(not_after):
        return None
    return OutsidePeer(der, subject, names)  # type: ignore[arg-type]  # typeshed says less than the library does


def is_any(peer: OutsidePeer, matches: Iterable[SanMatch]) -> bool:
    """Whether one of the peer's names is one of those wanted."""
    return any(_is(name, match) for match in matches for name in peer.of_kind(match.kind))


def may_enter(peer: OutsidePeer | None, wanted: ClientValidation | None) -> bool:
    """Whether a client may come in; None of `wanted`: it is not asked who it is."""
    if wanted is None:
        return True
    if peer is None:
        return not wanted.is_required
    return not wanted.sans or is_any(peer, wanted.sans)


def _is(name: str, match: SanMatch) -> bool:
    if match.prefix:
        return name.startswith(match.prefix)
    if match.suffix:
        return name.endswith(match.suffix)
    if match.kind is SanKind.DNS:
        return _covers(name.lower(), match.exact.lower())
    if match.kind is SanKind.IP_ADDRESS:
        return _address(name) == _address(match.exact)
    return name == match.exact


def _covers(pattern: str, host: str) -> bool:
    """A certificate's name may begin with `*.`, which stands for one label (RFC 6125 section 6.4.3)."""
    if not pattern.startswith("*."):
        return pattern == host
    label, dot, rest = host.partition(".")
    return bool(label) and dot + rest == pattern[1:]


def _address(text: str) -> str:
    """In one form: OpenSSL writes IPv6 its own way."""
    try:
        return str(ip_address(text.strip()))
    except ValueError:
        return text


def _escaped(value: str) -> str:
    text = "".join("\\" + char if char in _SPECIAL else char for char in value)
    return "\\" + text if text[:1] in ("#", " ") else text


def _quoted(text: str) -> str:
    """Inside double quotes, in one line of visible ASCII; RFC 2253 has escaped what must be, and Envoy
    does it no second time."""
    return quote(text, safe=" !\"#$&'()*+,-./:;<=>?@[\\]^_`{|}~")


def _plain(text: str) -> str:
    """Without what the field's own syntax is made of."""
    return quote(text, safe="!#$&'()*+-./:<>?@[]^_`{|}~%")
