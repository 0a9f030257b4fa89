"""Heads made to flood, collide with or poison what the scanning codec remembers: other requests' results stay
the same, and memory stays bounded."""

from __future__ import annotations

import gc
import tracemalloc
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshproxy.http import bounded_memory
from meshproxy.http.bounded_memory import BoundedMemory
from meshproxy.http.codec import Codec, scan_codec
from meshproxy.http.head_memory import HeadMemory
from meshproxy.http.limits import HeadLimits
from tests.fuzz.reading import read_requests, read_response
from tests.property.h1_messages import request

LIMITS = HeadLimits()
UUID = b"0af76519-16cd-43dd-8448-eb211c80319c"
VICTIMS = (
    b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"POST /x?y HTTP/1.1\r\nHost: a:1\r\nContent-Length: 5\r\nCookie: a=b\r\n\r\nhello",
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nT: 1\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nx-request-id: " + UUID + b"\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close, x\r\nX: y\r\n\r\n",
)
ANSWERS = (
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    b"HTTP/1.1 204 No Content\r\nSet-Cookie: a\r\n\r\n",
)


def cold() -> Codec:
    return scan_codec(HeadMemory(), LIMITS)


EXPECTED = {data: read_requests(cold(), [data]) for data in VICTIMS} | {
    data: read_response(cold(), b"GET", [data]) for data in ANSWERS
}


def assert_unharmed(codec: Codec) -> None:
    for _ in range(3):
        for data in VICTIMS:
            assert read_requests(codec, [data]) == EXPECTED[data]
        for data in ANSWERS:
            assert read_response(codec, b"GET", [data]) == EXPECTED[data]


def entries(memory: HeadMemory) -> int:
    tables: list[BoundedMemory[object]] = [
        memory.request_lines,  # type: ignore[list-item]
        memory.request_fields,  # type: ignore[list-item]
        memory.status_lines,  # type: ignore[list-item]
        memory.response_fields,  # type: ignore[list-item]
        memory.requests(LIMITS).memory,  # type: ignore[list-item]
        memory.responses(LIMITS).memory,  # type: ignore[list-item]
    ]
    return sum(table.size for table in tables)


def flood_request(rng: Random, size: int) -> bytes:
    fields = b"".join(
        b"x-%d: %b\r\n" % (number, rng.randbytes(size).hex().encode()) for number in range(rng.randint(1, 20))
    )
    return b"GET /%d HTTP/1.1\r\nHost: a\r\n%b\r\n" % (rng.getrandbits(60), fields)


def test_a_flood_of_heads_leaves_memory_bounded_and_results_alone():
    memory, rng = HeadMemory(), Random(1)
    codec = scan_codec(memory, LIMITS)
    assert_unharmed(codec)
    gc.collect()
    tracemalloc.start()
    try:
        for number in range(1500):
            data = flood_request(rng, rng.choice((4, 30, 60)))
            for _ in range(2):  # the second sighting is what gets in
                read_requests(codec, [data])
            read_response(codec, b"GET", [b"HTTP/1.1 200 %d\r\nA: %d\r\n\r\n" % (number, number)])
            if number % 500 == 0:
                assert_unharmed(codec)
        gc.collect()
        grown, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert_unharmed(codec)
    assert grown < 12 << 20, f"{grown >> 20} MiB behind a flood; HeadMemory promises about 10"
    assert entries(memory) <= 2 * (1024 + 2048 + 128 + 2048 + 1024 + 1024)


def test_large_heads_do_not_fill_memory():
    memory, rng = HeadMemory(), Random(2)
    codec = scan_codec(memory, LIMITS)
    before = entries(memory)
    for _ in range(30):
        data = b"GET / HTTP/1.1\r\nHost: a\r\nA: %b\r\n\r\n" % rng.randbytes(15_000).hex().encode()
        for _ in range(3):
            assert not read_requests(codec, [data]).is_refused
    assert entries(memory) - before <= 3, "what is too long to keep was kept"
    assert_unharmed(codec)


@pytest.mark.parametrize("mark", [lambda key: 1, lambda key: len(key)], ids=["all", "by length"])
def test_heads_whose_hashes_collide_change_no_result(monkeypatch, mark):
    monkeypatch.setattr(bounded_memory, "hash", mark, raising=False)
    codec, rng = cold(), Random(3)
    for _ in range(300):
        read_requests(codec, [flood_request(rng, 4)])
        assert_unharmed(codec)


def near(victim: bytes, rng: Random) -> bytes:
    """A head that differs from `victim` in little, at the places where lookups cut."""
    head, _, rest = victim.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    id_line = b"x-request-id: " + rng.choice([UUID, UUID[::-1], b"1", b"", UUID.replace(b"-", b"_")])
    place = rng.randint(1, len(lines))
    match rng.randrange(8):
        case 0:
            lines.append(id_line)
        case 1:
            lines.insert(place, id_line)
        case 2:
            lines[-1] = lines[-1].swapcase()
        case 3:
            lines[rng.randrange(len(lines))] += rng.choice([b" ", b"\t", b"\x00", b"\r", b"\n"])
        case 4:
            lines.insert(place, rng.choice([b"Content-Length: 9", b"Transfer-Encoding: chunked", b"Host: b"]))
        case 5:
            lines += [b"X-Request-Id: " + UUID, id_line]
        case 6:
            return head + rng.choice([b"\n\n", b"\r\n\n", b"\r\n\r", b"\r\r\n\r\n"]) + rest
        case _:
            return head + b"\r\n" + id_line + b"\r\n\r\n" + rest + victim
    return b"\r\n".join(lines) + b"\r\n\r\n" + rest


@pytest.mark.parametrize("seed", range(20))
def test_heads_made_to_poison_change_no_result(seed):
    memory, rng = HeadMemory(), Random(seed)
    codec = scan_codec(memory, LIMITS)
    for _ in range(60):
        hostile = near(rng.choice(VICTIMS), rng)
        expected = read_requests(cold(), [hostile])
        for _ in range(3):
            assert read_requests(codec, [hostile]) == expected
    assert_unharmed(codec)


@settings(derandomize=True, deadline=None, max_examples=100)
@given(request(), st.integers(0, 1 << 30))
def test_no_neighbour_of_a_request_changes_how_it_is_read(made, seed):
    victim, rng = made[0], Random(seed)
    expected = read_requests(cold(), [victim])
    codec = cold()
    for _ in range(6):
        hostile = near(victim, rng)
        for _ in range(3):
            read_requests(codec, [hostile])
        for _ in range(3):
            assert read_requests(codec, [victim]) == expected


def test_limits_of_one_listener_do_not_leak_into_another():
    """Each set of limits has its own heads; a ninth set drops the first, whose readers go on."""
    memory = HeadMemory()
    first = scan_codec(memory, LIMITS)
    assert_unharmed(first)
    for number in range(1, 20):
        small = scan_codec(memory, HeadLimits(max_head_bytes=20 + number))
        for _ in range(3):
            assert read_requests(small, [VICTIMS[1]]).is_refused
    assert_unharmed(first)
