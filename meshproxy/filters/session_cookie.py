"""The address that a session is bound to, as its cookie or header carries it (pure).

A header's value is the address (`10.0.0.1:8080`, `[::1]:8080`) in base64. A cookie's value is base64 of a
message of two fields (address = 1, a string; expires = 2, seconds, absent for a browser's session), which is
how Envoy writes it; the address alone, as earlier versions wrote it, is read too. Envoy counts `expires` by a
clock that starts with the machine; we count from the Unix epoch, so that all replicas of a gateway agree.
"""

from __future__ import annotations

import base64
import binascii
from typing import Final

_ADDRESS: Final = 0x0A
"""Field 1, length-delimited."""
_EXPIRES: Final = 0x10
"""Field 2, a variable-length integer."""
_MAX_LENGTH: Final = 127
"""Of an address: one byte says it."""


def encoded_address(address: str) -> bytes:
    return base64.b64encode(address.encode())


def decoded_address(value: bytes) -> str:
    """Empty for what is no address in base64."""
    return _text(_decoded(value))


def encoded_cookie(address: str, expires: int = 0) -> bytes:
    """`expires` in seconds since the epoch; 0 never does."""
    data = address.encode()
    assert len(data) <= _MAX_LENGTH
    message = bytes((_ADDRESS, len(data))) + data
    if expires:
        message += bytes((_EXPIRES,)) + _varint(expires)
    return base64.b64encode(message)


def decoded_cookie(value: bytes, now: float) -> str:
    """The address; empty for what is none, or has expired at `now`, in seconds since the epoch."""
    message = _decoded(value)
    if message[:1] != bytes((_ADDRESS,)):
        return _text(message)
    if len(message) < 2 or message[1] > _MAX_LENGTH:
        return ""
    end = 2 + message[1]
    expires = _expires(message[end:])
    if len(message) < end or expires is None or (expires and now > expires):
        return ""
    return _text(message[2:end])


def _expires(data: bytes) -> int | None:
    """0 where it is not there; None for anything else."""
    if not data:
        return 0
    if data[0] != _EXPIRES or not 2 <= len(data) <= 11:
        return None
    value = 0
    for index, byte in enumerate(data[1:]):
        value |= (byte & 0x7F) << (7 * index)
        if (byte < 0x80) is not (index == len(data) - 2):
            return None  # goes on behind its end, or ends before it
    return value


def _varint(value: int) -> bytes:
    data = bytearray()
    while value > 0x7F:
        data.append(value & 0x7F | 0x80)
        value >>= 7
    data.append(value)
    return bytes(data)


def _decoded(value: bytes) -> bytes:
    try:
        return base64.b64decode(value, validate=True)
    except binascii.Error:
        return b""


def _text(data: bytes) -> str:
    """What can be an address at all: printable ASCII."""
    text = data.decode("ascii", "replace")
    return text if text.isascii() and text.isprintable() and len(text) <= _MAX_LENGTH else ""
