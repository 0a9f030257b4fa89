"""Which answers are tried again, for which methods, and when."""

from random import Random

import pytest

from meshproxy.config.retry import RateLimitedBackOff, ResetHeaderFormat, RetrySettings
from meshproxy.config.route_match import HeaderMatch, PresentMatch
from meshproxy.errors import ConfigError
from meshproxy.policy.retry import AttemptFailure, Headers, RetryPolicy, RetryState, RetryVerdict
from meshproxy.policy.retry_after import reset_interval, retry_after

RETRY, NOT_SELECTED = RetryVerdict.RETRY, RetryVerdict.NOT_SELECTED
SECONDS, TIMESTAMP = ResetHeaderFormat.SECONDS, ResetHeaderFormat.UNIX_TIMESTAMP
NOW = 1_700_000_000.0


def _judge(
    condition: str, status: int, headers: Headers = (), *, method: bytes = b"GET", codes: tuple[int, ...] = ()
) -> RetryVerdict:
    settings = RetrySettings(frozenset({condition}), retriable_status_codes=frozenset(codes))
    state = RetryState(RetryPolicy(settings), method)
    return state.decide_response(status, headers, body_replayable=True, wall_now=NOW)


@pytest.mark.parametrize(
    ("condition", "statuses"),
    [
        ("5xx", {500, 501, 502, 503, 504, 599}),
        ("gateway-error", {502, 503, 504}),
        ("retriable-4xx", {409}),
        ("retriable-status-codes", {404, 503}),
        ("reset", set()),
        ("connect-failure", set()),
        ("envoy-ratelimited", set()),
        ("retriable-headers", set()),
    ],
)
def test_each_condition_selects_its_statuses(condition: str, statuses: set[int]) -> None:
    tried = {200, 302, 400, 404, 409, 429, 500, 501, 502, 503, 504, 599}
    assert {code for code in tried if _judge(condition, code, codes=(404, 503)) is RETRY} == statuses


@pytest.mark.parametrize(
    ("condition", "code"),
    [
        ("cancelled", b"1"),
        ("deadline-exceeded", b"4"),
        ("resource-exhausted", b"8"),
        ("internal", b"13"),
        ("unavailable", b"14"),
    ],
)
def test_each_grpc_condition_selects_its_status_even_of_a_post(condition: str, code: bytes) -> None:
    retried = [
        number
        for number in range(17)
        if _judge(condition, 200, ((b"grpc-status", b"%d" % number),), method=b"POST") is RETRY
    ]
    assert retried == [int(code)]
    assert _judge(condition, 200) is NOT_SELECTED


@pytest.mark.parametrize("method", [b"POST", b"PATCH"])
def test_a_request_that_may_have_been_processed_is_repeated_only_after_an_answer_that_denies_it(
    method: bytes,
) -> None:
    everything = (409, 421, 425, 429, 500, 503)
    verdicts = {
        code: _judge("retriable-status-codes", code, method=method, codes=everything) for code in everything
    }
    assert [code for code, verdict in verdicts.items() if verdict is RETRY] == [421, 425, 429]
    assert verdicts[503] is RetryVerdict.NOT_IDEMPOTENT
    limited = ((b"x-envoy-ratelimited", b"true"),)
    assert _judge("envoy-ratelimited", 429, limited, method=method) is RETRY


def test_a_rate_limited_answer_is_retried_under_its_own_condition_only() -> None:
    limited = ((b"x-envoy-ratelimited", b"true"),)
    assert _judge("envoy-ratelimited", 429, limited) is RETRY
    assert _judge("5xx", 503, limited) is NOT_SELECTED


def test_an_overloaded_upstream_is_left_alone() -> None:
    assert _judge("5xx", 503, ((b"x-envoy-overloaded", b"true"),)) is NOT_SELECTED


def test_headers_select_answers_and_requests() -> None:
    wanted = (HeaderMatch("x-again", PresentMatch()),)
    settings = RetrySettings(
        frozenset({"retriable-headers", "reset"}),
        5,
        retriable_headers=wanted,
        retriable_request_headers=wanted,
    )

    def has_field(headers: Headers) -> bool:
        return any(name == b"x-again" for name, _ in headers)

    policy = RetryPolicy(settings, response_matches=(has_field,), request_matches=(has_field,))
    again = ((b"x-again", b"1"),)
    marked, plain = RetryState(policy, b"GET", again), RetryState(policy, b"GET")
    assert marked.decide_response(200, again, body_replayable=True, wall_now=NOW) is RETRY
    assert marked.decide_response(200, (), body_replayable=True, wall_now=NOW) is NOT_SELECTED
    assert plain.decide_response(200, again, body_replayable=True, wall_now=NOW) is NOT_SELECTED
    reset = AttemptFailure.RESET_BEFORE_RESPONSE
    assert marked.decide(reset, response_started=False, body_replayable=True) is RETRY
    assert plain.decide(reset, response_started=False, body_replayable=True) is NOT_SELECTED


