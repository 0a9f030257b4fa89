"""gRPC: what is counted of a call, and what the proxy answers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshproxy.http.events import RequestHead, ResponseHead
from meshproxy.http.grpc import (
    GrpcCall,
    MessageCounter,
    counted_as,
    encoded_message,
    is_grpc,
    status_of,
    trailers_only,
)


def message(body: bytes) -> bytes:
    return b"\0" + len(body).to_bytes(4, "big") + body


@given(st.lists(st.binary(max_size=20), max_size=8), st.lists(st.integers(1, 9)))
def test_messages_are_counted_however_they_are_cut(bodies: list[bytes], cuts: list[int]) -> None:
    data = b"".join(map(message, bodies))
    counter, position = MessageCounter(), 0
    for cut in cuts:
        counter.feed(data[position : position + cut])
        position += cut
    counter.feed(data[position:])
    assert counter.count == len(bodies)


def test_a_status_is_the_last_one_said_and_one_that_grpc_knows() -> None:
    call = GrpcCall()
    assert call.status == ""
    call.on_fields(((b"grpc-status", b"5"),))
    assert call.status == "5"
    for odd in (b"17", b"999", b"x", b""):
        call.on_fields(((b"grpc-status", odd),))
        assert call.status == "2"


@pytest.mark.parametrize(("http", "grpc"), [(400, 13), (403, 7), (404, 12), (429, 14), (503, 14), (418, 2)])
def test_statuses_are_mapped_as_grpc_says(http: int, grpc: int) -> None:
    assert status_of(http) == grpc


def _head(status: int, *fields: tuple[bytes, bytes]) -> ResponseHead:
    head = ResponseHead()
    head.status, head.headers = status, fields
    return head


@pytest.mark.parametrize(
    ("status", "counts"),
    [
        (b"0", 200),
        (b"3", 400),
        (b"4", 504),
        (b"8", 429),
        (b"14", 503),
        (b"15", 500),
        (b"99", 500),
        (b"x", 500),
    ],
)
def test_what_an_answer_without_a_message_counts_as(status: bytes, counts: int) -> None:
    assert counted_as(_head(200, (b"grpc-status", status))) == counts


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"application/grpc", True),
        (b"application/grpc+proto", True),
        (b"application/grpc;v=1", True),
        (b"application/grpc-web", False),
        (b"application/grpcs", False),
        (b"application/json", False),
    ],
)
def test_calls_are_told_by_their_content_type(value: bytes, expected: bool) -> None:
    head = RequestHead()
    head.headers = ((b"accept", b"application/grpc"), (b"content-type", value))
    assert is_grpc(head) is expected


def test_what_other_answers_to_calls_count_as() -> None:
    assert [counted_as(_head(status)) for status in (200, 503)] == [200, 503]


def test_messages_are_percent_encoded() -> None:
    assert encoded_message(b"no route") == b"no route"
    assert encoded_message(b"a%\r\n\xc3") == b"a%25%0D%0A%C3"
    assert len(encoded_message(b"x" * 5000)) == 1024
    assert trailers_only(14, b"", ((b"x", b"1"),)) == (
        (b"content-type", b"application/grpc"),
        (b"grpc-status", b"14"),
        (b"x", b"1"),
    )
