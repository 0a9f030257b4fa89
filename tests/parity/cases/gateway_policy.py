"""Policies of what a Gateway's routes lead to (row 3.21)."""

from tests.parity.ask import Ask
from tests.parity.case import Case, pods
from tests.parity.script import HANG, HOLD, OK, Answer
from tests.parity.share import Shares
from tests.parity.step import Request
from tests.parity.wait import Together, Until

_TIMEOUT = Case(
    "gateway-timeout-and-retry",
    ("3.21", "3.30", "3.35"),
    ("HTTPRoute rules[].timeouts.request", "TrafficPolicy retry.codes"),
    """
    kind: HTTPRoute
    spec:
      rules:
      - matches: [{path: {value: /slow}}]
        timeouts: {request: 100ms}
        backendRefs: [{name: $b, port: 8080}]
      - backendRefs: [{name: $a, port: 8080}]
    ---
    kind: TrafficPolicy
    target: {group: gateway.networking.k8s.io, kind: HTTPRoute, name: $case}
    spec: {retry: {attempts: 2, codes: [503], backoff: {base: 1ms}}}
    """,
    (
        Ask(Request("/"), 200, attempts=3),
        Ask(Request("/slow"), 504, at_least=0.1, attempts=1),
    ),
    {"a": pods((Answer(503), Answer(503), OK)), "b": pods(HANG)},
    at_gateway=True,
)

_FAULT = Case(
    "gateway-fault",
    ("3.21", "3.42"),
    ("FaultPolicy abort",),
    """
    kind: HTTPRoute
    spec: {rules: [{backendRefs: [{name: $a, port: 8080}]}]}
    ---
    kind: FaultPolicy
    target: {group: gateway.networking.k8s.io, kind: HTTPRoute, name: $case}
    spec: {abort: {httpStatus: 418}}
    """,
    (Ask(Request("/"), 418, forwarded=()),),
    at_gateway=True,
)

_LIMITED = Case(
    "gateway-limits-of-a-service",
    ("3.21", "3.43", "3.44"),
    ("TrafficPolicy limits.maxRequests", "TrafficPolicy outlierDetection.consecutive5xx"),
    """
    kind: HTTPRoute
    spec: {rules: [{backendRefs: [{name: $a, port: 8080}]}]}
    ---
    kind: TrafficPolicy
    spec:
      limits: {maxRequests: 1}
      outlierDetection: {consecutive5xx: 3, maxEjectionPercent: 50, baseEjectionTime: 1m}
    """,
    (
        Until(Shares(Request("/"), 20, {"200": 1.0}, "status", drawn=False)),
        Together(
            Request("/hold"),
            1,
            {200: 1},
            meanwhile=(Ask(Request("/"), 503, {"x-envoy-overloaded": "true"}, ()),),
        ),
    ),
    {"a": pods(Answer(500), HOLD)},
    at_gateway=True,
)

_RATE = Case(
    "gateway-rate-limit",
    ("3.21", "3.50"),
    ("RateLimitPolicy perKey[].header",),
    """
    kind: HTTPRoute
    spec: {rules: [{backendRefs: [{name: $a, port: 8080}]}]}
    ---
    kind: RateLimitPolicy
    target: {group: gateway.networking.k8s.io, kind: HTTPRoute, name: $case}
    spec:
      headers: false
      perKey: [{requests: 2, unit: 1h, header: {name: x-user}}]
    """,
    tuple(Ask(Request("/", headers=(("x-user", "me"),)), status) for status in (200, 200, 429)),
    at_gateway=True,
)

_SERVICE_POLICY = Case(
    "gateway-policy-of-the-service",
    ("3.21", "3.35"),
    ("TrafficPolicy retry.codes",),
    """
    kind: HTTPRoute
    spec: {rules: [{backendRefs: [{name: $a, port: 8080}]}]}
    ---
    kind: TrafficPolicy
    spec: {retry: {attempts: 2, codes: [503], backoff: {base: 1ms}}}
    """,
    (Ask(Request("/"), 200, attempts=3),),
    {"a": pods((Answer(503), Answer(503), OK))},
    at_gateway=True,
)

CASES = (_TIMEOUT, _FAULT, _LIMITED, _RATE, _SERVICE_POLICY)
