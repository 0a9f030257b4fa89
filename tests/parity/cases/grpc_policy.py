"""Policies on calls, and what proxies answer to them (rows 3.14, 3.30 to 3.53)."""

from collections.abc import Sequence
from dataclasses import replace

from tests.parity.ask import Ask
from tests.parity.call import FINE, GET, call, calling, failing, failing_late
from tests.parity.case import Case, Pod, pods
from tests.parity.script import HANG, REFUSE, RESET, Answer
from tests.parity.share import Shares
from tests.parity.step import Request, Step
from tests.parity.wait import Connections, Together, Until

_PLAIN = Request(GET, version="2")


def _case(
    name: str,
    row: str,
    policy: str,
    *steps: Step,
    a: Sequence[Pod] = pods(FINE),
    exercises: tuple[str, ...] = (),
    kind: str = "TrafficPolicy",
) -> Case:
    resources = f"kind: {kind}\nspec: {{{policy}}}\n" if policy else ""
    settings = tuple(f"{kind} {one}" for one in exercises)
    return Case(name, ("3.14", row), settings, resources, steps, {"a": tuple(a)}, protocol="grpc")


# --- faults and rates ---------------------------------------------------------------------------------------

_OF_HTTP = {400: 13, 401: 16, 403: 7, 404: 12, 408: 2, 429: 14, 500: 2, 502: 14, 503: 14, 504: 14}
"""gRPC's "HTTP to gRPC Status Code Mapping"."""

_FAULTS = (
    *(
        _case(
            f"grpc-fault-{status}",
            "3.42",
            f"abort: {{grpcStatus: {status}}}",
            call(GET, status),
            kind="FaultPolicy",
            exercises=("abort.grpcStatus",),
        )
        for status in (5, 8, 14)
    ),
    *(
        _case(
            f"grpc-fault-of-http-{status}",
            "3.42",
            f"abort: {{httpStatus: {status}}}",
            call(GET, becomes),
            kind="FaultPolicy",
            exercises=("abort.httpStatus",),
        )
        for status, becomes in _OF_HTTP.items()
    ),
)

_DELAY = _case(
    "grpc-fault-delay-then-status",
    "3.42",
    "delay: {fixed: 200ms}, abort: {grpcStatus: 10}, headers: [{name: x-break, value: 'yes'}]",
    call(GET, 10, metadata=(("x-break", "yes"),), at_least=0.2),
    call(GET, 0, "a"),
    Ask(replace(_PLAIN, headers=(("x-break", "yes"),)), 409, forwarded=(), at_least=0.2),
    kind="FaultPolicy",
    exercises=("delay", "abort.grpcStatus", "headers"),
)

_RATE = _case(
    "grpc-rate-limit",
    "3.50",
    "total: {requests: 2, unit: 1h}",
    Ask(calling(), headers={"x-ratelimit-remaining": "1"}, grpc=0),
    Ask(calling(), headers={"x-ratelimit-remaining": "0"}, grpc=0),
    call(GET, 14, headers={"x-ratelimit-remaining": "0"}),
    a=(Pod((FINE,), where="meshed"),),
    kind="RateLimitPolicy",
    exercises=("total",),
)

# --- retries ------------------------------------------------------------------------------------------------

_RETRIED = {
    "cancelled": 1,
    "deadline-exceeded": 4,
    "resource-exhausted": 8,
    "internal": 13,
    "unavailable": 14,
}


def _retry(name: str, condition: str, *script: Answer, asked: Ask) -> Case:
    policy = f"retry: {{attempts: 2, retryOn: [{condition}], backoff: {{base: 1ms}}}}"
    return _case(name, "3.35", policy, asked, a=pods(script), exercises=("retry.retryOn",))


