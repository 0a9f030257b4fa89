"""The shop's HTTP/1.1 messages: whole, byte by byte, several in one read."""

import pytest

from examples.shop.http_message import (
    MAX_HEAD,
    MessageError,
    Request,
    Response,
    format_request,
    format_response,
    parse_request,
    parse_response,
)

CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nt: 1\r\n\r\n"


def test_a_request_comes_back_from_its_bytes():
    sent = Request("POST", "/a?b", {"x": "1"}, b"body")
    buffer = bytearray(format_request(sent, "host:80"))
    read = parse_request(buffer)
    assert read == Request("POST", "/a?b", {"host": "host:80", "content-length": "4", "x": "1"}, b"body")
    assert buffer == b""


def test_a_response_comes_back_from_its_bytes():
    buffer = bytearray(format_response(Response(201, b"body", {"x-version": "v1"}), close=True))
    read = parse_response(buffer)
    assert read is not None
    assert (read.status, read.body) == (201, b"body")
    assert (read.headers["x-version"], read.headers["connection"]) == ("v1", "close")


def test_two_messages_in_one_read_are_taken_one_after_the_other():
    buffer = bytearray(format_request(Request("GET", "/1"), "h") + format_request(Request("GET", "/2"), "h"))
    assert [parse_request(buffer).target, parse_request(buffer).target] == ["/1", "/2"]  # type: ignore[union-attr]
    assert parse_request(buffer) is None


@pytest.mark.parametrize("message", [CHUNKED, format_response(Response(200, b"abcde"))])
def test_a_message_is_not_there_before_its_last_byte(message: bytes):
    for length in range(len(message)):
        assert parse_response(bytearray(message[:length])) is None
    read = parse_response(bytearray(message))
    assert read is not None
    assert read.body == b"abcde"


def test_a_request_is_not_there_before_its_last_byte():
    message = format_request(Request("POST", "/", body=b"abc"), "h")
    assert [parse_request(bytearray(message[:length])) for length in range(len(message))] == [None] * len(
        message
    )


def test_a_response_to_head_has_no_body_whatever_its_length_says():
    buffer = bytearray(format_response(Response(200, b"abcde"), is_head=True))
    read = parse_response(buffer, is_head=True)
    assert read is not None
    assert (read.body, read.headers["content-length"], buffer) == (b"", "5", b"")
    assert parse_response(bytearray(b"HTTP/1.1 204 No Content\r\n\r\n")) == Response(204)


@pytest.mark.parametrize(
    "message",
    [
        b"HTTP/1.1 OK\r\n\r\n",
        b"hello\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nz\r\n",
        b"a" * (MAX_HEAD + 1),
    ],
)
def test_what_is_no_message_is_refused(message: bytes):
    with pytest.raises(MessageError):
        parse_response(bytearray(message))


def test_what_is_no_request_is_refused():
    with pytest.raises(MessageError):
        parse_request(bytearray(b"GET / HTTP/2\r\n\r\n"))


def test_a_status_without_a_known_phrase_is_sent():
    assert format_response(Response(299)).startswith(b"HTTP/1.1 299 \r\n")
