"""Five readers of the same bytes: our scanning codec cold and warm, our strict one, h11, and llhttp.

The bytes come whole, one by one, and cut in two at every place. Our readers must agree with themselves and
with each other; what we take, h11 and llhttp must take and read the same, both as it came and as we send it
on. `docs/http1.md` holds the differences that are known; they are named here again, one function each.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshproxy.http.codec import Codec, scan_codec, strict_codec
from meshproxy.http.h1_writer import chunk, last_chunk
from meshproxy.http.head_memory import HeadMemory
from meshproxy.http.limits import HeadLimits
from tests.fuzz import cases
from tests.fuzz.fuzz_h1 import STRICTER
from tests.fuzz.reading import Reading, pieces, read_requests, read_response
from tests.property.h1_messages import ANY_BYTES, DROPPED, request
from tests.property.h1_oracles import Message, Oracle, ask_h11, ask_llhttp

LIMITS = HeadLimits()
STRICT = strict_codec(LIMITS)
WARM = scan_codec(HeadMemory(), LIMITS)
"""Never made anew: what it has read is whatever ran before."""
PROPERTY = settings(derandomize=True, deadline=None, max_examples=150)
SHORT = 240
"""Bytes of a corpus case that is cut at every place."""
STAYS_OR_IS_ADDED = {b"expect", b"host", b"transfer-encoding"}
"""HTTP/1.0 has no expectations and may lack a host; the transfer coding is written anew."""
CORPUS = {
    case: data
    for case, data in (cases.load("request") | cases.load("response")).items()
    if len(data) <= SHORT
}


def cold() -> Codec:
    return scan_codec(HeadMemory(), LIMITS)


def cuts(data: bytes) -> Iterator[list[bytes]]:
    """Whole, byte by byte, and in two parts at every place."""
    yield [data]
    yield pieces(data, 1)
    for place in range(1, len(data)):
        yield [data[:place], data[place:]]


def read(codec: Codec, kind: str, parts: list[bytes]) -> Reading:
    if kind == "request":
        return read_requests(codec, parts)
    return read_response(codec, b"GET", parts)


def assert_one_verdict(kind: str, data: bytes) -> Reading:
    """Of our three readers, however the bytes are cut; returns it."""
    whole = read(cold(), kind, [data])
    for parts in cuts(data):
        scan = read(cold(), kind, parts)
        assert scan.is_refused == whole.is_refused
        assert scan.complete[: len(whole.complete)] == whole.complete
        assert whole.is_refused or scan == whole
        for _ in range(2):
            assert read(WARM, kind, parts) == scan
        strict = read(STRICT, kind, parts)
        if strict.reason in STRICTER:
            assert scan.is_refused, "the corpus and these strategies hold nothing that only h11 refuses"
            assert scan.complete[: len(strict.complete)] == strict.complete
        else:
            assert strict == scan
    return whole


@pytest.mark.parametrize("case", CORPUS)
def test_our_readers_agree_on_every_case_of_the_corpus(case):
    assert_one_verdict(case.partition("/")[0], CORPUS[case])


@PROPERTY
@given(ANY_BYTES, st.sampled_from(["request", "response"]))
def test_our_readers_agree_on_any_bytes(data, kind):
    assert_one_verdict(kind, data)


# --- the oracles ---


def ours(reading: Reading) -> list[Message]:
    """Our reading in the oracles' shape, without interim responses."""
    found: list[Message] = []
    for kind, *rest in reading.events:
        if kind in {"request", "response"}:
            slots = dict(rest[0])
            start = (slots["method"], slots["target"]) if kind == "request" else slots["status"]
            headers = tuple(
                (name, value.lower() if name == b"transfer-encoding" else value)
                for name, value in slots["headers"]
            )
            if kind == "request" or slots["status"] >= 200:
                found.append(Message(start, headers, is_whole=bool(rest[-1])))
        elif kind == "data":
            found[-1].body += rest[0]
        elif kind == "trailers":
            found[-1].trailers = rest[0]
        else:
            found[-1].is_whole = True
    return found


def comparable(message: Message) -> Message:
    """Without what our codec keeps out of heads, and trailers it drops."""
    mesh = {b"x-request-id"}
    dropped = mesh | {b"x-envoy-peer-metadata", b"x-forwarded-client-cert"}
    kept = tuple(pair for pair in message.headers if pair[0] not in mesh)
    trailers = tuple(pair for pair in message.trailers if pair[0].replace(b"_", b"-") not in dropped)
    return Message(message.start, kept, message.body, trailers, message.is_whole)


def h11_takes_no_empty_line(oracle: Oracle) -> bool:
    """RFC 9112 section 2.2 asks to skip one before a request; h11 does not."""
    return oracle.refusal in {"no request line received", "illegal request line"}


