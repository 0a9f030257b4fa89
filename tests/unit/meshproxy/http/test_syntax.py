import pytest

from meshproxy.errors import RemoteProtocolError
from meshproxy.http.syntax import is_token, parse_authority, parse_content_length


@pytest.mark.parametrize(
    ("value", "authority", "host"),
    [
        (b"", "", ""),
        (b"Catalog", "catalog", "catalog"),
        (b"catalog.shop.svc:8080", "catalog.shop.svc:8080", "catalog.shop.svc"),
        (b"catalog:", "catalog:", "catalog"),
        (b"10.96.0.7:80", "10.96.0.7:80", "10.96.0.7"),
        (b"[FD00::1]:8080", "[fd00::1]:8080", "[fd00::1]"),
        (b"[::1]", "[::1]", "[::1]"),
        (b"a_b-c.~%20", "a_b-c.~%20", "a_b-c.~%20"),
        (b"a:65535", "a:65535", "a"),
    ],
)
def test_authority_is_lower_cased_and_split(value, authority, host):
    assert parse_authority(value) == (authority, host)


@pytest.mark.parametrize(
    "value",
    [
        *[b"a b", b"a,b", b"user@host", b"a/b", b"a?b", b"a#b", b"a\\b", b"\xe9", b"a\x00"],
        *[b"a:b", b"a:-1", b"a:+1", b"a:1:2", b":80", b"a:65536", b"a:000080"],
        *[b"[::1", b"[]", b"[::1]x", b"[::g]", b"[::1]:x", b"::1"],
    ],
)
def test_authority_that_is_not_host_and_port_is_refused(value):
    with pytest.raises(RemoteProtocolError) as caught:
        parse_authority(value)
    assert (caught.value.status, caught.value.reason) == (400, "bad_host")


@pytest.mark.parametrize(("value", "length"), [(b"0", 0), (b"007", 7), (b"9223372036854775807", 2**63 - 1)])
def test_content_length_is_digits(value, length):
    assert parse_content_length(value) == length


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"+1",
        b"-1",
        b"1 1",
        b"1,1",
        b"0x10",
        b"1_0",
        b"1.0",
        b"9223372036854775808",
        b"0" * 20,
        "١".encode(),
    ],
)
def test_content_length_of_another_shape_is_refused(value):
    with pytest.raises(RemoteProtocolError) as caught:
        parse_content_length(value)
    assert caught.value.reason == "bad_content_length"


def test_token():
    assert is_token(b"M-SEARCH")
    assert not is_token(b"")
    assert not is_token(b"a b")
    assert not is_token(b"a:")
