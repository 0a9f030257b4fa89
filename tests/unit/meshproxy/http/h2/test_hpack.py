"""HPACK: against RFC 7541's examples, and against python-hyper's `hpack`, the oracle."""

import random
from collections.abc import Callable
from typing import TypeVar

import hpack
import pytest
from hpack.huffman_table import decode_huffman
from hpack.table import HeaderTable
from hypothesis import given, settings
from hypothesis import strategies as st

from meshproxy.http.h2 import huffman
from meshproxy.http.h2.error import ConnectionFault, HeaderListTooLarge
from meshproxy.http.h2.hpack import ID_PREFIX, BlockReader, Fields, block_bytes, field_bytes
from meshproxy.http.h2.static_table import SIZE, STATIC

Read = TypeVar("Read")
UUID = b"6ba7b810-9dad-11d1-80b4-00c04fd430c8"


def reader(max_list_bytes: int = 65536, table_size: int = 4096) -> BlockReader:
    return BlockReader(max_list_bytes=max_list_bytes, table_size=table_size)


def fields_of(connection: BlockReader, block: bytes) -> Fields:
    found, request_id = connection.read(block)
    return (*found.fields, (b"x-request-id", request_id)) if request_id else found.fields


def oracle_fields(block: bytes, decoder: hpack.Decoder) -> Fields:
    return tuple((bytes(name), bytes(value)) for name, value in decoder.decode(block, raw=True))


def test_the_static_table_is_the_rfcs() -> None:
    assert SIZE == 61
    assert STATIC[1:] == tuple((bytes(n), bytes(v)) for n, v in HeaderTable.STATIC_TABLE)


# RFC 7541 appendix C.3 (no Huffman) and C.4 (Huffman): three requests on one connection.
PLAIN = (
    "828684410f7777772e6578616d706c652e636f6d",
    "828684be58086e6f2d6361636865",
    "828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565",
)
CODED = (
    "828684418cf1e3c2e5f23a6ba0ab90f4ff",
    "828684be5886a8eb10649cbf",
    "828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf",
)
REQUESTS: tuple[Fields, ...] = (
    (
        (b":method", b"GET"),
        (b":scheme", b"http"),
        (b":path", b"/"),
        (b":authority", b"www.example.com"),
    ),
    (
        (b":method", b"GET"),
        (b":scheme", b"http"),
        (b":path", b"/"),
        (b":authority", b"www.example.com"),
        (b"cache-control", b"no-cache"),
    ),
    (
        (b":method", b"GET"),
        (b":scheme", b"https"),
        (b":path", b"/index.html"),
        (b":authority", b"www.example.com"),
        (b"custom-key", b"custom-value"),
    ),
)


@pytest.mark.parametrize("blocks", [PLAIN, CODED])
def test_the_rfcs_requests(blocks: tuple[str, ...]) -> None:
    connection = reader()
    assert tuple(fields_of(connection, bytes.fromhex(block)) for block in blocks) == REQUESTS


def test_the_rfcs_responses_with_eviction() -> None:
    """Appendix C.6: a table of 256 bytes."""
    connection = reader(table_size=256)
    first = fields_of(
        connection,
        bytes.fromhex(
            "488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29ad1718"
            "63c78f0b97c8e9ae82ae43d3"
        ),
    )
    assert first[0] == (b":status", b"302")
    assert first[3] == (b"location", b"https://www.example.com")
    assert fields_of(connection, bytes.fromhex("4883640effc1c0bf"))[0] == (b":status", b"307")


@settings(deadline=None)
@given(st.binary(max_size=64))
def test_huffman_strings_are_read_as_by_the_oracle(data: bytes) -> None:
    try:
        wanted = decode_huffman(data)
    except hpack.HPACKDecodingError:
        with pytest.raises(ConnectionFault):
            huffman.decode(data)
        return
    found = attempt(lambda: huffman.decode(data))
    assert found == wanted or "padding" in str(found)  # RFC 7541 section 5.2: 8 bits and more are an error


def attempt(call: Callable[[], Read]) -> Read | str:
    """What is read, or the message of the fault."""
    try:
        return call()
    except ConnectionFault as fault:
        return str(fault)


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_coded_strings_come_back(text: bytes) -> None:
    coder = hpack.Encoder().huffman_coder
    assert huffman.decode(coder.encode(text)) == text


NAMES = st.sampled_from([b":path", b"cookie", b"x-a", b"x-b", b"content-type", b"x-request-id"])
VALUES = st.one_of(st.sampled_from([b"", b"1", b"a" * 200, UUID]), st.binary(max_size=40))
FIELDS = st.lists(st.tuples(NAMES, VALUES), max_size=8)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(FIELDS, st.booleans()), max_size=8), st.sampled_from([0, 64, 4096]))
def test_connections_of_the_oracle_are_understood(
    messages: list[tuple[list[tuple[bytes, bytes]], bool]], table_size: int
) -> None:
    encoder, connection = hpack.Encoder(), reader()
    encoder.header_table_size = table_size
    for fields, is_coded in messages:
        block = encoder.encode(fields, huffman=is_coded)
        assert fields_of(connection, block) == tuple(fields)


@settings(deadline=None)
@given(FIELDS)
def test_what_is_written_the_oracle_understands(fields: list[tuple[bytes, bytes]]) -> None:
    block = block_bytes(tuple(fields))
    assert oracle_fields(block, hpack.Decoder()) == tuple(fields)
    assert fields_of(reader(), block) == tuple(fields)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.binary(max_size=60), max_size=4))