@pytest.mark.parametrize("field", ["retriable_headers", "retriable_request_headers"])
def test_header_matches_without_their_predicates_are_refused(field: str) -> None:
    match = (HeaderMatch("x", PresentMatch()),)
    settings = (
        RetrySettings(retriable_headers=match)
        if field == "retriable_headers"
        else RetrySettings(retriable_request_headers=match)
    )
    with pytest.raises(ConfigError, match=field):
        RetryPolicy(settings)


@pytest.mark.parametrize(
    ("condition", "judges"),
    [("reset", False), ("retriable-headers", False), ("5xx", True), ("unavailable", True)],
)
def test_a_policy_says_whether_answers_matter_to_it(condition: str, judges: bool) -> None:
    policy = RetryPolicy(RetrySettings(frozenset({condition})))
    assert any(policy.judges(status) for status in range(100, 600)) is judges


def test_an_answer_whose_status_is_not_named_is_not_looked_at() -> None:
    policy = RetryPolicy(RetrySettings(frozenset({"gateway-error"})))
    assert [policy.judges(status) for status in (200, 500, 503)] == [False, False, True]


def test_answers_count_against_the_same_limit() -> None:
    state = RetryState(RetryPolicy(RetrySettings(frozenset({"5xx"}), 1)), b"GET")
    body_gone = state.decide_response(503, (), body_replayable=False, wall_now=NOW)
    assert body_gone is RetryVerdict.BODY_NOT_REPLAYABLE
    assert state.decide_response(503, (), body_replayable=True, wall_now=NOW) is RETRY
    assert state.decide_response(503, (), body_replayable=True, wall_now=NOW) is RetryVerdict.LIMIT_REACHED


def test_the_peers_wish_replaces_the_backoff_with_jitter_for_that_retry_alone() -> None:
    limited = RateLimitedBackOff((("retry-after", SECONDS),))
    policy = RetryPolicy(RetrySettings(frozenset({"5xx"}), 9, rate_limited=limited))
    state, rng = RetryState(policy, b"GET"), Random(1)
    state.decide_response(503, ((b"retry-after", b"4"),), body_replayable=True, wall_now=NOW)
    delays = [state.delay(rng) for _ in range(200)]
    assert 4.0 <= min(delays) < 4.2
    assert 5.8 < max(delays) <= 6.0
    state.decide_response(503, (), body_replayable=True, wall_now=NOW)
    assert state.delay(rng) <= 0.25


@pytest.mark.parametrize(
    ("form", "value", "expected"),
    [
        (SECONDS, b"0", 0.0),
        (SECONDS, b" 7 ", 7.0),
        (SECONDS, b"300", 300.0),
        (SECONDS, b"301", None),
        (SECONDS, b"-1", None),
        (SECONDS, b"1.5", None),
        (SECONDS, b"", None),
        (SECONDS, b"soon", None),
        (SECONDS, b"\xff\xfe", None),
        (SECONDS, b"9" * 5000, None),
        (SECONDS, b"Tue, 14 Nov 2023 22:14:20 GMT", 60.0),
        (SECONDS, b"Tue, 14 Nov 2023 22:14:20 -0000", 60.0),
        (SECONDS, b"Tue, 14 Nov 2023 22:13:19 GMT", None),
        (SECONDS, b"Tue, 99 Nov 2023 22:13:19 GMT", None),
        (TIMESTAMP, b"1700000010", 10.0),
        (TIMESTAMP, b"1699999999", None),
        (TIMESTAMP, b"1800000000", None),
        (TIMESTAMP, b"Tue, 14 Nov 2023 22:14:20 GMT", None),
    ],
)
def test_reset_fields(form: ResetHeaderFormat, value: bytes, expected: float | None) -> None:
    settings = RateLimitedBackOff((("x-reset", form),))
    assert reset_interval(((b"x", b"1"), (b"x-reset", value)), settings, NOW) == expected


def test_the_first_field_that_can_be_used_counts() -> None:
    settings = RateLimitedBackOff((("a", SECONDS), ("b", SECONDS)))
    assert reset_interval(((b"b", b"5"), (b"a", b"400"), (b"a", b"x")), settings, NOW) == 5.0
    assert reset_interval((), settings, NOW) is None


def test_retry_after_for_penalties_is_capped_instead() -> None:
    assert retry_after(((b"x", b"1"), (b"retry-after", b"4000")), NOW) == 300.0
    assert retry_after(((b"retry-after", b"never"),), NOW) is None
    assert retry_after((), NOW) is None