def llhttp_knows_a_list_of_methods(oracle: Oracle) -> bool:
    return oracle.refusal.startswith("HttpParserInvalidMethodError")


def llhttp_ends_with_the_message(oracle: Oracle) -> bool:
    """It parses nothing behind `close`, HTTP/1.0, an upgrade or CONNECT; ours leaves that to the
    connection."""
    return oracle.refusal == "upgrade" or "after `Connection: close`" in oracle.refusal


def absolute(data: bytes) -> bool:
    """We make the origin form of an absolute target, as a proxy must; a parser gives it as it came."""
    return b"://" in data


def is_known(oracle: Oracle) -> bool:
    return (
        h11_takes_no_empty_line(oracle)
        or llhttp_knows_a_list_of_methods(oracle)
        or llhttp_ends_with_the_message(oracle)
    )


def assert_read_as(data: bytes, mine: list[Message], oracle: Oracle, who: str) -> None:
    if oracle.refusal:
        assert is_known(oracle), f"{who} refuses what we take: {oracle.refusal} {data!r}"
    theirs = [comparable(message) for message in oracle.messages if message.is_whole]
    mine = [comparable(message) for message in mine if message.is_whole]
    if not oracle.refusal:
        assert len(theirs) == len(mine), f"{who} counts other messages in {data!r}"
    if not absolute(data):
        assert mine[: len(theirs)] == theirs[: len(mine)], f"{who} reads {data!r} differently"


def assert_oracles_agree(data: bytes, parts: list[bytes], reading: Reading) -> None:
    mine = ours(reading)
    assert_read_as(data, mine, ask_h11(parts), "h11")
    assert_read_as(data, mine, ask_llhttp(parts), "llhttp")


def sent_on(reading: Reading) -> bytes:
    """The requests as this proxy sends them on."""
    out = b""
    chunked = False
    for kind, *rest in reading.events:
        if kind == "request":
            slots = dict(rest[0])
            chunked = slots["chunked"]
            out += slots["forward"] + (b"transfer-encoding: chunked\r\n" if chunked else b"") + b"\r\n"
        elif kind == "data":
            out += chunk(rest[0]) if chunked else rest[0]
        elif kind == "trailers":
            out += last_chunk(rest[0])
            chunked = False
        elif chunked:
            out += last_chunk(())
    return out


def assert_sent_on_unambiguously(reading: Reading) -> None:
    """Everybody reads what we send on as what we read, less what a hop keeps."""
    wire = sent_on(reading)
    again = read(STRICT, "request", [wire])
    assert not again.is_refused
    assert sent_on(again) == wire
    for message, other in zip(ours(reading), ours(again), strict=True):
        assert (other.start, other.body, other.trailers) == (message.start, message.body, message.trailers)
        named = {
            option.strip()
            for name, value in message.headers
            if name == b"connection"
            for option in value.lower().split(b",")
        }
        gone = DROPPED | named | STAYS_OR_IS_ADDED
        assert [pair for pair in other.headers if pair[0] not in gone] == [
            pair for pair in message.headers if pair[0] not in gone
        ]
    for oracle, who in ((ask_h11([wire]), "h11"), (ask_llhttp([wire]), "llhttp")):
        assert_read_as(wire, ours(again), oracle, who)


@settings(PROPERTY, max_examples=400)
@given(st.one_of(ANY_BYTES, request().map(lambda made: made[0])))
def test_what_we_take_the_oracles_take_and_read_the_same_as_it_came_and_as_we_send_it_on(data):
    reading = read(cold(), "request", [data])
    if reading.is_refused or not reading.events:
        return
    assert_oracles_agree(data, [data], reading)
    assert_oracles_agree(data, pieces(data, 1), reading)
    assert_sent_on_unambiguously(reading)


@pytest.mark.parametrize("case", [case for case in CORPUS if case.startswith("request/")])
def test_the_oracles_read_every_case_we_take_as_we_do(case):
    data = CORPUS[case]
    reading = read(cold(), "request", [data])
    if reading.is_refused:
        return
    for parts in cuts(data):
        assert_oracles_agree(data, parts, reading)
    assert_sent_on_unambiguously(reading)


@pytest.mark.parametrize("case", [case for case in CORPUS if case.startswith("response/")])
def test_h11_reads_every_response_we_take_as_we_do(case):
    data, method = CORPUS[case], cases.method_of(case)
    reading = read_response(cold(), method, [data])
    if reading.is_refused:
        return
    for parts in cuts(data):
        assert_read_as(data, ours(reading), ask_h11(parts, method), "h11")
