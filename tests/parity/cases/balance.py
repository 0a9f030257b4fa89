"""Which endpoint of a Service gets a request (rows 3.19, 3.60 to 3.66)."""

from tests.parity.ask import ask
from tests.parity.case import Case, Pod, pods
from tests.parity.script import HOLD, OK, Answer
from tests.parity.share import AtMost, Shares
from tests.parity.step import Request, SetReady, Step
from tests.parity.sticky import Session, Sticky
from tests.parity.wait import Together

_GET = Request("/")
_THREE = {"a": pods(OK, OK, OK)}
_THIRDS = {"a": 1 / 3, "a1": 1 / 3, "a2": 1 / 3}


def _policy(name: str, balancer: str, *steps: Step, row: str = "3.60", exercises: str = "policy") -> Case:
    return Case(
        name,
        (row,),
        (f"TrafficPolicy loadBalancer.{exercises}",),
        f"""
        kind: TrafficPolicy
        spec: {{loadBalancer: {{{balancer}}}}}
        """,
        steps,
        {"a": pods(OK, OK, OK, OK) if "hashOn" in balancer else pods(OK, OK, OK)},
    )


def _header(number: int) -> Request:
    return Request("/", headers=(("x-user", f"user-{number}"),))


_BALANCERS = (
    _policy("round-robin", "policy: RoundRobin", Shares(_GET, 60, _THIRDS, "endpoint", drawn=False)),
    _policy("random", "policy: Random", Shares(_GET, 600, _THIRDS, "endpoint")),
    _policy("least-request", "policy: LeastRequest", Shares(_GET, 600, _THIRDS, "endpoint")),
    _policy("peak-ewma", "policy: PeakEWMA", ask("/"), row="3.61"),
    _policy(
        "ring-hash-by-header",
        "policy: RingHash, hashOn: [{header: x-user}]",
        Sticky(tuple(_header(number) for number in range(16))),
    ),
    _policy(
        "maglev-by-header",
        "policy: Maglev, hashOn: [{header: x-user}]",
        Sticky(tuple(_header(number) for number in range(16))),
    ),
    _policy(
        "ring-hash-by-query",
        "policy: RingHash, hashOn: [{query: user}]",
        Sticky(tuple(Request(f"/x?y&user={number}") for number in range(16))),
        row="3.64",
        exercises="hashOn[].query",
    ),
    _policy(
        "ring-hash-by-cookie",
        "policy: RingHash, hashOn: [{cookie: {name: user}}]",
        Sticky(tuple(Request("/", headers=(("Cookie", f"x=1; user={number}"),)) for number in range(16))),
        row="3.64",
        exercises="hashOn[].cookie",
    ),
    _policy(
        "ring-hash-by-cookie-that-is-made",
        "policy: RingHash, hashOn: [{cookie: {name: user, ttl: 1h, path: /}}]",
        Session(_GET, cookie="user"),
        row="3.64",
        exercises="hashOn[].cookie.ttl",
    ),
    _policy(
        "ring-hash-by-source-address",
        "policy: RingHash, hashOn: [{sourceIP: true}]",
        Sticky(tuple(Request("/", source=f"10.246.0.{number}") for number in range(1, 17))),
        row="3.64",
        exercises="hashOn[].sourceIP",
    ),
    _policy(
        "ring-hash-first-terminal-key",
        "policy: RingHash, hashOn: [{header: x-user, terminal: true}, {query: q}]",
        Sticky(tuple(Request(f"/?q={number}") for number in range(16))),
        Sticky(
            tuple(Request(f"/?q={number}", headers=(("x-user", "me"),)) for number in range(8)),
            at_least=1,
        ),
        row="3.64",
        exercises="hashOn[].terminal",
    ),
)

_LEAST_BUSY = Case(
    "least-request-avoids-the-busy",
    ("3.60",),
    ("TrafficPolicy loadBalancer.leastRequest",),
    """
    kind: TrafficPolicy
    spec: {loadBalancer: {policy: LeastRequest, leastRequest: {choiceCount: 100}}}
    """,
    (
        Together(
            Request("/hold"),
            1,
            {200: 1},
            meanwhile=(Sticky((_GET,), times=20, at_least=1, same_choice=False),),
        ),
    ),
    {"a": pods(HOLD, HOLD)},
)

_ERRORS_COST = Case(
    "peak-ewma-avoids-who-fails-fast",
    ("3.61",),
    ("TrafficPolicy loadBalancer.policy",),
    """
    kind: TrafficPolicy
    spec:
      retry: {attempts: 0}
      outlierDetection: {consecutive5xx: 10000}
      loadBalancer: {policy: PeakEWMA}
    """,
    (AtMost(_GET, 400, "500", 0.2),),
    {"a": pods(Answer(500), OK, OK)},
)

_COOKIE = Case(
    "session-by-cookie",
    ("3.64",),
    ("HTTPRoute rules[].sessionPersistence",),
    """
    kind: HTTPRoute
    spec:
      rules:
      - sessionPersistence:
          sessionName: mine
          absoluteTimeout: 1h
          cookieConfig: {lifetimeType: Permanent}
        backendRefs: [{name: $a, port: 8080}]
    """,
    (Session(_GET, cookie="mine"),),
    _THREE,
)

