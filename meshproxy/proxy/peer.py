"""Who calls: the peer-metadata header that sidecars send each other (pure).

`x-envoy-peer-metadata` carries base64url of a JSON object with a workload's names. It is a claim; it counts
only over mTLS, and only when its namespace and service account are those of the SVID that was proved.
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import asdict, fields
from functools import lru_cache

from meshproxy.config.model import WorkloadIdentity

HEADER = b"x-envoy-peer-metadata"

UNKNOWN = WorkloadIdentity()

_FIELDS = frozenset(field.name for field in fields(WorkloadIdentity))
MAX_VALUE = 2048
"""Bytes of an encoded header value that are looked at; ours are below 400."""
_MAX_NAME = 253
"""Characters of one name: a DNS subdomain's limit (RFC 1123); labels of metrics must stay bounded."""


def encode(workload: WorkloadIdentity) -> bytes:
    """The header value for `workload`."""
    text = json.dumps(asdict(workload), separators=(",", ":"), sort_keys=True)
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=")


def header_line(workload: WorkloadIdentity) -> bytes:
    """`name: value CRLF`, ready to be put into a head."""
    return HEADER + b": " + encode(workload) + b"\r\n"


def decode(value: bytes) -> WorkloadIdentity | None:
    """The claim in a header value; None when it is not one of ours or holds anything unexpected."""
    return _decode(value) if 0 < len(value) <= MAX_VALUE else None


@lru_cache(maxsize=1024)
def _decode(value: bytes) -> WorkloadIdentity | None:
    try:
        decoded = json.loads(
            base64.b64decode(value + b"=" * (-len(value) % 4), altchars=b"-_", validate=True)
        )
    except (binascii.Error, ValueError, RecursionError):  # the last: a thousand brackets fit into 2 KiB
        return None
    if not isinstance(decoded, dict) or not decoded.keys() <= _FIELDS:
        return None
    if not all(
        isinstance(text, str) and len(text) <= _MAX_NAME and text.isprintable() for text in decoded.values()
    ):
        return None
    return WorkloadIdentity(**decoded)


def verified(value: bytes, principal: str) -> WorkloadIdentity:
    """The caller's workload as far as its proved identity bears it out; unknown otherwise."""
    claim = decode(value) if principal else None
    return UNKNOWN if claim is None else agreeing(claim, principal)


def agreeing(workload: WorkloadIdentity, principal: str) -> WorkloadIdentity:
    """`workload` if `principal` is the SPIFFE id of its namespace and service account; else unknown."""
    proved = principal.partition("://")[2].partition("/")[2]
    return workload if proved == f"ns/{workload.namespace}/sa/{workload.service_account}" else UNKNOWN
