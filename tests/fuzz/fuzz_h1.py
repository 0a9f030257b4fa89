"""A fuzz target for each HTTP/1.1 codec: mutated corpus cases, the same for the same seed.

A target fails when a codec does anything but take bytes or raise RemoteProtocolError, or when:
- `fuzz_scan`: the scanning codec's verdict depends on what it remembers or on how the bytes came;
- `fuzz_strict`: the strict codec's verdict depends on how the bytes came, it takes what the scanning one
  refuses, it refuses more for a reason `docs/http1.md` does not give, or it reads what both take differently.

Run `python -m tests.fuzz.fuzz_h1 --seconds 60 --seed 1`; what it finds becomes a case of the corpus.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from collections.abc import Callable, Iterator
from random import Random

from meshproxy.http.codec import Codec, scan_codec, strict_codec
from meshproxy.http.head_memory import HeadMemory
from meshproxy.http.limits import HeadLimits
from tests.fuzz import cases
from tests.fuzz.reading import Reading, pieces, read_requests, read_response

LIMITS = HeadLimits()
STRICT = strict_codec(LIMITS)
STRICTER = frozenset({"refused_by_h11", "readers_disagree"})
"""Reasons that only the strict codec has."""
_LONGEST_BYTE_BY_BYTE = 2000

Target = Callable[[str, bytes, Codec, Random], None]

_PIECES = (
    *(b"\r\n", b"\n", b"\r", b" ", b"\t", b"\x00", b":", b",", b";", b"#", b"0", b"5", b"\xff", b"\r\n\r\n"),
    *(b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n", b"Host: b\r\n", b"x-request-id: 2\r\n"),
    *(b"HTTP/1.0", b"HTTP/1.1", b"chunked", b" folded\r\n", b"Connection: close\r\n", b"0\r\n\r\n", b"5\r\n"),
    b"x-request-id: 0af76519-16cd-43dd-8448-eb211c80319c\r\n",
)


def mutate(data: bytes, others: list[bytes], rng: Random) -> bytes:
    """`data` with one to four changes."""
    changed = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        place = rng.randint(0, len(changed))
        match rng.randrange(6):
            case 0:
                changed[place : place + rng.randint(0, 3)] = rng.choice(_PIECES)
            case 1:
                del changed[place : place + rng.randint(1, 8)]
            case 2:
                changed[place : place + 1] = bytes([rng.randrange(256)])
            case 3:
                end = place + rng.randint(1, 40)
                changed[place:place] = changed[place:end]
            case 4:
                other = rng.choice(others)
                changed[place:] = other[rng.randint(0, len(other)) :]
            case _:
                changed += rng.choice(others)
    return bytes(changed)


def read(codec: Codec, kind: str, data: bytes, size: int) -> Reading:
    """What `codec` makes of `data`, sent in pieces of `size` bytes."""
    if kind == "request":
        return read_requests(codec, pieces(data, size))
    return read_response(codec, b"HEAD" if len(data) % 5 == 0 else b"GET", pieces(data, size))


def fuzz_scan(kind: str, data: bytes, warm: Codec, rng: Random) -> None:
    """`warm` is a scanning codec that has read anything before."""
    cold = read(scan_codec(HeadMemory(), LIMITS), kind, data, len(data) or 1)
    for _ in range(3):
        assert read(warm, kind, data, len(data) or 1) == cold, "what is remembered changed the result"
    _assert_same_in_pieces(cold, warm, kind, data, rng)


def fuzz_strict(kind: str, data: bytes, warm: Codec, rng: Random) -> None:
    """Compares with `warm`, a scanning codec that has read anything before."""
    ours = read(STRICT, kind, data, len(data) or 1)
    scan = read(warm, kind, data, len(data) or 1)
    if ours.reason in STRICTER:
        assert scan.complete[: len(ours.complete)] == ours.complete, "read differently before a refusal"
    else:
        assert ours == scan, "the codecs differ"
    _assert_same_in_pieces(ours, STRICT, kind, data, rng)


def _assert_same_in_pieces(whole: Reading, codec: Codec, kind: str, data: bytes, rng: Random) -> None:
    sizes = [rng.randint(2, 50)] + ([1] if len(data) <= _LONGEST_BYTE_BY_BYTE else [])
    for size in sizes:
        parts = read(codec, kind, data, size)
        assert parts.is_refused == whole.is_refused, f"pieces of {size} bytes: another verdict"
        if whole.is_refused:
            assert parts.complete[: len(whole.complete)] == whole.complete
        else:
            assert parts == whole, f"pieces of {size} bytes: read differently"


def inputs(seed: int) -> Iterator[tuple[str, bytes]]:
    """(kind, bytes) without end: the corpus as it is, then mutations of it."""
    corpus = [
        (kind, data)
        for kind in ("request", "response")
        for data in cases.load(kind).values()
        if len(data) <= 4096
    ]
    yield from corpus
    rng = Random(seed)
    by_kind = {kind: [data for of, data in corpus if of == kind] for kind in ("request", "response")}
    while True:
        kind, data = rng.choice(corpus)
        yield kind, mutate(data, by_kind[kind], rng)


def fuzz(target: Target, found: Iterator[tuple[str, bytes]], seed: int) -> int:
    """Run `target` over `found`; returns how many inputs there were. The failing input is added as a note."""
    warm, rng = scan_codec(HeadMemory(), LIMITS), Random(seed)
    count = 0
    for kind, data in found:
        count += 1
        try:
            target(kind, data, warm, rng)
        except Exception as error:
            error.add_note(f"seed {seed}, input {count}, {kind}: {data!r}")
            raise
    return count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60, help="for each target")
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    for target in (fuzz_scan, fuzz_strict):
        end = time.monotonic() + chosen.seconds
        timed = itertools.takewhile(lambda _, end=end: time.monotonic() < end, inputs(chosen.seed))
        count = fuzz(target, timed, chosen.seed)
        sys.stdout.write(f"{target.__name__}: {count} inputs, nothing found\n")


if __name__ == "__main__":
    main()
