"""Many addresses as few prefixes (pure): together they are exactly the addresses, none more.

Pods of a node have addresses side by side, so prefixes are a few a node. Everybody has to make, send and
look through what there is.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final, NamedTuple

_REMEMBERED: Final = 65_536
_BITS: Final = {4: 32, 6: 128}


class Block(NamedTuple):
    """A prefix."""

    address: str
    length: int


def blocks(addresses: Iterable[str]) -> list[Block]:
    """In order, IPv4 first. Raises ValueError for what is no address."""
    found = sorted(set(map(_parsed, addresses)))
    return [_block(*one) for one in _merged(found)]


@lru_cache(maxsize=_REMEMBERED)
def _parsed(address: str) -> tuple[int, int]:
    parsed = ip_address(address)
    return parsed.version, int(parsed)


def _merged(addresses: list[tuple[int, int]]) -> list[tuple[int, int, int]]:
    """(version, first address, how many bits vary): each joins the one before, if both are halves of a bigger
    one."""
    done: list[tuple[int, int, int]] = []
    for version, first in addresses:
        bits = 0
        while done and done[-1] == (version, first ^ (1 << bits), bits) and first >> bits & 1:
            done.pop()
            first ^= 1 << bits
            bits += 1
        done.append((version, first, bits))
    return done


def _block(version: int, first: int, bits: int) -> Block:
    address = IPv4Address(first) if version == 4 else IPv6Address(first)
    return Block(str(address), _BITS[version] - bits)