_RETRIES = (
    *(
        _retry(f"grpc-retry-{name}", name, failing(status), FINE, asked=call(attempts=2))
        for name, status in _RETRIED.items()
    ),
    _case(
        "grpc-retry-at-another-endpoint",
        "3.39",
        "retry: {attempts: 3, retryOn: [unavailable], otherHosts: true, backoff: {base: 1ms}}",
        Shares(calling(), 20, {"200": 1.0}, "status", drawn=False),
        a=pods(failing(14), FINE),
        exercises=("retry.otherHosts",),
    ),
    _retry("grpc-retry-limit", "unavailable", failing(14), asked=call(GET, 14, attempts=3)),
    _retry("grpc-retry-no-other-status", "unavailable", failing(5), FINE, asked=call(GET, 5, attempts=1)),
    _retry(
        "grpc-retry-never-after-a-message",
        "unavailable",
        failing_late(14),
        FINE,
        asked=call(GET, 14, attempts=1),
    ),
    _retry("grpc-retry-refused-stream", "refused-stream", REFUSE, FINE, asked=call(attempts=2)),
    _retry(
        "grpc-retry-never-of-http-503",
        "gateway-error",
        Answer(503),
        FINE,
        asked=Ask(calling(), 503, attempts=1),
    ),
)

# --- time ---------------------------------------------------------------------------------------------------

_TIMES = (
    _case(
        "grpc-timeout",
        "3.30",
        "",
        call(GET, 4, metadata=(("grpc-timeout", "200m"),), attempts=1, at_least=0.2),
        call(GET, 4, metadata=(("grpc-timeout", "200000u"),), attempts=1, at_least=0.2),
        a=pods(HANG),
    ),
    _case(
        "grpc-timeout-that-is-enough",
        "3.30",
        "",
        call(GET, 0, "a", metadata=(("grpc-timeout", "10S"),)),
        call(GET, 0, "a", metadata=(("grpc-timeout", "1H"),)),
    ),
    _case(
        "grpc-timeout-that-is-none",
        "3.30",
        "",
        *(call(GET, 0, "a", metadata=(("grpc-timeout", text),)) for text in ("soon", "5", "5X", "S")),
    ),
    _case(
        "grpc-timeout-to-a-pod",
        "3.30",
        "",
        call(GET, 4, metadata=(("grpc-timeout", "300m"),), attempts=1, at_least=0.29),
        a=(Pod((HANG,), where="meshed"),),
    ),
    _case(
        "grpc-timeout-of-a-policy",
        "3.30",
        "timeouts: {request: 200ms}",
        call(GET, 14, attempts=1, at_least=0.2),
        call(GET, 14, metadata=(("grpc-timeout", "10S"),), attempts=1, at_least=0.2),
        a=pods(HANG),
        exercises=("timeouts.request",),
    ),
    _case(
        "grpc-timeout-of-a-try",
        "3.31",
        "timeouts: {perTry: 200ms}, retry: {attempts: 0}",
        call(GET, 14, attempts=1, at_least=0.2),
        a=pods(HANG),
        exercises=("timeouts.perTry",),
    ),
    _case(
        "grpc-stream-idle",
        "3.32",
        "timeouts: {streamIdle: 200ms}",
        call(GET, 14, attempts=1, at_least=0.2),
        a=pods(HANG),
        exercises=("timeouts.streamIdle",),
    ),
)

# --- servers that fail --------------------------------------------------------------------------------------

_NO_RETRY = "retry: {attempts: 0}"
_FAILURES = (
    _case("grpc-no-endpoints", "3.53", "", call(GET, 14), a=()),
    _case(
        "grpc-connect-failure",
        "3.53",
        _NO_RETRY,
        call(GET, 14),
        a=(Pod(where="refusing"),),
        exercises=("retry.attempts",),
    ),
    _case(
        "grpc-stream-reset",
        "3.53",
        _NO_RETRY,
        call(GET, 14, attempts=1),
        a=pods(RESET),
        exercises=("retry.attempts",),
    ),
    _case(
        "grpc-stream-refused",
        "3.53",
        _NO_RETRY,
        call(GET, 14, attempts=1),
        a=pods(REFUSE),
        exercises=("retry.attempts",),
    ),
    _case(
        "grpc-stream-reset-in-the-answer",
        "3.53",
        "",
        Ask(calling(), 0, attempts=1),
        a=pods(Answer(200, FINE.headers, FINE.body, "cut")),
    ),
    _case(
        "grpc-answer-without-grpc",
        "3.53",
        _NO_RETRY,
        Ask(calling(), 503, attempts=1),
        a=pods(Answer(503, body="no")),
        exercises=("retry.attempts",),
    ),
    _case("grpc-status-passes", "3.53", "", call(GET, 9, "a"), a=pods(failing(9, "100%25"))),
)

