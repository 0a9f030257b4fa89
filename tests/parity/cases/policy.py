"""Faults on purpose and rate limits (rows 3.42, 3.50)."""

from tests.parity.ask import Ask, Forwarded, ask
from tests.parity.case import Case, Pod
from tests.parity.share import Shares
from tests.parity.step import Delete, Request, Step

_GET = Request("/")


def _fault(name: str, spec: str, *steps: Step, exercises: tuple[str, ...]) -> Case:
    return Case(
        name,
        ("3.42",),
        tuple(f"FaultPolicy {one}" for one in exercises),
        f"""
        kind: FaultPolicy
        spec: {{{spec}}}
        """,
        steps,
    )


_FAULTS = (
    _fault(
        "fault-abort",
        "abort: {httpStatus: 418}",
        ask("/", 418),
        Ask(_GET, 418, forwarded=()),
        Delete("FaultPolicy", "fault-abort"),
        ask("/", at="a"),
        exercises=("abort.httpStatus",),
    ),
    _fault(
        "fault-abort-share",
        "abort: {httpStatus: 503, percent: 30}",
        Shares(_GET, 500, {"503": 0.3, "200": 0.7}, "status"),
        exercises=("abort.percent",),
    ),
    _fault(
        "fault-delay",
        "delay: {fixed: 200ms}",
        Ask(_GET, forwarded=(Forwarded("a"),), at_least=0.2),
        exercises=("delay.fixed",),
    ),
    _fault(
        "fault-delay-then-abort",
        "delay: {fixed: 200ms}, abort: {httpStatus: 500}",
        Ask(_GET, 500, forwarded=(), at_least=0.2),
        exercises=("delay", "abort"),
    ),
    _fault(
        "fault-for-some-requests",
        "abort: {httpStatus: 418}, headers: [{name: x-break, value: 'yes'}, {name: x-too, type: Present}]",
        ask("/", at="a"),
        ask("/", at="a", headers=(("x-break", "yes"),)),
        ask("/", at="a", headers=(("x-break", "no"), ("x-too", ""))),
        Ask(Request("/", headers=(("x-break", "yes"), ("x-too", "1"))), 418, forwarded=()),
        exercises=("headers",),
    ),
)

_FAULT_OF_A_RULE = Case(
    "fault-of-one-rule",
    ("3.42",),
    ("FaultPolicy abort.httpStatus",),
    """
    kind: HTTPRoute
    spec:
      rules:
      - name: broken
        matches: [{path: {value: /broken}}]
        backendRefs: [{name: $a, port: 8080}]
      - backendRefs: [{name: $a, port: 8080}]
    ---
    kind: FaultPolicy
    target: {group: gateway.networking.k8s.io, kind: HTTPRoute, name: $case, sectionName: broken}
    spec: {abort: {httpStatus: 418}}
    """,
    (Ask(Request("/broken"), 418, forwarded=()), ask("/", at="a")),
)


def _rate(name: str, spec: str, *steps: Step, exercises: tuple[str, ...]) -> Case:
    return Case(
        name,
        ("3.50",),
        tuple(f"RateLimitPolicy {one}" for one in exercises),
        f"""
        kind: RateLimitPolicy
        spec: {{{spec}}}
        """,
        steps,
        {"a": (Pod(where="meshed"),)},
    )


def _user(name: str) -> Request:
    return Request("/", headers=(("x-user", name),))


_RATES = (
    _rate(
        "rate-limit-total",
        "total: {requests: 3, unit: 1h}",
        Ask(_GET, 200, {"x-ratelimit-limit": "~3.*", "x-ratelimit-remaining": "2"}),
        ask("/", 200),
        ask("/", 200),
        Ask(_GET, 429, {"retry-after": "~[0-9]+", "x-ratelimit-remaining": "0"}, ()),
        exercises=("total",),
    ),
    _rate(
        "rate-limit-by-header",
        "perKey: [{requests: 2, unit: 1h, header: {name: x-user}}]",
        *(Ask(_user("one"), status) for status in (200, 200, 429)),
        *(Ask(_user("two"), status) for status in (200, 200, 429)),
        ask("/", 200),
        ask("/", 200),
        ask("/", 200),
        exercises=("perKey[].header",),
    ),
    _rate(
        "rate-limit-of-one-value",
        "perKey: [{requests: 1, unit: 1h, header: {name: x-user, value: free}}]",
        *(Ask(_user("free"), status) for status in (200, 429)),
        *(Ask(_user("paying"), status) for status in (200, 200)),
        exercises=("perKey[].header.value",),
    ),
    _rate(
        "rate-limit-by-identity",
        "perKey: [{requests: 2, unit: 1h, clientIdentity: true}]",
        *(ask("/", status) for status in (200, 200, 429)),
        exercises=("perKey[].clientIdentity",),
    ),
    _rate(
        "rate-limit-total-and-by-header",
        "total: {requests: 3, unit: 1m}, perKey: [{requests: 2, unit: 1h, header: {name: x-user}}]",
        *(Ask(_user("one"), status) for status in (200, 200, 429)),
        *(Ask(_user("two"), status) for status in (200, 429)),
        exercises=("total", "perKey"),
    ),
    _rate(
        "rate-limit-silent",
        "total: {requests: 1, unit: 1h}, headers: false",
        Ask(_GET, 200, {"x-ratelimit-limit": None}),
        Ask(_GET, 429, {"x-ratelimit-limit": None}, ()),
        exercises=("headers",),
    ),
    _rate(
        "rate-limit-burst",
        "total: {requests: 1, unit: 1h, burst: 4}",
        *(ask("/", status) for status in (200, 200, 200, 200, 429)),
        exercises=("total.burst",),
    ),
)

CASES = (*_FAULTS, _FAULT_OF_A_RULE, *_RATES)
