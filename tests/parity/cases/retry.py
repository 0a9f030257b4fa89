"""Retries: when, how often, where to, and when never (rows 3.35 to 3.41)."""

from collections.abc import Sequence

from tests.parity.ask import Ask, Forwarded
from tests.parity.case import ONE, Case, Pod, pods
from tests.parity.script import OK, RESET, Answer
from tests.parity.step import Request

_CODE_503 = Answer(503)


def _policy(
    name: str,
    retry: str,
    *scripts: Answer | Sequence[Answer],
    asked: Sequence[Ask],
    rows: tuple[str, ...] = ("3.35",),
    exercises: str = "retryOn",
) -> Case:
    return Case(
        name,
        rows,
        (f"TrafficPolicy retry.{exercises}",),
        f"""
        kind: TrafficPolicy
        spec:
          retry: {{backoff: {{base: 1ms}}, {retry}}}
          outlierDetection: {{consecutive5xx: 1000}}
        """,
        tuple(asked),
        {"a": pods(*scripts)},
    )


def _get(status: int, attempts: int) -> list[Ask]:
    return [Ask(Request("/"), status, attempts=attempts)]


def _post(status: int, attempts: int) -> list[Ask]:
    return [Ask(Request("/", "POST", body=b"x"), status, attempts=attempts)]


_CONDITIONS = (
    _policy("retry-5xx", "attempts: 2, retryOn: [5xx]", (Answer(500), Answer(501), OK), asked=_get(200, 3)),
    _policy("retry-5xx-after-reset", "attempts: 2, retryOn: [5xx]", (RESET, OK), asked=_get(200, 2)),
    _policy("retry-5xx-not-4xx", "attempts: 2, retryOn: [5xx]", Answer(404), asked=_get(404, 1)),
    _policy("retry-limit", "attempts: 2, retryOn: [5xx]", _CODE_503, asked=_get(503, 3)),
    _policy("retry-none", "attempts: 0", (_CODE_503, OK), asked=_get(503, 1), exercises="attempts"),
    _policy(
        "retry-gateway-error",
        "attempts: 3, retryOn: [gateway-error]",
        (Answer(502), _CODE_503, Answer(504), OK),
        asked=_get(200, 4),
    ),
    _policy(
        "retry-gateway-error-not-500",
        "attempts: 2, retryOn: [gateway-error]",
        (Answer(500), OK),
        asked=_get(500, 1),
    ),
    _policy("retry-reset", "attempts: 2, retryOn: [reset]", (RESET, OK), asked=_get(200, 2)),
    _policy("retry-reset-never-a-post", "attempts: 2, retryOn: [reset]", (RESET, OK), asked=_post(503, 1)),
    _policy(
        "retry-reset-not-an-answer", "attempts: 2, retryOn: [reset]", (_CODE_503, OK), asked=_get(503, 1)
    ),
    _policy("retry-by-default", "attempts: 2", (RESET, OK), asked=_get(200, 2), exercises="attempts"),
    _policy(
        "retry-ratelimited",
        "attempts: 2, retryOn: [envoy-ratelimited]",
        (Answer(429, (("x-envoy-ratelimited", "true"),)), OK),
        asked=_get(200, 2),
    ),
    _policy(
        "retry-ratelimited-needs-its-header",
        "attempts: 2, retryOn: [envoy-ratelimited]",
        (Answer(429), OK),
        asked=_get(429, 1),
    ),
    _policy(
        "retry-retriable-4xx", "attempts: 2, retryOn: [retriable-4xx]", (Answer(409), OK), asked=_get(200, 2)
    ),
    _policy(
        "retry-retriable-4xx-only-409",
        "attempts: 2, retryOn: [retriable-4xx]",
        (Answer(404), OK),
        asked=_get(404, 1),
    ),
    _policy(
        "retry-codes",
        "attempts: 2, codes: [418, 503]",
        (Answer(418), _CODE_503, OK),
        asked=_get(200, 3),
        exercises="codes",
    ),
    _policy(
        "retry-codes-no-others",
        "attempts: 2, codes: [418]",
        (_CODE_503, OK),
        asked=_get(503, 1),
        exercises="codes",
    ),
    _policy(
        "retry-headers",
        "attempts: 3, headers: [{name: x-again, type: Present}, {name: x-mood, value: bad}]",
        (Answer(200, (("x-again", ""),)), Answer(200, (("X-Mood", "bad"),)), OK),
        asked=_get(200, 3),
        exercises="headers",
    ),
    _policy(
        "retry-counts-attempts",
        "attempts: 2, retryOn: [5xx], attemptCount: true",
        (Answer(500), OK),
        asked=[
            Ask(
                Request("/"),
                headers={"x-envoy-attempt-count": "2"},
                forwarded=(
                    Forwarded("a", headers={"x-envoy-attempt-count": "1"}),
                    Forwarded("a", headers={"x-envoy-attempt-count": "2"}),
                ),
            )
        ],
        rows=("3.41",),
        exercises="attemptCount",
    ),
    _policy(
        "retry-headers-no-others",
        "attempts: 2, headers: [{name: x-mood, value: bad}]",
        (Answer(200, (("x-mood", "good"),)), OK),
        asked=_get(200, 1),
        exercises="headers",
    ),
)

