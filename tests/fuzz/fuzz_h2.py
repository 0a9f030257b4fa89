"""A fuzz target for HTTP/2: frames that are right, then changed, the same for the same seed.

It fails when the session does anything but take bytes or raise ConnectionFault, when what it tells depends on
how the bytes came, when a fault is not said by GOAWAY, or when a request that it takes reads otherwise once
it is written as HTTP/1.1.

Run `python -m tests.fuzz.fuzz_h2 --seconds 60 --seed 1`.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from random import Random

import hpack

from meshproxy.errors import RemoteProtocolError
from meshproxy.http.codec import strict_codec
from meshproxy.http.events import Request
from meshproxy.http.h2 import frame as frames
from meshproxy.http.h2.error import ConnectionFault, StreamFault
from meshproxy.http.h2.frame import frame
from meshproxy.http.h2.hpack import Block, Fields
from meshproxy.http.h2.message import messages_of
from meshproxy.http.h2.settings import H2Limits
from meshproxy.http.head_memory import HeadMemory
from meshproxy.http.limits import HeadLimits
from tests.unit.meshproxy.http.h2.recording import Recording

LIMITS = HeadLimits()
SMALL = H2Limits(max_concurrent_streams=4, stream_window=20_000, max_unread=100_000, max_head_bytes=4096)
_NAMES = tuple(b":method :path :scheme :authority cookie te host x-a content-length".split())
_VALUES = (*b"GET POST / * http a 5 0 trailers \xff".split(), b"a\r\nb: c", b" a", b"")
_KINDS = (0, 1, 1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0x42)


def fields(rng: Random) -> list[tuple[bytes, bytes]]:
    """Most often a request, now and then with something wrong."""
    made = [
        (b":method", rng.choice((b"GET", b"POST", b"HEAD", b"CONNECT"))),
        (b":scheme", b"http"),
        (b":path", rng.choice((b"/", b"/a?b", b"*", b"x"))),
        (b":authority", rng.choice((b"a", b"a:80", b"A", b"[::1]"))),
    ]
    for _ in range(rng.randrange(4)):
        made.insert(rng.randint(0, len(made)), (rng.choice(_NAMES), rng.choice(_VALUES)))
    if rng.random() < 0.2:
        del made[rng.randrange(len(made))]
    return made


def conversation(rng: Random) -> bytes:
    """What a client says: frames in an order that is often possible, some bytes of it changed."""
    encoder = hpack.Encoder()
    out = [frames.PREFACE, frames.settings({})]
    for number in range(rng.randrange(1, 8)):
        stream = 2 * rng.randint(0, number) + 1
        block = encoder.encode(fields(rng), huffman=rng.random() < 0.5)
        out.append(frames.header_frames(stream, block, rng.choice((0, 1)), rng.choice((5, 16384))))
        out.append(frame(0, rng.choice((0, 1, 8)), stream, rng.randbytes(rng.randrange(40))))
        if rng.random() < 0.3:
            kind, size = rng.choice(_KINDS), rng.choice((0, 4, 5, 6, 8, 9))
            out.append(frame(kind, rng.randrange(256), rng.choice((0, 1, stream)), rng.randbytes(size)))
    data = bytearray(b"".join(out))
    for _ in range(rng.choice((0, 0, 1, 3))):
        place = rng.randrange(len(data))
        if rng.random() < 0.5:
            data[place] = rng.randrange(256)
        else:
            del data[place : place + rng.randint(1, 8)]
    return bytes(data)


def fault_of(session: Recording, data: bytes) -> int | None:
    try:
        session.receive(data)
    except ConnectionFault as fault:
        return fault.code
    return None


def goaway_code(out: bytes) -> int | None:
    """Of the last frame, if it is GOAWAY."""
    found = None
    while out:
        end = frames.HEAD_BYTES + int.from_bytes(out[:3], "big")
        found = frames.word(out, 13) if out[3] == frames.GOAWAY else None
        out = out[end:]
    return found


def told(data: bytes, cuts: list[int]) -> tuple[list[tuple[object, ...]], int | None]:
    """What a session tells of `data` that comes in such pieces, and the code of the fault that ends it."""
    session = Recording(SMALL)
    session.start()
    for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True):
        code = fault_of(session, data[start:end])
        if code is not None:
            assert goaway_code(session.take_output()) == code
            return session.told, code
    assert len(session.streams) <= SMALL.max_concurrent_streams
    return session.told, None


def fuzz_session(rng: Random) -> None:
    """One conversation."""
    data = conversation(rng)
    whole = told(data, [])
    cuts = sorted(rng.randint(0, len(data)) for _ in range(rng.randrange(6)))
    assert told(data, cuts) == whole, (data, cuts)
    for event in whole[0]:
        if event[0] == "head":
            check_translation(event[2], end=bool(event[3]))  # type: ignore[arg-type]


def check_translation(given: Fields, *, end: bool) -> None:
    """A request that is taken is, written as HTTP/1.1, one request that the strict codec reads the same."""
    messages = messages_of(HeadMemory(), LIMITS)
    try:
        request = messages.request(Block(given), b"", end=end)
    except (StreamFault, RemoteProtocolError):
        return
    head = request.head
    if head.method == b"CONNECT":
        return  # answered here
    reader = strict_codec(LIMITS).request_reader()
    framing = b"transfer-encoding: chunked\r\n" if head.chunked else b""
    events = reader.receive(head.forward + framing + b"\r\n")
    again = next(event for event in events if isinstance(event, Request)).head
    assert (again.method, again.target, again.host) == (head.method, head.target, head.host), given
    assert again.content_length == head.content_length, given
    names = {name for name, _ in given if name[:1] != b":"}
    assert {name for name, _ in again.headers} <= names | {b"host", b"transfer-encoding"}, given


def seeds(first: int) -> Iterator[int]:
    while True:
        yield first
        first += 1


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    ends_at = time.monotonic() + given.seconds
    for seed in seeds(given.seed):
        try:
            fuzz_session(Random(seed))
        except Exception:
            print(f"seed {seed}")
            raise
        if time.monotonic() > ends_at:
            print(f"{seed - given.seed + 1} conversations")
            return


if __name__ == "__main__":
    main()
