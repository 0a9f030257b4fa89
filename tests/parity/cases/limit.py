"""Limits of a Service, broken endpoints, health checks, panic (rows 3.43 to 3.48, 3.53)."""

from tests.parity.ask import Ask, ask
from tests.parity.case import ONE, Case, Pod, pods
from tests.parity.script import HOLD, OK, Answer
from tests.parity.share import Pause, Shares
from tests.parity.step import Request, SetReady, Step
from tests.parity.wait import Connections, Together, Until

_GET, _HELD = Request("/"), Request("/hold")
_BAD = Answer(500)
_OVERLOADED = Ask(_GET, 503, {"x-envoy-overloaded": "true"}, ())


def _limits(name: str, limits: str, step: Together) -> Case:
    return Case(
        name,
        ("3.43", "3.53"),
        tuple(f"TrafficPolicy limits.{part.split(':')[0].strip()}" for part in limits.split(",")),
        f"""
        kind: TrafficPolicy
        spec:
          retry: {{attempts: 0}}
          limits: {{{limits}}}
        """,
        (step, ask("/", 200, "a")),
        {"a": pods(HOLD)},
    )


_LIMITS = (
    _limits("limit-of-requests", "maxRequests: 2", Together(_HELD, 2, {200: 2}, meanwhile=(_OVERLOADED,))),
    _limits(
        "limit-of-connections-and-pending",
        "maxConnections: 1, maxPendingRequests: 1",
        Together(_HELD, 1, {200: 2, 503: 1}, sent=3),
    ),
)

_PER_CONNECTION = Case(
    "limit-of-requests-per-connection",
    ("3.43", "3.66"),
    ("TrafficPolicy limits.maxRequestsPerConnection",),
    """
    kind: TrafficPolicy
    spec: {limits: {maxRequestsPerConnection: 1}}
    """,
    (ask("/", at="a"), Shares(_GET, 9, {"a": 1.0}, drawn=False), Connections(10, 0)),
)


_PER_CONNECTION_OF_THREE = Case(
    "limit-of-three-requests-per-connection",
    ("3.66",),
    ("TrafficPolicy limits.maxRequestsPerConnection",),
    """
    kind: TrafficPolicy
    spec: {limits: {maxRequestsPerConnection: 3}}
    """,
    (Shares(_GET, 9, {"a": 1.0}, drawn=False), Connections(3, 0)),
)

_POOLED = Case(
    "connections-are-kept",
    ("3.66",),
    (),
    "",
    (Shares(_GET, 20, {"a": 1.0}, drawn=False, per_connection=True), Connections(1, 1)),
)

_IDLE = Case(
    "idle-connections-end",
    ("3.32", "3.66"),
    ("TrafficPolicy timeouts.connectionIdle",),
    """
    kind: TrafficPolicy
    spec: {timeouts: {connectionIdle: 200ms}}
    """,
    (ask("/", at="a"), Connections(1, 0), ask("/", at="a"), Connections(2, 0)),
)


def _outlier(name: str, row: str, setting: str, detection: str, *steps: Step, bad: Answer = _BAD) -> Case:
    return Case(
        name,
        (row,),
        (f"TrafficPolicy outlierDetection.{setting}",),
        f"""
        kind: TrafficPolicy
        spec:
          retry: {{attempts: 0}}
          outlierDetection: {{baseEjectionTime: 1m, interval: 100ms, {detection}}}
        """,
        steps,
        {"a": pods(bad, OK, OK)},
    )


_UNTIL_EJECTED = Until(Shares(_GET, 20, {"200": 1.0}, "status", drawn=False))
_EJECTED = Shares(_GET, 60, {"a1": 0.5, "a2": 0.5}, "endpoint", drawn=False)

_OUTLIERS = (
    _outlier(
        "outlier-consecutive-5xx",
        "3.44",
        "consecutive5xx",
        "consecutive5xx: 3, maxEjectionPercent: 50",
        _UNTIL_EJECTED,
        _EJECTED,
    ),
    _outlier(
        "outlier-gateway-failures",
        "3.45",
        "consecutiveGatewayFailure",
        "consecutive5xx: 1000, consecutiveGatewayFailure: 2, maxEjectionPercent: 50",
        _UNTIL_EJECTED,
        _EJECTED,
        bad=Answer(503),
    ),
    _outlier(
        "outlier-gateway-failures-not-500",
        "3.45",
        "consecutiveGatewayFailure",
        "consecutive5xx: 1000, consecutiveGatewayFailure: 2, maxEjectionPercent: 50",
        Shares(_GET, 60, {"200": 2 / 3, "500": 1 / 3}, "status", drawn=False),
    ),
    _outlier(
        "outlier-failure-percentage",
        "3.45",
        "failurePercentage",
        "consecutive5xx: 1000, failurePercentage: {threshold: 50, minimumHosts: 3, requestVolume: 5}, "
        "maxEjectionPercent: 50",
        _UNTIL_EJECTED,
        _EJECTED,
    ),
    _outlier(
        "outlier-success-rate",
        "3.45",
        "successRate",
        "consecutive5xx: 1000, successRate: {minimumHosts: 3, requestVolume: 5, stdevFactor: 1.0}, "
        "maxEjectionPercent: 50",
        _UNTIL_EJECTED,
        _EJECTED,
    ),
    _outlier(
        "outlier-never-more-than-allowed",
        "3.44",
        "maxEjectionPercent",
        "consecutive5xx: 3, maxEjectionPercent: 0, alwaysEjectOneHost: false",
        Shares(_GET, 60, {"200": 2 / 3, "500": 1 / 3}, "status", drawn=False),
    ),
)

