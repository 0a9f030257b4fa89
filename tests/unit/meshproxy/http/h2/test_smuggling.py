"""What a head over HTTP/2 must not bring into HTTP/1.1 (RFC 9113 sections 8.2.1, 8.3 and 10.3)."""

from __future__ import annotations

import pytest

from meshproxy.http.h2.error import HeaderListTooLarge, StreamFault
from meshproxy.http.h2.hpack import ID_PREFIX, Block, BlockReader, Fields, block_bytes
from meshproxy.http.h2.message import Messages, messages_of, read_trailers
from meshproxy.http.head_memory import HeadMemory
from meshproxy.http.limits import HeadLimits

PSEUDO = {b":method": b"GET", b":scheme": b"http", b":path": b"/", b":authority": b"a"}


def messages() -> Messages:
    return messages_of(HeadMemory(), HeadLimits())


def fields(*more: tuple[bytes, bytes], **changes: bytes) -> Fields:
    return (*(PSEUDO | {b":" + name.encode(): value for name, value in changes.items()}).items(), *more)


@pytest.mark.parametrize("name", ["method", "scheme", "path", "authority"])
@pytest.mark.parametrize(
    "inside",
    [
        b" HTTP/1.1\r\nx-evil: 1\r\nx:",
        b"\r\ntransfer-encoding: chunked",
        b"\nx: y",
        b"\r",
        b"\0",
        b" ",
        b"\t",
        b"\x7f",
        b"\xc3\xa4",
    ],
)
def test_pseudo_fields_are_visible_ascii(name: str, inside: bytes) -> None:
    value = PSEUDO[b":" + name.encode()] + inside
    for end in (True, False):
        with pytest.raises(StreamFault):
            messages().request(Block(fields(**{name: value})), b"", end=end)


@pytest.mark.parametrize(
    "name",
    [
        b"a:b",
        b"transfer-encoding:",
        b"transfer-encoding: chunked\r\nx",
        b"a b",
        b"a ",
        b" a",
        b"a\r\nb",
        b"a\0",
        b"\xe4",
        b"A",
        b"",
        b"a(b",
    ],
)
def test_names_are_tokens_in_lower_case(name: bytes) -> None:
    with pytest.raises(StreamFault):
        messages().request(Block(fields((name, b"1"))), b"", end=True)
    with pytest.raises(StreamFault):
        messages().response(Block(((b":status", b"200"), (name, b"1"))), end=True, is_head=False)
    with pytest.raises(StreamFault):
        read_trailers(((name, b"1"),))


@pytest.mark.parametrize("value", [b"1\r\nx: y", b"1\n", b"\r", b"a\0b", b"a\x01b", b" a", b"a\t"])
def test_values_hold_no_line_breaks(value: bytes) -> None:
    for name in (b"x", b"x-request-id", b"cookie"):
        with pytest.raises(StreamFault):
            messages().request(Block(fields((name, value))), b"", end=True)
    with pytest.raises(StreamFault):
        messages().response(Block(((b":status", b"200"), (b"x", value))), end=True, is_head=False)


@pytest.mark.parametrize(
    "identity",
    [
        b"a\r\n\r\nGET /admin HTTP/1.1\r\nhost:b\r\n",
        b"a\r\ntransfer-encoding: chunked\r\nx: yz",
        b"\0" * 36,
        b" " * 36,
    ],
)
def test_an_id_that_is_kept_out_of_the_memory_is_checked_all_the_same(identity: bytes) -> None:
    identity = identity.ljust(36, b"x")[:36]
    reader, reading = BlockReader(max_list_bytes=10_000), messages()
    block = block_bytes(fields())
    for _ in range(2):  # new, and remembered
        found, request_id = reader.read(block + ID_PREFIX + identity)
        assert request_id == identity
        with pytest.raises(StreamFault):
            reading.request(found, request_id, end=True)
    good = b"an id of 36 bytes, with blanks in it"
    found, request_id = reader.read(block + ID_PREFIX + good)
    assert reading.request(found, request_id, end=True).request_id == good


def test_connect_is_read_so_that_it_can_be_refused() -> None:
    connect = ((b":method", b"CONNECT"), (b":authority", b"a:80"))
    for end in (True, False):
        assert messages().request(Block(connect), b"", end=end).head.method == b"CONNECT"


def test_a_block_beyond_the_limit_makes_remembered_ones_forgotten() -> None:
    """It changes the table though nobody hears its fields: index 62 is another field from now on."""
    reader = BlockReader(max_list_bytes=200)
    reader.read(b"\x40\x01a\x01b")
    assert reader.read(b"\xbe")[0].fields == ((b"a", b"b"),)
    with pytest.raises(HeaderListTooLarge):
        reader.read(b"\x40\x01c\x01d" + b"\x00\x01x\x7f\x81\x01" + b"y" * 256)
    assert reader.read(b"\xbe")[0].fields == ((b"c", b"d"),)
