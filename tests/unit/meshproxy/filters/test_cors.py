"""Preflights and actual requests of browsers. The fields, their order and values are what stock Envoy 1.40
sends for the same policies."""

from random import Random

import pytest

from meshproxy.config.http_filter import CorsSettings, Fraction
from meshproxy.config.route_match import StringMatch, StringMatchKind
from meshproxy.filters.api import LocalReply
from meshproxy.filters.cors import Cors
from tests.unit.meshproxy.filters.filtered import Request, head

A = StringMatch(StringMatchKind.EXACT, "http://a")
EVERYTHING = CorsSettings(
    allow_origins=(A,),
    allow_methods="GET, PUT",
    allow_headers="x-a",
    expose_headers="x-e",
    max_age="5",
    allow_credentials=True,
    allow_private_network=True,
    forward_not_matching_preflights=False,
)
ASKED = "access-control-request-method: PUT"


def cors(settings: CorsSettings) -> Cors:
    return Cors(settings, Random(1))


def preflight(settings: CorsSettings, *lines: str) -> LocalReply | None:
    return cors(settings).on_request(Request(head(*lines, method="OPTIONS")))


def fields(reply: LocalReply | None) -> list[str]:
    assert reply is not None
    assert (reply.status, reply.body, reply.flag) == (200, b"", "")
    return [f"{name.decode()}: {value.decode()}" for name, value in reply.headers]


def actual(settings: CorsSettings, *lines: str, answer: tuple[str, ...] = ()) -> list[str]:
    request = Request(head(*lines))
    assert cors(settings).on_request(request) is None
    return request.answered(*answer)


def test_a_preflight_of_an_allowed_origin_is_told_everything() -> None:
    reply = preflight(EVERYTHING, "origin: http://a", ASKED, "access-control-request-private-network: true")
    assert fields(reply) == [
        "access-control-allow-origin: http://a",
        "access-control-allow-credentials: true",
        "access-control-allow-methods: GET, PUT",
        "access-control-allow-headers: x-a",
        "access-control-max-age: 5",
        "access-control-allow-private-network: true",
        "access-control-expose-headers: x-e",
    ]


def test_a_private_network_is_allowed_only_where_it_was_asked_for() -> None:
    asked = fields(preflight(EVERYTHING, "origin: http://a", ASKED))
    assert not [line for line in asked if "private" in line]


def test_the_answer_to_another_origin_does_not_name_it() -> None:
    assert fields(preflight(EVERYTHING, "origin: http://b", ASKED)) == [
        "access-control-allow-credentials: true",
        "access-control-allow-methods: GET, PUT",
        "access-control-allow-headers: x-a",
        "access-control-max-age: 5",
    ]


def test_another_origins_preflight_goes_to_the_upstream_unless_told_otherwise() -> None:
    request = Request(head("origin: http://b", ASKED, method="OPTIONS"))
    assert cors(CorsSettings(allow_origins=(A,))).on_request(request) is None
    assert request.answered("access-control-allow-origin: own") == ["access-control-allow-origin: own"]


def test_stars_stand_for_what_is_asked_for() -> None:
    stars = CorsSettings(allow_origins=(A,), allow_methods="*", allow_headers="*")
    asked = preflight(stars, "origin: http://a", ASKED, "access-control-request-headers: x-q, X-R")
    assert fields(asked) == [
        "access-control-allow-origin: http://a",
        "access-control-allow-methods: PUT",
        "access-control-allow-headers: x-q, X-R",
    ]
    assert fields(preflight(stars, "origin: http://a", ASKED))[-1] == "access-control-allow-headers: "


@pytest.mark.parametrize(
    "lines", [("origin: http://a",), (ASKED,), ("origin:", ASKED), ("origin: http://a", ASKED[:-3])]
)
def test_other_options_requests_are_no_preflights(lines: tuple[str, ...]) -> None:
    assert preflight(EVERYTHING, *lines) is None


def test_an_answer_to_an_allowed_origin_says_so_over_the_upstreams_own_words() -> None:
    answer = ("Access-Control-Allow-Origin: *", "x: y", "access-control-expose-headers: z")
    assert actual(EVERYTHING, "origin: http://a", answer=answer) == [
        "x: y",
        "access-control-allow-origin: http://a",
        "access-control-allow-credentials: true",
        "access-control-expose-headers: x-e",
    ]
    assert actual(CorsSettings(allow_origins=(A,)), "origin: http://a") == [
        "access-control-allow-origin: http://a"
    ]


def test_answers_to_others_stay_as_they_are() -> None:
    answer = ("access-control-allow-origin: *",)
    assert actual(EVERYTHING, "origin: http://b", answer=answer) == list(answer)
    assert actual(EVERYTHING, answer=answer) == list(answer)


def test_two_origins_are_none() -> None:
    assert actual(EVERYTHING, "origin: http://a", "origin: http://a") == []


@pytest.mark.parametrize(
    ("origin", "is_allowed"),
    [("http://x.a.example", True), ("http://x.y.a.example", True), ("http://a.example", False)],
)
def test_wildcards_are_regular_expressions(origin: str, is_allowed: bool) -> None:
    match = StringMatch(StringMatchKind.REGEX, r"http://.+\.a\.example")
    assert bool(actual(CorsSettings(allow_origins=(match,)), f"origin: {origin}")) is is_allowed


def test_a_pattern_that_takes_the_star_takes_every_origin() -> None:
    star = StringMatch(StringMatchKind.EXACT, "*")
    with_credentials = CorsSettings(allow_origins=(star,), allow_credentials=True)
    assert actual(with_credentials, "origin: http://any") == [
        "access-control-allow-origin: http://any",
        "access-control-allow-credentials: true",
    ]


def test_requests_that_go_nowhere_are_left_alone() -> None:
    request = Request(head("origin: http://a", ASKED, method="OPTIONS"), is_forwarded=False)
    assert cors(EVERYTHING).on_request(request) is None
    assert request.hooks == []


def test_it_can_be_on_for_a_share_of_the_requests() -> None:
    half = cors(CorsSettings(allow_origins=(A,), enabled=Fraction(50)))
    requests = [Request(head("origin: http://a")) for _ in range(400)]
    for request in requests:
        half.on_request(request)
    assert 150 < sum(len(request.hooks) for request in requests) < 250


def test_an_inner_level_says_field_by_field_what_it_replaces() -> None:
    inner = CorsSettings(max_age="9", allow_credentials=False)
    layered = inner.over(EVERYTHING)
    assert layered.max_age == "9"
    assert layered.allow_credentials is False
    assert layered.allow_origins == (A,)
    assert layered.allow_private_network is True
    assert CorsSettings().over(EVERYTHING) == EVERYTHING


def test_what_is_not_set_is_not_said() -> None:
    assert fields(preflight(CorsSettings(allow_origins=(A,)), "origin: http://a", ASKED)) == [
        "access-control-allow-origin: http://a"
    ]
