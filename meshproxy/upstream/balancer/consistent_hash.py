"""Hashing for affinity (pure): xxHash64 with seed 0, as Envoy, so that both hash a key alike.

The wheel `xxhash` is imported when the first hash is needed: who does not use affinity does not pay for it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

_MASK = (1 << 64) - 1


class Digest(Protocol):
    """`xxhash.xxh64_intdigest`."""

    def __call__(self, data: bytes, seed: int = 0) -> int: ...


def load_digest() -> Digest:
    """The hash function: for loops over many keys."""
    from xxhash import xxh64_intdigest

    return xxh64_intdigest


def hash_value(value: bytes) -> int:
    """64 bits of what a hash policy found: a header's value, a cookie, an address, a query parameter."""
    return load_digest()(value)


def combine(before: int | None, value: int) -> int:
    """The hash of several policies: the one so far (None: none) with that of the next, as Envoy does."""
    if before is None:
        return value
    return (((before << 1) & _MASK) | (before >> 63)) ^ value


def number_for(hash: int | None, draw: Callable[[int], int]) -> int:
    """`hash`, or 64 random bits (`draw` is `Random.getrandbits`) for a request that has none."""
    return draw(64) if hash is None else hash