_EJECTED_FOR_A_TIME = Case(
    "outlier-comes-back",
    ("3.44",),
    ("TrafficPolicy outlierDetection.baseEjectionTime",),
    """
    kind: TrafficPolicy
    spec:
      retry: {attempts: 0}
      outlierDetection:
        baseEjectionTime: 1s
        maxEjectionTime: 1s
        maxEjectionTimeJitter: 0s
        interval: 100ms
        consecutive5xx: 3
    """,
    (Pause(_GET, "a"), Until(Shares(_GET, 20, {"a": 0.5, "a1": 0.5}, "endpoint", drawn=False))),
    {"a": pods(_BAD, OK)},
)

_LOCAL_ORIGIN = Case(
    "outlier-local-origin",
    ("3.45",),
    ("TrafficPolicy outlierDetection.consecutiveLocalOriginFailure",),
    """
    kind: TrafficPolicy
    spec:
      retry: {attempts: 0}
      outlierDetection:
        baseEjectionTime: 1m
        consecutive5xx: 1000
        splitExternalLocalOriginErrors: true
        consecutiveLocalOriginFailure: 2
        enforcingConsecutiveLocalOriginFailure: 100
    """,
    (_UNTIL_EJECTED,),
    {"a": (*ONE, Pod(where="refusing"))},
)

_BREAKER = Case(
    "breaker-opens-and-probes",
    ("3.46",),
    ("TrafficPolicy circuitBreaker",),
    """
    kind: TrafficPolicy
    spec:
      retry: {attempts: 0}
      circuitBreaker: {failureThreshold: 3, baseOpen: 1s, maxOpen: 1s, jitter: 0}
      outlierDetection: {interval: 100ms}
    """,
    (Pause(_GET, "a"), Until(Shares(_GET, 20, {"a": 0.5, "a1": 0.5}, "endpoint", drawn=False))),
    {"a": pods(_BAD, OK)},
)

_PANIC = Case(
    "panic-uses-all-endpoints",
    ("3.47",),
    ("TrafficPolicy loadBalancer.panicThreshold",),
    """
    kind: TrafficPolicy
    spec:
      retry: {attempts: 0}
      outlierDetection: {consecutive5xx: 3, maxEjectionPercent: 100, baseEjectionTime: 1m}
      loadBalancer: {policy: RoundRobin, panicThreshold: 60}
    """,
    (Until(Shares(_GET, 20, {"a1": 1 / 3, "500": 2 / 3}, "endpoint", drawn=False)),),
    {"a": pods(_BAD, (OK,), _BAD)},
)

_NO_PANIC = Case(
    "no-panic-answers-503",
    ("3.47", "3.53"),
    ("TrafficPolicy loadBalancer.panicThreshold",),
    """
    kind: TrafficPolicy
    spec:
      retry: {attempts: 0}
      outlierDetection: {consecutive5xx: 3, maxEjectionPercent: 100, baseEjectionTime: 1m}
      loadBalancer: {policy: RoundRobin, panicThreshold: 0}
    """,
    (Until(Ask(_GET, 503, forwarded=())), Ask(_GET, 503, forwarded=())),
    {"a": pods(_BAD)},
)


def _health(name: str, setting: str, check: str, *steps: Step, pods_: tuple[Pod, ...]) -> Case:
    return Case(
        name,
        ("3.48",),
        (f"TrafficPolicy healthCheck.{setting}",),
        f"""
        kind: TrafficPolicy
        spec:
          retry: {{attempts: 0}}
          healthCheck:
            {{{check}, interval: 100ms, timeout: 1s, unhealthyThreshold: 1, healthyThreshold: 1,
              noTrafficInterval: 100ms}}
        """,
        steps,
        {"a": pods_},
    )


_HEALTHY_ONE = Until(Shares(_GET, 20, {"a1": 1.0}, "endpoint", drawn=False))
_HEALTH = (
    _health(
        "health-check-http",
        "http",
        "http: {path: /healthz, expectedStatuses: [{start: 200, end: 299}]}",
        _HEALTHY_ONE,
        pods_=pods(Answer(404), OK),
    ),
    _health(
        "health-check-that-recovers",
        "http",
        "http: {path: /healthz}",
        Until(Shares(_GET, 20, {"a": 0.5, "a1": 0.5}, "endpoint", drawn=False)),
        pods_=pods((_BAD, _BAD, OK), OK),
    ),
    _health("health-check-tcp", "tcp", "tcp: {}", _HEALTHY_ONE, pods_=(Pod(where="refusing"), *ONE)),
)

_READY = Case(
    "readiness-decides",
    ("3.53",),
    (),
    "",
    (
        Shares(_GET, 20, {"a": 0.5, "a1": 0.5}, "endpoint", drawn=False),
        SetReady("a", (False, True)),
        Shares(_GET, 20, {"a1": 1.0}, "endpoint", drawn=False),
        SetReady("a", (False, False)),
        ask("/", 503),
        SetReady("a", (True, False)),
        Shares(_GET, 20, {"a": 1.0}, "endpoint", drawn=False),
    ),
    {"a": pods(OK, OK)},
)

CASES = (
    *_LIMITS,
    _PER_CONNECTION,
    _PER_CONNECTION_OF_THREE,
    _POOLED,
    _IDLE,
    *_OUTLIERS,
    _EJECTED_FOR_A_TIME,
    _LOCAL_ORIGIN,
    _BREAKER,
    _PANIC,
    _NO_PANIC,
    *_HEALTH,
    _READY,
)