def test_garbage_is_refused_as_by_the_oracle(blocks: list[bytes]) -> None:
    decoder, connection = hpack.Decoder(), reader()
    for block in blocks:
        try:
            wanted = oracle_fields(block, decoder)
        except hpack.HPACKError:
            wanted = None
        found = attempt(lambda block=block: fields_of(connection, block))  # type: ignore[misc]
        if isinstance(found, str):
            # The oracle takes any padding, and integers without end.
            assert wanted is None or any(word in found for word in ("padding", "no end", "EOS"))
            return
        assert found == wanted


def test_a_last_request_id_is_kept_out_of_the_memory() -> None:
    connection = reader()
    start = block_bytes(((b":method", b"GET"), (b":path", b"/")))
    for number in range(3):
        identity = f"{number:036d}".encode()
        fields = fields_of(connection, start + ID_PREFIX + identity)
        assert fields == ((b":method", b"GET"), (b":path", b"/"), (b"x-request-id", identity))
    assert list(connection._lasting) == [start]


def test_bytes_that_only_look_like_an_id_belong_to_their_field() -> None:
    connection = reader()
    value = b"v" + ID_PREFIX + UUID
    block = field_bytes(b"x-a", value)
    for _ in range(2):
        assert fields_of(connection, block) == ((b"x-a", value),)


def test_a_remembered_block_is_forgotten_when_the_table_changes() -> None:
    connection = reader()
    for value in (b"1", b"2", b"1", b"2"):  # the later ones are remembered themselves
        connection.read(b"\x40\x01a\x01" + value)
        for _ in range(3):
            assert fields_of(connection, b"\xbe") == ((b"a", value),)


ADDING = [b"\x40" + bytes((len(name),)) + name + b"\x01v" for name in (b"a", b"b", b"c")]
BLOCKS = [
    *ADDING,
    b"\x82" + ADDING[0] + ADDING[1],
    b"\x40\x01d\x7f\xd1\x0e" + b"x" * 2000,  # two of them fill the table
    b"\x40\x01e\x7f\xf1\x3c" + b"x" * 7920,  # it empties the table
    b"\xbe",
    b"\xbf\xbe",
    b"\x82\x00\x01f\x01v",
    b"\x7e\x01w",  # the newest name with another value
    b"\x20" + ADDING[2],
    b"\x20\x3f\xe1\x1f" + ADDING[0],
    b"\x82" + ID_PREFIX + UUID,
    ADDING[1] + ID_PREFIX + UUID,
    b"\xbe" + ID_PREFIX + UUID,
]


@settings(max_examples=500, deadline=None)
@given(st.lists(st.sampled_from(BLOCKS), min_size=4, max_size=40))
def test_blocks_that_come_again_mean_what_the_oracle_says(blocks: list[bytes]) -> None:
    decoder, connection = hpack.Decoder(), reader()
    for block in blocks:
        try:
            wanted = oracle_fields(block, decoder)
        except hpack.HPACKError:
            with pytest.raises(ConnectionFault):
                connection.read(block)
            return
        assert fields_of(connection, block) == wanted
        assert [tuple(entry) for entry in decoder.header_table.dynamic_entries] == list(
            reversed(connection._entries)
        )


def test_what_adds_to_the_table_is_remembered_with_what_it_adds() -> None:
    """As nginx writes: literals for the table, never an index into it."""
    connection = reader()
    known = [connection.read(ADDING[0])[0] for _ in range(4)]
    assert known[0] is not known[1] is known[2] is known[3]
    assert connection._entries == [(b"a", b"v")] * 4


def test_heads_that_all_differ_leave_nothing_behind() -> None:
    connection = reader()
    for number in range(3000):
        connection.read(field_bytes(b":path", b"/%d" % number))
    assert not connection._lasting
    assert len(connection._seen) <= 1024


def test_more_than_allowed_is_read_but_not_kept() -> None:
    """A bomb: one long field, then thousands of references to it (CVE-2016-6581)."""
    connection = reader(max_list_bytes=8192)
    connection.read(field_in_table(b"a", b"x" * 3000))
    with pytest.raises(HeaderListTooLarge):
        connection.read(b"\xbe" * 10_000)
    assert fields_of(connection, b"\x82") == ((b":method", b"GET"),)


def field_in_table(name: bytes, value: bytes) -> bytes:
    block: bytes = hpack.Encoder().encode([(name, value)], huffman=False)
    return block


@pytest.mark.parametrize(
    ("block", "message"),
    [
        (b"\x80", "no field has index 0"),
        (b"\xbe", "no field has index 62"),
        (b"\x40", "ends inside"),
        (b"\x40\x01", "ends inside"),
        (b"\x40\x01a\x05abc", "ends inside"),
        (b"\xff\x80\x80\x80\x80\x80\x80\x01", "no end"),
        (b"\x3f\xe2\x1f", "4096 was announced"),
        (b"\x82\x20", "behind a field"),
    ],
)
def test_what_cannot_be_read_ends_the_connection(block: bytes, message: str) -> None:
    with pytest.raises(ConnectionFault, match=message):
        reader().read(block)


def test_the_memory_is_bounded() -> None:
    connection, rng = reader(), random.Random(3)
    for _ in range(1000):
        block = field_bytes(b"x-a", rng.randbytes(20))
        for _ in range(2):
            connection.read(block)
    assert len(connection._memory) + len(connection._lasting) <= 128
