"""gRPC's length-prefixed messages, however they are cut."""

import pytest

from meshproxy.errors import RemoteProtocolError
from meshproxy.rpc.message import MessageReader, prefixed

STREAM = prefixed(b"one") + prefixed(b"") + prefixed(b"three" * 100)
MESSAGES = [b"one", b"", b"three" * 100]


def test_the_prefix_is_a_flag_and_a_length() -> None:
    assert prefixed(b"abc") == b"\x00\x00\x00\x00\x03abc"


@pytest.mark.parametrize("size", [1, 2, 4, 5, 7, 100, 1000])
def test_messages_come_out_as_they_went_in(size: int) -> None:
    reader = MessageReader(1000)
    found = []
    for start in range(0, len(STREAM), size):
        found += reader.feed(STREAM[start : start + size])
    assert found == MESSAGES
    assert reader.is_between_messages


def test_an_unfinished_message_is_told() -> None:
    reader = MessageReader(1000)
    assert reader.feed(STREAM[:-1]) == MESSAGES[:2]
    assert not reader.is_between_messages


def test_a_length_above_the_limit_is_refused_before_its_bytes_come() -> None:
    with pytest.raises(RemoteProtocolError, match="1001 bytes; the limit is 1000"):
        MessageReader(1000).feed(b"\x00" + (1001).to_bytes(4, "big"))


def test_compression_that_nobody_offered_is_refused() -> None:
    with pytest.raises(RemoteProtocolError, match="compressed"):
        MessageReader(1000).feed(b"\x01\x00\x00\x00\x01x")
