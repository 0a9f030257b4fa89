"""Which failures are tried again, for which methods, how often."""

from random import Random

import pytest

from meshproxy.config.retry import RetrySettings
from meshproxy.errors import ConfigError
from meshproxy.policy.retry import AttemptFailure, RetryPolicy, RetryState, RetryVerdict

MESH_DEFAULT = frozenset({"connect-failure", "refused-stream", "reset"})
CONNECT, REFUSED = AttemptFailure.CONNECT_FAILURE, AttemptFailure.REFUSED
UNSENT, UNANSWERED = AttemptFailure.RESET_BEFORE_REQUEST, AttemptFailure.RESET_BEFORE_RESPONSE


def _state(
    retry_on: frozenset[str] = MESH_DEFAULT, *, num_retries: int = 2, method: bytes = b"GET"
) -> RetryState:
    return RetryState(RetryPolicy(RetrySettings(retry_on, num_retries)), method)


def _decide(
    state: RetryState, failure: AttemptFailure, *, started: bool = False, replayable: bool = True
) -> RetryVerdict:
    return state.decide(failure, response_started=started, body_replayable=replayable)


@pytest.mark.parametrize(
    ("condition", "selected"),
    [
        ("connect-failure", {CONNECT}),
        ("refused-stream", {REFUSED}),
        ("reset", set(AttemptFailure)),
        ("5xx", set(AttemptFailure)),
        ("gateway-error", set(AttemptFailure)),
        ("retriable-4xx", set()),
        ("retriable-status-codes", set()),
        ("envoy-ratelimited", set()),
        ("unavailable", set()),
        ("reset-before-request", {CONNECT, UNSENT}),
    ],
)
def test_each_condition_selects_its_failures(condition: str, selected: set[AttemptFailure]) -> None:
    granted = {
        failure
        for failure in AttemptFailure
        if _decide(_state(frozenset({condition})), failure) is RetryVerdict.RETRY
    }
    assert granted == selected


def test_a_failure_not_named_is_not_retried() -> None:
    assert _decide(_state(frozenset({"refused-stream"})), CONNECT) is RetryVerdict.NOT_SELECTED


@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE", b"TRACE"])
def test_an_idempotent_method_is_retried_after_a_reset(method: bytes) -> None:
    assert _decide(_state(method=method), UNANSWERED) is RetryVerdict.RETRY


@pytest.mark.parametrize("method", [b"POST", b"PATCH", b"CONNECT", b"get", b"WHATEVER"])
def test_any_other_method_is_retried_only_when_nothing_was_sent(method: bytes) -> None:
    assert _decide(_state(method=method), UNANSWERED) is RetryVerdict.NOT_IDEMPOTENT
    assert (
        _decide(_state(method=method), AttemptFailure.TIMEOUT_BEFORE_RESPONSE) is RetryVerdict.NOT_IDEMPOTENT
    )
    assert _decide(_state(method=method), UNSENT) is RetryVerdict.RETRY
    assert _decide(_state(method=method), CONNECT) is RetryVerdict.RETRY


def test_nothing_is_retried_after_the_response_started() -> None:
    assert _decide(_state(), UNANSWERED, started=True) is RetryVerdict.RESPONSE_STARTED


def test_nothing_is_retried_when_the_body_is_gone() -> None:
    assert _decide(_state(), CONNECT, replayable=False) is RetryVerdict.BODY_NOT_REPLAYABLE


def test_retries_are_counted_and_limited_and_refusals_are_not_counted() -> None:
    state = _state(num_retries=2)
    assert _decide(state, CONNECT, replayable=False) is not RetryVerdict.RETRY
    assert _decide(state, CONNECT) is RetryVerdict.RETRY
    assert _decide(state, UNANSWERED) is RetryVerdict.RETRY
    assert _decide(state, CONNECT) is RetryVerdict.LIMIT_REACHED
    assert state.retries == 2


def test_no_retries_means_none() -> None:
    assert _decide(_state(num_retries=0), CONNECT) is RetryVerdict.LIMIT_REACHED


def test_the_delay_grows_with_the_retries() -> None:
    state, rng = _state(num_retries=2), Random(1)
    _decide(state, CONNECT)
    assert 0 <= state.delay(rng) < 0.025
    _decide(state, CONNECT)
    assert 0 <= state.delay(rng) < 0.075


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (RetrySettings(frozenset({"6xx", "reset"})), r"\['6xx'\]"),
        (RetrySettings(MESH_DEFAULT, -1), "num_retries -1"),
        (RetrySettings(MESH_DEFAULT, 1, 0.0), "backoff base"),
        (RetrySettings(MESH_DEFAULT, 1, 1.0, 0.5), "backoff cap"),
    ],
)
def test_senseless_settings_are_refused(settings: RetrySettings, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        RetryPolicy(settings)
