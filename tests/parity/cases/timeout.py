"""Timeouts (rows 3.30 to 3.34)."""

from tests.parity.ask import Ask, Forwarded
from tests.parity.case import ONE, Case, Pod, pods
from tests.parity.script import HANG, OK, TRICKLE
from tests.parity.step import Request

_REQUEST = Case(
    "timeout-of-a-rule",
    ("3.30",),
    ("HTTPRoute rules[].timeouts.request",),
    """
    kind: HTTPRoute
    spec:
      rules:
      - timeouts: {request: 100ms}
        backendRefs: [{name: $a, port: 8080}]
    """,
    (Ask(Request("/"), 504, at_least=0.1, attempts=1), Ask(Request("/", "POST", body=b"x"), 504, attempts=1)),
    {"a": pods(HANG)},
)

_REQUEST_WITH_RETRIES = Case(
    "timeout-includes-retries",
    ("3.30", "3.31"),
    ("TrafficPolicy timeouts.request", "TrafficPolicy timeouts.perTry"),
    """
    kind: TrafficPolicy
    spec:
      timeouts: {request: 350ms, perTry: 200ms}
      retry: {attempts: 5, retryOn: [gateway-error], backoff: {base: 1ms}}
    """,
    (Ask(Request("/"), 504, at_least=0.35, attempts=2),),
    {"a": pods(HANG)},
)

_PER_TRY = Case(
    "timeout-of-a-try",
    ("3.31",),
    ("HTTPRoute rules[].timeouts.backendRequest",),
    """
    kind: HTTPRoute
    spec:
      rules:
      - timeouts: {backendRequest: 100ms}
        retry: {codes: [504], attempts: 2, backoff: 1ms}
        backendRefs: [{name: $a, port: 8080}]
    """,
    (Ask(Request("/"), 200, attempts=2, at_least=0.1),),
    {"a": pods((HANG, OK))},
)

_POLICY = Case(
    "timeout-of-a-policy",
    ("3.30",),
    ("TrafficPolicy timeouts.request",),
    """
    kind: TrafficPolicy
    spec: {timeouts: {request: 100ms}}
    """,
    (Ask(Request("/"), 504, at_least=0.1, attempts=1),),
    {"a": pods(HANG)},
)

_POLICY_PER_TRY = Case(
    "timeout-of-a-try-by-policy",
    ("3.31",),
    ("TrafficPolicy timeouts.perTry", "TrafficPolicy retry.retryOn"),
    """
    kind: TrafficPolicy
    spec:
      timeouts: {request: 10s, perTry: 100ms}
      retry: {attempts: 1, retryOn: [gateway-error], backoff: {base: 1ms}}
    """,
    (Ask(Request("/"), 200, attempts=2, at_least=0.1),),
    {"a": pods((HANG, OK))},
)

_ROUTE_POLICY = Case(
    "timeout-of-a-route-before-that-of-its-service",
    ("3.30",),
    ("TrafficPolicy timeouts.request",),
    """
    kind: TrafficPolicy
    spec: {timeouts: {request: 10s}}
    ---
    kind: HTTPRoute
    spec:
      rules:
      - backendRefs: [{name: $a, port: 8080}]
    ---
    kind: TrafficPolicy
    name: $case-route
    target: {group: gateway.networking.k8s.io, kind: HTTPRoute, name: $case}
    spec: {timeouts: {request: 100ms}}
    """,
    (Ask(Request("/"), 504, at_least=0.1, attempts=1),),
    {"a": pods(HANG)},
)

_STREAM_IDLE = Case(
    "stream-idle-before-the-answer",
    ("3.32",),
    ("TrafficPolicy timeouts.streamIdle",),
    """
    kind: TrafficPolicy
    spec: {timeouts: {streamIdle: 200ms, request: 0s}}
    """,
    (Ask(Request("/"), 504, at_least=0.2, attempts=1),),
    {"a": pods(HANG)},
)

_STREAM_IDLE_IN_BODY = Case(
    "stream-idle-in-the-answer",
    ("3.32",),
    ("TrafficPolicy timeouts.streamIdle",),
    """
    kind: TrafficPolicy
    spec: {timeouts: {streamIdle: 200ms, request: 0s}}
    """,
    (Ask(Request("/"), 0, at_least=0.2, attempts=1),),
    {"a": pods(TRICKLE)},
)

_CONNECT = Case(
    "connect-timeout",
    ("3.33",),
    ("TrafficPolicy timeouts.connect",),
    """
    kind: TrafficPolicy
    spec:
      timeouts: {connect: 200ms}
      retry: {attempts: 0}
    """,
    (Ask(Request("/"), 503, at_least=0.2),),
    {"a": (Pod(where="blackhole"),)},
)

_CONNECT_ELSEWHERE = Case(
    "connect-timeout-then-another-endpoint",
    ("3.33", "3.39"),
    ("TrafficPolicy timeouts.connect",),
    """
    kind: TrafficPolicy
    spec:
      timeouts: {connect: 100ms}
      retry: {attempts: 2, backoff: {base: 1ms}}
    """,
    (*(Ask(Request("/", "POST", body=b"x"), forwarded=(Forwarded("a"),)) for _ in range(4)),),
    {"a": (*ONE, Pod(where="blackhole"))},
)


CASES = (
    _REQUEST,
    _REQUEST_WITH_RETRIES,
    _PER_TRY,
    _POLICY,
    _POLICY_PER_TRY,
    _ROUTE_POLICY,
    _STREAM_IDLE,
    _STREAM_IDLE_IN_BODY,
    _CONNECT,
    _CONNECT_ELSEWHERE,
)
