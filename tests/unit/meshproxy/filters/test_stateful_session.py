"""Sessions by cookie and by header. The cookies are those that stock Envoy 1.40 made."""

import base64

import pytest

from meshproxy.config.http_filter import CookieSession, HeaderSession, SessionSettings
from meshproxy.filters.session_cookie import decoded_address, decoded_cookie, encoded_cookie
from meshproxy.filters.stateful_session import session_filter
from tests.unit.meshproxy.filters.filtered import Request, head

WALL = 1_800_000_000.0
FIRST, SECOND = "127.0.0.1:28182", "127.0.0.1:28183"
FIRST_COOKIE = "Cg8xMjcuMC4wLjE6MjgxODI="
SECOND_COOKIE = "Cg8xMjcuMC4wLjE6MjgxODM="


def asked(settings: SessionSettings, *lines: str, target: str = "/") -> Request:
    request = Request(head(*lines, target=target))
    assert session_filter(settings, lambda: WALL).on_request(request) is None
    return request


def cookie(**changes: object) -> SessionSettings:
    return SessionSettings(CookieSession("sid", **changes))  # type: ignore[arg-type]


def test_the_first_answer_binds_the_session() -> None:
    request = asked(cookie())
    assert request.override == ""
    assert request.answered("a: b", endpoint=FIRST) == ["a: b", f'set-cookie: sid="{FIRST_COOKIE}"; HttpOnly']


@pytest.mark.parametrize("value", [FIRST_COOKIE, f'"{FIRST_COOKIE}"', "MTI3LjAuMC4xOjI4MTgy"])
def test_the_cookie_leads_back_and_is_not_set_again(value: str) -> None:
    request = asked(cookie(), f"cookie: other=1; sid={value}")
    assert (request.override, request.is_strict) == (FIRST, False)
    assert request.answered(endpoint=FIRST) == []


def test_a_session_whose_endpoint_is_gone_is_bound_anew() -> None:
    request = asked(cookie(), f"cookie: sid={FIRST_COOKIE}")
    assert request.answered(endpoint=SECOND) == [f'set-cookie: sid="{SECOND_COOKIE}"; HttpOnly']


def test_an_answer_of_our_own_binds_nothing() -> None:
    assert asked(cookie()).answered(endpoint="") == []
    assert asked(SessionSettings(HeaderSession("x-ses"))).answered(endpoint="") == []


def test_strict_sessions_say_so() -> None:
    strict = SessionSettings(CookieSession("sid"), strict=True)
    assert asked(strict, f"cookie: sid={FIRST_COOKIE}").is_strict


def test_a_cookie_with_a_lifetime_expires() -> None:
    settings = cookie(ttl=100, path="/", attributes=(("SameSite", "Lax"), ("Secure", "")))
    [line] = asked(settings).answered(endpoint=FIRST)
    name, value, rest = line.split('"')
    assert (name, rest) == ("set-cookie: sid=", "; Max-Age=100; Path=/; SameSite=Lax; Secure; HttpOnly")
    assert decoded_cookie(value.encode(), WALL + 100) == FIRST
    assert decoded_cookie(value.encode(), WALL + 101) == ""
    expired = encoded_cookie(FIRST, int(WALL) - 1).decode()
    assert asked(settings, f"cookie: sid={expired}").override == ""


@pytest.mark.parametrize(
    ("path", "target", "is_covered"),
    [
        ("/a", "/a", True),
        ("/a", "/a/b", True),
        ("/a", "/a?q", True),
        ("/a", "/ab", False),
        ("/a", "/", False),
        ("/a/", "/a/b", True),
        ("/a/", "/a", False),
        ("/", "/x", True),
        ("", "/x", True),
    ],
)
def test_a_cookie_of_a_path_counts_below_it(path: str, target: str, is_covered: bool) -> None:
    request = asked(cookie(path=path), f"cookie: sid={FIRST_COOKIE}", target=target)
    assert bool(request.override) is is_covered
    assert bool(request.hooks) is is_covered


def test_a_session_in_a_header() -> None:
    settings = SessionSettings(HeaderSession("x-ses"))
    assert asked(settings).answered("X-Ses: own", endpoint=FIRST) == ["x-ses: MTI3LjAuMC4xOjI4MTgy"]
    back = asked(settings, "x-ses: MTI3LjAuMC4xOjI4MTgy")
    assert back.override == FIRST
    assert back.answered(endpoint=FIRST) == []
    assert back.answered(endpoint=SECOND) == ["x-ses: MTI3LjAuMC4xOjI4MTgz"]


def _packed(*data: int) -> bytes:
    return base64.b64encode(bytes(data))


@pytest.mark.parametrize(
    "value",
    [
        b"garbage",
        b"",
        b"\xff",
        _packed(0xFF, 0xFE),
        _packed(1, 2, 3),
        _packed(0x0A),
        _packed(0x0A, 5, 65),
        _packed(0x0A, 200, 65),
        _packed(0x0A, 1, 65, 0x18, 1),
        _packed(0x0A, 1, 65, 0x10),
        _packed(0x0A, 1, 65, 0x10, 0x80),
        _packed(0x0A, 1, 65, 0x10, 1, 1),
        _packed(0x0A, 1, 65, 0x10, *[0x80] * 11, 1),
        _packed(0x0A, 1, 7),
    ],
)
def test_what_is_no_session_is_none(value: bytes) -> None:
    assert decoded_cookie(value, 0.0) == ""


def test_addresses_of_both_families() -> None:
    assert decoded_cookie(encoded_cookie("[::1]:80", 1 << 40), 5.0) == "[::1]:80"
    assert decoded_address(base64.b64encode(b"[::1]:80")) == "[::1]:80"
    assert decoded_address(b"%%%") == ""