_POST = Case(
    "retry-of-a-post-that-was-answered",
    ("3.35",),
    ("TrafficPolicy retry.retryOn",),
    """
    kind: TrafficPolicy
    spec: {retry: {attempts: 2, retryOn: [5xx], backoff: {base: 1ms}}}
    """,
    tuple(_post(500, 1)),
    {"a": pods((Answer(500), OK))},
)

_CONNECT_FAILURE = Case(
    "retry-connect-failure",
    ("3.35", "3.39"),
    ("TrafficPolicy retry.retryOn",),
    """
    kind: TrafficPolicy
    spec: {retry: {attempts: 2, retryOn: [connect-failure], backoff: {base: 1ms}}}
    """,
    tuple(Ask(Request("/", "POST", body=b"x"), forwarded=(Forwarded("a"),)) for _ in range(4)),
    {"a": (*ONE, Pod(where="refusing"))},
)

_OF_A_RULE = Case(
    "retry-of-a-rule",
    ("3.35",),
    ("HTTPRoute rules[].retry.codes", "HTTPRoute rules[].retry.attempts", "HTTPRoute rules[].retry.backoff"),
    """
    kind: HTTPRoute
    spec:
      rules:
      - retry: {codes: [500, 418], attempts: 2, backoff: 1ms}
        backendRefs: [{name: $a, port: 8080}]
    """,
    (Ask(Request("/"), 200, attempts=3), Ask(Request("/"), 503, attempts=1)),
    {"a": pods((Answer(500), Answer(418), OK, _CODE_503))},
)

_NONE_IN_A_RULE = Case(
    "retry-of-a-rule-switched-off",
    ("3.35",),
    ("HTTPRoute rules[].retry.attempts",),
    """
    kind: TrafficPolicy
    spec: {retry: {attempts: 3, retryOn: [5xx], backoff: {base: 1ms}}}
    ---
    kind: HTTPRoute
    spec:
      rules:
      - matches: [{path: {value: /never}}]
        retry: {attempts: 0}
        backendRefs: [{name: $a, port: 8080}]
      - backendRefs: [{name: $a, port: 8080}]
    """,
    (Ask(Request("/never"), 503, attempts=1), Ask(Request("/"), 200, attempts=3)),
    {"a": pods((_CODE_503, _CODE_503, _CODE_503, OK))},
)

_RETRY_AFTER = Case(
    "retry-after-is-respected",
    ("3.36",),
    ("TrafficPolicy retry.respectRetryAfter",),
    """
    kind: TrafficPolicy
    spec: {retry: {attempts: 1, codes: [503], respectRetryAfter: true, backoff: {base: 1ms}}}
    """,
    (Ask(Request("/"), 200, attempts=2, at_least=1.0),),
    {"a": pods((Answer(503, (("Retry-After", "1"),)), OK))},
)

_BUDGET = Case(
    "retry-budget-of-nothing",
    ("3.37",),
    ("TrafficPolicy retry.budget",),
    """
    kind: TrafficPolicy
    spec:
      retry: {attempts: 3, retryOn: [5xx], backoff: {base: 1ms}, budget: {percent: 0, minPerSecond: 0}}
    """,
    (Ask(Request("/"), 503, attempts=1),),
    {"a": pods(_CODE_503)},
)

_MAX_RETRIES = Case(
    "retry-limit-of-the-service",
    ("3.37", "3.43"),
    ("TrafficPolicy limits.maxRetries",),
    """
    kind: TrafficPolicy
    spec:
      retry: {attempts: 3, retryOn: [5xx], backoff: {base: 1ms}}
      limits: {maxRetries: 0}
    """,
    (Ask(Request("/"), 503, attempts=1),),
    {"a": pods(_CODE_503)},
)

_BODY = Case(
    "retry-of-bodies",
    ("3.38",),
    ("TrafficPolicy retry.retryOn",),
    """
    kind: TrafficPolicy
    spec: {retry: {attempts: 2, retryOn: [5xx], backoff: {base: 1ms}}}
    """,
    (
        Ask(Request("/", "PUT", body=b"x" * 60_000), 200, attempts=2),
        Ask(Request("/", "PUT", body=b"x" * 70_000), 503, attempts=1),
    ),
    {"a": pods((_CODE_503, OK, _CODE_503, OK))},
)

_OTHER_HOST = Case(
    "retry-at-another-endpoint",
    ("3.39",),
    ("TrafficPolicy retry.otherHosts",),
    """
    kind: TrafficPolicy
    spec:
      retry: {attempts: 1, retryOn: [5xx], otherHosts: true, backoff: {base: 1ms}}
      outlierDetection: {consecutive5xx: 1000}
    """,
    tuple(Ask(Request("/"), 200) for _ in range(12)),
    {"a": pods(_CODE_503, OK, OK)},
)

CASES = (
    *_CONDITIONS,
    _POST,
    _CONNECT_FAILURE,
    _OF_A_RULE,
    _NONE_IN_A_RULE,
    _RETRY_AFTER,
    _BUDGET,
    _MAX_RETRIES,
    _BODY,
    _OTHER_HOST,
)
