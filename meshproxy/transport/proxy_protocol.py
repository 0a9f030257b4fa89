"""The PROXY protocol, versions 1 and 2: who the client of a proxy in front of us is (pure). [1]

HAProxy's specification (proxy-protocol.txt, 2020/03/05), strictly: what is no header is refused, never taken
for data, because a client could otherwise say of itself what it likes. What a header says beyond addresses
(TLVs) is skipped; its length is bounded.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Final

_V1: Final = b"PROXY "
_V2: Final = b"\r\n\r\n\0\r\nQUIT\n"
_MAX_V1: Final = 107
"""Bytes with CRLF; the specification's own limit."""
MAX_V2: Final = 4096
"""Bytes behind the first 16: addresses take at most 216, the rest is TLVs."""
_FAMILIES: Final = {1: (IPv4Address, 4), 2: (IPv6Address, 16)}
_UNIX_BYTES: Final = 216
_STREAM: Final = 1


class ProxyProtocolError(ValueError):
    """These bytes are no PROXY header."""


@dataclass(frozen=True, slots=True)
class ProxyHeader:
    """A whole header."""

    source: str
    """The client's address; empty: the proxy speaks for itself, or does not know."""
    length: int
    """Bytes of the header: what follows is the client's."""


def read_proxy_header(data: bytes) -> ProxyHeader | None:
    """None: more bytes are needed. Raises ProxyProtocolError."""
    if data[: len(_V2)] == _V2[: len(data)]:
        return _read_v2(data)
    if data[: len(_V1)] == _V1[: len(data)]:
        return _read_v1(data)
    raise ProxyProtocolError("neither version's signature")


def _read_v1(data: bytes) -> ProxyHeader | None:
    end = data.find(b"\r\n", 0, _MAX_V1)
    if end < 0:
        if len(data) >= _MAX_V1:
            raise ProxyProtocolError(f"version 1: no line in {_MAX_V1} bytes")
        return None
    try:
        fields = data[:end].decode("ascii").split(" ")
    except UnicodeDecodeError as error:
        raise ProxyProtocolError("version 1: not ASCII") from error
    if fields[1] == "UNKNOWN":
        return ProxyHeader("", end + 2)
    if len(fields) != 6 or fields[1] not in ("TCP4", "TCP6"):
        raise ProxyProtocolError("version 1: not `PROXY TCP4|TCP6 source destination port port`")
    if "%" in fields[2] + fields[3]:  # Python reads a zone, and takes whatever stands in it
        raise ProxyProtocolError("version 1: an address with a zone")
    kind = IPv4Address if fields[1] == "TCP4" else IPv6Address
    for port in fields[4:]:
        if not port.isdecimal() or (port != "0" and port[0] == "0") or int(port) > 65535:
            raise ProxyProtocolError("version 1: a port is not one")
    try:
        source = kind(fields[2])
        kind(fields[3])
    except AddressValueError as error:
        raise ProxyProtocolError("version 1: an address is not one of its family") from error
    return ProxyHeader(str(source), end + 2)


def _read_v2(data: bytes) -> ProxyHeader | None:
    if len(data) < 16:
        return None
    version_command, family_protocol, length = struct.unpack_from("!BBH", data, 12)
    command, family, protocol = version_command & 15, family_protocol >> 4, family_protocol & 15
    if version_command >> 4 != 2 or command > 1:
        raise ProxyProtocolError("version 2: unknown version or command")
    if family > 3 or protocol > 2:
        raise ProxyProtocolError("version 2: unknown family or protocol")
    if length > MAX_V2:
        raise ProxyProtocolError(f"version 2: {length} bytes are more than {MAX_V2}")
    if len(data) < 16 + length:
        return None
    if command == 0 or family == 0:
        return ProxyHeader("", 16 + length)  # a health check of the proxy itself, or a client it cannot name
    if protocol != _STREAM:
        raise ProxyProtocolError("version 2: not a stream")
    if family not in _FAMILIES:
        if length < _UNIX_BYTES:
            raise ProxyProtocolError("version 2: addresses are cut short")
        return ProxyHeader("", 16 + length)
    kind, size = _FAMILIES[family]
    if length < 2 * size + 4:
        raise ProxyProtocolError("version 2: addresses are cut short")
    return ProxyHeader(str(kind(data[16 : 16 + size])), 16 + length)
