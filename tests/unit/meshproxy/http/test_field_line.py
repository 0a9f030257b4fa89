import pytest

from meshproxy.errors import RemoteProtocolError
from meshproxy.http import field_line
from meshproxy.http.field_line import parse_request_field, parse_response_field, parse_trailer_field


def refusal(parse, line):
    with pytest.raises(RemoteProtocolError) as caught:
        parse(line)
    return caught.value.status, caught.value.reason


@pytest.mark.parametrize(
    ("line", "pair", "forward"),
    [
        (b"Accept: */*", (b"accept", b"*/*"), b"Accept: */*\r\n"),
        (b"accept:*/*", (b"accept", b"*/*"), b"accept: */*\r\n"),
        (b"X-A: \t a b \t", (b"x-a", b"a b"), b"X-A: a b\r\n"),
        (b"X-Empty:", (b"x-empty", b""), b"X-Empty: \r\n"),
        (b"X-Obs: caf\xe9", (b"x-obs", b"caf\xe9"), b"X-Obs: caf\xe9\r\n"),
        (b"X-Colon: a:b", (b"x-colon", b"a:b"), b"X-Colon: a:b\r\n"),
        (b"a_b: 1", (b"a_b", b"1"), b"a_b: 1\r\n"),
    ],
)
def test_an_ordinary_field_is_kept_with_its_case_and_without_outer_blanks(line, pair, forward):
    assert parse_request_field(line) == (pair, forward, None)
    assert parse_response_field(line) == (pair, forward, None)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b" folded", "obs_fold"),
        (b"\tfolded: x", "obs_fold"),
        (b"", "bad_field"),
        (b"no colon", "bad_field"),
        (b": empty name", "bad_field"),
        (b"Host : a", "bad_field"),
        (b"Ho st: a", "bad_field"),
        (b"H\xf6st: a", "bad_field"),
        (b"(a): b", "bad_field"),
        (b"A: b\rC: d", "bad_field_value"),
        (b"A: b\nC: d", "bad_field_value"),
        (b"A: b\x00", "bad_field_value"),
        (b"A: b\x0bc", "bad_field_value"),
        (b"A: b\x7f", "bad_field_value"),
    ],
)
def test_a_malformed_line_is_refused_wherever_it_stands(line, reason):
    for parse in (parse_request_field, parse_response_field, parse_trailer_field):
        assert refusal(parse, line) == (400, reason)


@pytest.mark.parametrize(
    "line", [b"Connection: x", b"Keep-Alive: 5", b"Proxy-Connection: x", b"TE: trailers", b"Upgrade: h2c"]
)
def test_hop_by_hop_fields_are_not_sent_on(line):
    assert parse_request_field(line)[1] == b""
    assert parse_response_field(line)[1] == b""


@pytest.mark.parametrize(
    "name",
    [b"x-request-id", b"X-Envoy-Peer-Metadata", b"X-Forwarded-Client-Cert", b"X_Forwarded_Client_Cert",
     b"x-envoy_peer-metadata"],
)  # fmt: skip
def test_a_request_does_not_bring_the_meshs_own_fields_to_the_app(name):
    assert parse_request_field(name + b": forged")[1] == b""


def test_a_response_keeps_its_request_id():
    assert parse_response_field(b"x-request-id: 1") == ((b"x-request-id", b"1"), b"x-request-id: 1\r\n", None)


def test_special_fields_carry_their_meaning():
    host = parse_request_field(b"Host: Cat:80")[2]
    assert (host.kind, host.authority, host.host) == (field_line.HOST, "cat:80", "cat")
    assert parse_request_field(b"Content-Length: 5")[2].length == 5
    options = parse_request_field(b"Connection: Close, , Foo")[2].options
    assert options == {b"close", b"foo"}
    assert parse_request_field(b"Expect: 100-Continue")[2].kind == field_line.EXPECT
    assert parse_request_field(b"Expect: 100-Continue")[1] == b"Expect: 100-Continue\r\n"


def test_an_unknown_expectation_is_left_to_the_application():
    assert parse_request_field(b"Expect: tea") == ((b"expect", b"tea"), b"Expect: tea\r\n", None)


@pytest.mark.parametrize("value", [b"chunked", b"Chunked", b" CHUNKED "])
def test_chunked_is_the_one_transfer_coding(value):
    field = parse_request_field(b"Transfer-Encoding: " + value)
    assert field[2].kind == field_line.TRANSFER_ENCODING
    assert field[1] == b""


@pytest.mark.parametrize(
    ("value", "status"),
    [
        (b"gzip, chunked", 501),
        (b"chunked, gzip", 400),
        (b"gzip", 400),
        (b"identity", 400),
        (b"xchunked", 400),
        (b"chunked, chunked", 400),
        (b", chunked", 400),
        (b"chunked,", 400),
        (b"chunked;q=1", 400),
        (b"'chunked'", 400),
        (b"", 400),
    ],
)
def test_another_transfer_encoding_is_refused(value, status):
    assert refusal(parse_request_field, b"Transfer-Encoding: " + value)[0] == status


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"Host: a b", "bad_host"),
        (b"Content-Length: 1, 1", "bad_content_length"),
        (b"Content-Length:\t1", "bad_framing_field"),
        (b"Transfer-Encoding: chunked\t", "bad_framing_field"),
        (b"Connection: a b", "bad_connection"),
        (b"Connection: a;b", "bad_connection"),
    ],
)
def test_special_fields_are_checked(line, reason):
    assert refusal(parse_request_field, line) == (400, reason)


def test_trailers():
    assert parse_trailer_field(b"Checksum: 1") == (b"checksum", b"1")
    assert parse_trailer_field(b"X_Forwarded_Client_Cert: 1") is None
    assert parse_trailer_field(b"x-request-id: 1") is None
    for name in (b"Host", b"content-length", b"Transfer-Encoding", b"connection", b"trailer"):
        assert refusal(parse_trailer_field, name + b": 1") == (400, "bad_trailer")


def test_a_message_never_holds_a_value():
    with pytest.raises(RemoteProtocolError) as caught:
        parse_request_field(b"Authorization: Bearer secret\x00")
    assert "secret" not in str(caught.value)
    assert "Authorization" in str(caught.value)
