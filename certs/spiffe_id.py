"""SPIFFE ids and trust domains as validated values (pure).

Rules: SPIFFE-ID standard, sections 2.1 to 2.4. An object of these types is always valid; there is no
normalising, so equal identities have equal text. Nothing here reads certificates.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from certs.errors import SpiffeIdError

MAX_ID_LENGTH: Final = 2048
"""Bytes of a whole SPIFFE id (SPIFFE-ID, section 2.3)."""

MAX_TRUST_DOMAIN_LENGTH: Final = 255
"""Bytes of a trust domain name (SPIFFE-ID, section 2.1: the host limit of RFC 3986)."""

_SCHEME: Final = "spiffe://"
_TRUST_DOMAIN: Final = re.compile(r"[a-z0-9._-]+", re.ASCII)
_SEGMENT: Final = re.compile(r"[A-Za-z0-9._-]+", re.ASCII)
_QUOTED_LENGTH: Final = 100
"""Characters of a refused value that an error message repeats."""


def _quote(text: str) -> str:
    return repr(text if len(text) <= _QUOTED_LENGTH else text[:_QUOTED_LENGTH] + "…")


def _check_segment(segment: str, whole: str) -> None:
    if segment in {".", ".."} or _SEGMENT.fullmatch(segment) is None:
        raise SpiffeIdError(
            f"SPIFFE id {_quote(whole)}: path segment {_quote(segment)} must be one or more of "
            "[A-Za-z0-9._-] and neither '.' nor '..'"
        )


@dataclass(frozen=True, slots=True, order=True)
class TrustDomain:
    """The authority part of a SPIFFE id, e.g. `cluster.local`."""

    name: str

    def __post_init__(self) -> None:
        if _TRUST_DOMAIN.fullmatch(self.name) is None:
            raise SpiffeIdError(f"trust domain {_quote(self.name)} must be one or more of [a-z0-9._-]")
        if len(self.name) > MAX_TRUST_DOMAIN_LENGTH:
            raise SpiffeIdError(
                f"trust domain {_quote(self.name)} has {len(self.name)} bytes; "
                f"the limit is {MAX_TRUST_DOMAIN_LENGTH}"
            )

    def __str__(self) -> str:
        return self.name

    @property
    def spiffe_id(self) -> SpiffeId:
        """The id of the trust domain itself: without a path; what signing certificates carry."""
        return SpiffeId(self, "")


@dataclass(frozen=True, slots=True, order=True)
class SpiffeId:
    """One identity: `spiffe://<trust domain><path>`; `str()` gives that text."""

    trust_domain: TrustDomain
    path: str
    """Empty, or `/` and segments separated by single slashes, e.g. `/ns/shop/sa/web`."""

    def __post_init__(self) -> None:
        text = str(self)
        if self.path:
            first, *segments = self.path.split("/")
            if first or not segments:
                raise SpiffeIdError(f"SPIFFE id {_quote(text)}: the path must begin with '/'")
            for segment in segments:
                _check_segment(segment, text)
        if len(text) > MAX_ID_LENGTH:
            raise SpiffeIdError(
                f"SPIFFE id {_quote(text)} has {len(text)} bytes; the limit is {MAX_ID_LENGTH}"
            )

    @classmethod
    def parse(cls, text: str) -> SpiffeId:
        """Read an id as it stands in a URI SAN. Raises SpiffeIdError."""
        if not text.startswith(_SCHEME):
            raise SpiffeIdError(f"SPIFFE id {_quote(text)} must begin with {_SCHEME!r}")
        name, slash, rest = text.removeprefix(_SCHEME).partition("/")
        return cls(TrustDomain(name), slash + rest)

    @classmethod
    def for_workload(cls, trust_domain: TrustDomain, namespace: str, service_account: str) -> SpiffeId:
        """The identity of everything that runs as `service_account` in `namespace`. Raises SpiffeIdError."""
        whole = f"{_SCHEME}{trust_domain}/ns/{namespace}/sa/{service_account}"
        for segment in (namespace, service_account):  # a slash inside a name would move the others
            _check_segment(segment, whole)
        return cls(trust_domain, f"/ns/{namespace}/sa/{service_account}")

    def __str__(self) -> str:
        return f"{_SCHEME}{self.trust_domain}{self.path}"

    @property
    def namespace(self) -> str | None:
        """Kubernetes namespace; None when the path has not the form of a workload."""
        return self._workload()[0]

    @property
    def service_account(self) -> str | None:
        """Kubernetes ServiceAccount; None when the path has not the form of a workload."""
        return self._workload()[1]

    def _workload(self) -> tuple[str, str] | tuple[None, None]:
        match self.path.split("/"):
            case ["", "ns", namespace, "sa", service_account]:
                return namespace, service_account
            case _:
                return None, None
