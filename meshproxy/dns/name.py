"""Domain names on the wire (pure), read with every bound checked: RFC 1035 sections 3.1 and 4.1.4.

A name is kept as its wire form: labels with a length byte before each, and the empty one at the end. Letters
keep their case; compare `folded` forms.
"""

from __future__ import annotations

from typing import Final

from meshproxy.errors import RemoteProtocolError

MAX_NAME: Final = 255
"""Bytes of a name's wire form."""
MAX_LABEL: Final = 63
_MAX_POINTERS: Final = MAX_NAME // 2
"""In one name: a useful one stands before a label. Chains of others cost time, and thousands of names may end
in the same one."""
ROOT: Final = b"\0"
_POINTER: Final = 0xC0


class DnsError(RemoteProtocolError):
    """Bytes that are no DNS message."""


def read_name(data: bytes, start: int) -> tuple[bytes, int]:
    """(wire form without compression, where what follows it begins). Raises DnsError.

    A pointer must lead to a lower offset than any read before, so that following them ends.
    """
    labels = bytearray()
    position, end, lowest, pointers = start, None, start, 0
    while True:
        length = _byte(data, position)
        if length & _POINTER == _POINTER:
            target = (length & ~_POINTER) << 8 | _byte(data, position + 1)
            end = position + 2 if end is None else end
            if target >= lowest:
                raise DnsError(f"name at {start}: a pointer at {position} does not lead backwards")
            position = lowest = target
            if (pointers := pointers + 1) > _MAX_POINTERS:
                raise DnsError(f"name at {start}: more than {_MAX_POINTERS} pointers")
            continue
        if length > MAX_LABEL:
            raise DnsError(f"name at {start}: label type {length >> 6} at {position} is not known")
        if position + 1 + length > len(data):
            raise DnsError(f"name at {start}: it ends in the middle of a label")
        labels += data[position : position + 1 + length]
        if len(labels) > MAX_NAME:
            raise DnsError(f"name at {start}: longer than {MAX_NAME} bytes")
        position += 1 + length
        if length == 0:
            return bytes(labels), position if end is None else end


def _byte(data: bytes, position: int) -> int:
    if position >= len(data):
        raise DnsError(f"it ends at {len(data)}, in the middle of a name")
    return data[position]


def folded(name: bytes) -> bytes:
    """The form under which names are equal (RFC 4343): ASCII letters small. Length bytes are below `A`."""
    return name.lower()


def text_of(name: bytes) -> str | None:
    """Small letters, with dots between labels and none at the end; None for what no host is called."""
    labels = []
    position = 0
    while length := name[position]:
        labels.append(name[position + 1 : position + 1 + length])
        position += 1 + length
    if any(b"." in label or not label.isascii() for label in labels):
        return None
    return b".".join(labels).decode("ascii").lower()


def wire_of(text: str) -> bytes:
    """The wire form of an absolute name, with or without its last dot. Raises DnsError."""
    labels = [label.encode("ascii", "replace") for label in text.removesuffix(".").split(".")] if text else []
    if any(not 0 < len(label) <= MAX_LABEL for label in labels):
        raise DnsError(f"{text[:80]!r} is no domain name: labels have 1 to {MAX_LABEL} characters")
    name = b"".join(bytes((len(label),)) + label for label in labels) + ROOT
    if len(name) > MAX_NAME:
        raise DnsError(f"{text[:80]!r}…: longer than {MAX_NAME} bytes")
    return name


def is_within(name: bytes, zone: bytes) -> bool:
    """Whether `name` is `zone` or below it; both folded."""
    position = 0
    while len(name) - position > len(zone):
        position += 1 + name[position]
    return name[position:] == zone
