"""Huffman-coded strings of HPACK (RFC 7541 section 5.2, appendix B) (pure). [3]

The code is canonical: within a length codes grow with the symbol, so the lengths say it all. Strings are read
a byte at a time; what a byte leads to from where the last one ended is worked out once and remembered. This
proxy never writes such strings: they cost time on both sides and save nothing inside a cluster.
"""

from __future__ import annotations

from typing import Final

from meshproxy.http.h2.error import COMPRESSION_ERROR, ConnectionFault

_LENGTHS: Final = (
    "13 23 28 28 28 28 28 28 28 24 30 28 28 30 28 28 28 28 28 28 28 28 30 28 28 28 28 28 28 28 28 28 6 "
    "10 10 12 13 6 8 11 10 10 8 11 8 6 6 6 5 5 5 6 6 6 6 6 6 6 7 8 15 6 12 10 13 6 7 7 7 7 7 7 7 7 7 7 "
    "7 7 7 7 7 7 7 7 7 7 7 7 8 7 8 13 19 13 14 6 15 5 6 5 6 5 6 6 6 5 7 7 6 6 6 5 6 7 6 5 5 6 7 7 7 7 7 "
    "15 11 14 13 28 20 22 20 20 22 22 22 23 22 23 23 23 23 23 24 23 24 24 22 23 24 23 23 23 23 21 22 23 "
    "22 23 23 24 22 21 20 22 22 23 23 21 23 22 22 24 21 22 23 23 21 21 22 21 23 22 23 23 20 22 22 22 23 "
    "22 22 23 26 26 20 19 22 23 22 25 26 26 26 27 27 26 24 25 19 21 26 27 27 26 27 24 21 21 26 26 28 27 "
    "27 27 20 24 20 21 22 21 21 23 22 22 25 25 24 24 26 23 26 27 26 26 27 27 27 27 27 28 27 27 27 27 27 "
    "26 30 "
)
"""Bits of the code of each symbol 0…255, and of EOS (256)."""
_EOS: Final = 256
_MAX_PADDING: Final = 7
_MAX_STEPS: Final = 16384
"""Steps remembered; a peer chooses which, so there must be an end."""


def _codes() -> dict[tuple[int, int], int]:
    """(bits, code) -> symbol."""
    lengths = [int(text) for text in _LENGTHS.split()]
    codes: dict[tuple[int, int], int] = {}
    code, before = 0, 0
    for bits, symbol in sorted((bits, symbol) for symbol, bits in enumerate(lengths)):
        code <<= bits - before
        codes[bits, code] = symbol
        code += 1
        before = bits
    return codes


_CODES: Final = _codes()
_State = tuple[int, int]
"""(bits, value) of a code that has begun."""
_START: Final[_State] = (0, 0)
_steps: dict[tuple[_State, int], tuple[bytes, _State]] = {}


def decode(data: bytes) -> bytes:
    """Raises ConnectionFault (COMPRESSION_ERROR) for padding or an EOS that RFC 7541 section 5.2 forbids."""
    out = []
    state = _START
    for byte in data:
        step = _steps.get((state, byte))
        if step is None:
            step = _step(state, byte)
            if len(_steps) < _MAX_STEPS:
                _steps[state, byte] = step
        out.append(step[0])
        state = step[1]
    bits, value = state
    if bits > _MAX_PADDING or value != (1 << bits) - 1:
        raise ConnectionFault(COMPRESSION_ERROR, "a Huffman-coded string ends in padding that is not EOS's")
    return b"".join(out)


def _step(state: _State, byte: int) -> tuple[bytes, _State]:
    bits, value = state
    symbols = bytearray()
    for shift in range(7, -1, -1):
        bits += 1
        value = (value << 1) | ((byte >> shift) & 1)
        symbol = _CODES.get((bits, value))
        if symbol is None:
            continue
        if symbol == _EOS:
            raise ConnectionFault(COMPRESSION_ERROR, "a Huffman-coded string contains EOS")
        symbols.append(symbol)
        bits = value = 0
    return bytes(symbols), (bits, value)