_LIMITS = (
    _case(
        "grpc-limit-of-requests",
        "3.43",
        f"{_NO_RETRY}, limits: {{maxRequests: 2}}",
        Together(
            calling("/shop.v1.Cart/hold"),
            2,
            {200: 2},
            meanwhile=(call(GET, 14, headers={"x-envoy-overloaded": "true"}),),
        ),
        a=pods(Answer(200, FINE.headers, FINE.body, "hold", FINE.trailers)),
        exercises=("limits.maxRequests",),
    ),
    _case(
        "grpc-calls-share-a-connection",
        "3.66",
        "",
        Shares(calling(), 20, {"a": 1.0}, drawn=False, per_connection=True),
        Connections(1, 1),
    ),
    _case(
        "grpc-limit-of-requests-per-connection",
        "3.66",
        "limits: {maxRequestsPerConnection: 3}",
        Shares(calling(), 9, {"a": 1.0}, drawn=False),
        Connections(3, 0),
        exercises=("limits.maxRequestsPerConnection",),
    ),
)

_SERVING, _NOT_SERVING = (
    Answer(200, FINE.headers, f"\0\0\0\0\2\10{chr(status)}", trailers=(("grpc-status", "0"),))
    for status in (1, 2)
)
"""`grpc.health.v1.HealthCheckResponse`."""


def _health(name: str, bad: Answer) -> Case:
    check = (
        "healthCheck: {grpc: {}, interval: 100ms, timeout: 1s, unhealthyThreshold: 1, healthyThreshold: 1, "
        "noTrafficInterval: 100ms}"
    )
    return _case(
        name,
        "3.48",
        f"{_NO_RETRY}, {check}",
        Until(Shares(calling(), 20, {"a1": 1.0}, "endpoint", drawn=False)),
        a=pods(bad, _SERVING),
        exercises=("healthCheck.grpc",),
    )


_HEALTH = (
    _health("grpc-health-check", _NOT_SERVING),
    _health("grpc-health-check-not-implemented", failing(12)),
    _health("grpc-health-check-answered-without-grpc", Answer(200)),
)


def _outlier(name: str, bad: Answer) -> Case:
    return _case(
        name,
        "3.44",
        f"{_NO_RETRY}, outlierDetection: {{baseEjectionTime: 1m, interval: 100ms, consecutive5xx: 3, "
        "maxEjectionPercent: 50}",
        Until(Shares(calling(), 20, {"a1": 0.5, "a2": 0.5}, "endpoint", drawn=False)),
        a=pods(bad, FINE, FINE),
        exercises=("outlierDetection.consecutive5xx",),
    )


_OUTLIERS = (
    _outlier("grpc-outlier-by-status", failing(14)),
    _case(
        "grpc-outlier-not-of-clients-mistakes",
        "3.44",
        f"{_NO_RETRY}, outlierDetection: {{baseEjectionTime: 1m, consecutive5xx: 3, maxEjectionPercent: 50}}",
        Shares(calling(), 30, {"a1": 1 / 3, "a2": 1 / 3, "a": 1 / 3}, "endpoint", drawn=False),
        a=pods(failing(3), FINE, FINE),
        exercises=("outlierDetection.consecutive5xx",),
    ),
)

CASES = (*_FAULTS, _DELAY, _RATE, *_RETRIES, *_TIMES, *_FAILURES, *_LIMITS, *_HEALTH, *_OUTLIERS)