_SESSION_HEADER = Case(
    "session-by-header",
    ("3.64",),
    ("HTTPRoute rules[].sessionPersistence.type",),
    """
    kind: HTTPRoute
    spec:
      rules:
      - sessionPersistence: {type: Header, sessionName: x-session}
        backendRefs: [{name: $a, port: 8080}]
    """,
    (Session(_GET, header="x-session"),),
    _THREE,
)

_AFFINITY = Case(
    "session-affinity-of-a-policy",
    ("3.64",),
    ("TrafficPolicy sessionAffinity.cookie",),
    """
    kind: TrafficPolicy
    spec: {sessionAffinity: {cookie: {name: mesh}}}
    """,
    (Session(_GET, cookie="mesh"),),
    _THREE,
)

_AFFINITY_HEADER = Case(
    "session-affinity-by-header",
    ("3.64",),
    ("TrafficPolicy sessionAffinity.header",),
    """
    kind: TrafficPolicy
    spec: {sessionAffinity: {header: {name: x-session}}}
    """,
    (Session(_GET, header="x-session"),),
    _THREE,
)

_SUBSET = Case(
    "subsets",
    ("3.19",),
    ("TrafficPolicy subsets", "TrafficPolicy subset"),
    """
    kind: TrafficPolicy
    spec: {subsets: [{name: old, labels: {release: "1"}}, {name: new, labels: {release: "2"}}]}
    ---
    kind: HTTPRoute
    spec:
      rules:
      - name: new
        matches: [{path: {value: /new}}]
        backendRefs: [{name: $a, port: 8080}]
      - name: old
        matches: [{path: {value: /old}}]
        backendRefs: [{name: $a, port: 8080}]
      - name: empty
        matches: [{path: {value: /unknown}}]
        backendRefs: [{name: $a, port: 8080}]
      - backendRefs: [{name: $a, port: 8080}]
    ---
    kind: TrafficPolicy
    name: $case-new
    target: {group: gateway.networking.k8s.io, kind: HTTPRoute, name: $case, sectionName: new}
    spec: {subset: new}
    ---
    kind: TrafficPolicy
    name: $case-old
    target: {group: gateway.networking.k8s.io, kind: HTTPRoute, name: $case, sectionName: old}
    spec: {subset: old}
    ---
    kind: TrafficPolicy
    name: $case-empty
    target: {group: gateway.networking.k8s.io, kind: HTTPRoute, name: $case, sectionName: empty}
    spec: {subset: nobody}
    """,
    (
        Shares(Request("/new"), 20, {"a1": 0.5, "a2": 0.5}, "endpoint", drawn=False),
        Shares(Request("/old"), 20, {"a": 1.0}, "endpoint", drawn=False),
        ask("/unknown", 500),
        Shares(Request("/"), 60, _THIRDS, "endpoint", drawn=False),
    ),
    {"a": tuple(Pod(labels={"release": number}) for number in ("1", "2", "2"))},
)


def _zones(name: str, locality: str, *steps: Step) -> Case:
    """The client is in the zone `home`."""
    return Case(
        name,
        ("3.63",),
        (f"TrafficPolicy loadBalancer.locality.{locality.split(':')[0]}",),
        f"""
        kind: TrafficPolicy
        spec:
          loadBalancer: {{locality: {{{locality}}}}}
        """,
        steps,
        {"a": tuple(Pod(zone=zone) for zone in ("home", "home", "away", "away"))},
    )


_ZONES = (
    _zones(
        "zones-failover",
        "failover: {}",
        Shares(_GET, 20, {"a": 0.5, "a1": 0.5}, "endpoint", drawn=False),
        SetReady("a", (False, False, True, True)),
        Shares(_GET, 20, {"a2": 0.5, "a3": 0.5}, "endpoint", drawn=False),
        SetReady("a", (True, False, True, True)),
        Shares(_GET, 20, {"a": 1.0}, "endpoint", drawn=False),
    ),
    _zones(
        "zones-distribute",
        "distribute: [{from: /home, to: {/home: 25, /away: 75}}]",
        Shares(_GET, 800, {"a": 0.125, "a1": 0.125, "a2": 0.375, "a3": 0.375}, "endpoint"),
    ),
)

_SLOW_START = Case(
    "slow-start-of-all-is-even",
    ("3.65",),
    ("TrafficPolicy loadBalancer.slowStart",),
    """
    kind: TrafficPolicy
    spec: {loadBalancer: {policy: RoundRobin, slowStart: {window: 30s}}}
    """,
    (Shares(_GET, 60, _THIRDS, "endpoint"),),
    _THREE,
)

CASES = (
    *_BALANCERS,
    _LEAST_BUSY,
    _ERRORS_COST,
    _COOKIE,
    _SESSION_HEADER,
    _AFFINITY,
    _AFFINITY_HEADER,
    _SUBSET,
    *_ZONES,
    _SLOW_START,
)
