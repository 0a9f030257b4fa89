"""Matches by method, headers and query; what no rule or no backend covers; parents (rows 3.2, 3.4, 3.6)."""

from tests.parity.ask import Ask, Forwarded, ask
from tests.parity.case import ONE, Case, Pod, pods
from tests.parity.script import OK
from tests.parity.share import Shares
from tests.parity.step import Request

_TWO = {"a": ONE, "b": ONE}

_METHOD = Case(
    "match-method",
    ("3.2",),
    ("HTTPRoute rules[].matches[].method",),
    """
    kind: HTTPRoute
    spec:
      rules:
      - matches: [{method: POST}, {method: DELETE}]
        backendRefs: [{name: $a, port: 8080}]
    """,
    (
        ask("/", at="a", method="POST", body=b"x"),
        ask("/", at="a", method="DELETE"),
        ask("/", 404),
        ask("/", 404, method="PATCH", body=b"x"),
    ),
)

_LOWER_METHOD = Case(
    "method-in-lower-case",
    ("3.2",),
    ("HTTPRoute rules[].matches[].method",),
    """
    kind: HTTPRoute
    spec:
      rules:
      - matches: [{method: POST}]
        backendRefs: [{name: $a, port: 8080}]
    """,
    (ask("/", 404, method="post"),),
)

_NO_LENGTH = Case(
    "post-without-a-body",
    ("3.2",),
    ("HTTPRoute rules[].matches[].method",),
    """
    kind: HTTPRoute
    spec:
      rules:
      - matches: [{method: POST}]
        backendRefs: [{name: $a, port: 8080}]
    """,
    (ask("/", at="a", method="POST"),),
)

_HEADERS = Case(
    "match-headers",
    ("3.2",),
    ("HTTPRoute rules[].matches[].headers",),
    """
    kind: HTTPRoute
    spec:
      rules:
      - matches: [{headers: [{name: Version, value: two}, {name: color, value: green}]}]
        backendRefs: [{name: $a, port: 8080}]
      - matches: [{headers: [{name: version, value: two}]}, {headers: [{name: user, value: me}]}]
        backendRefs: [{name: $b, port: 8080}]
    """,
    (
        ask(at="a", headers=(("VERSION", "two"), ("Color", "green"))),
        ask(at="b", headers=(("version", "two"),)),
        ask(at="b", headers=(("User", "me"),)),
        ask("/", 404, headers=(("version", "Two"),)),
        ask("/", 404, headers=(("version", "two2"),)),
        ask("/", 404, headers=(("color", "green"),)),
        ask("/", 404),
    ),
    _TWO,
)

_HEADER_REGEX = Case(
    "match-header-regular-expression",
    ("3.2",),
    ("HTTPRoute rules[].matches[].headers[].type",),
    """
    kind: HTTPRoute
    spec:
      rules:
      - matches: [{headers: [{name: version, type: RegularExpression, value: "v[0-9]+"}]}]
        backendRefs: [{name: $a, port: 8080}]
    """,
    (
        ask(at="a", headers=(("version", "v12"),)),
        ask("/", 404, headers=(("version", "v12x"),)),
        ask("/", 404, headers=(("version", "xv12"),)),
        ask("/", 404),
    ),
)

_QUERY = Case(
    "match-query",
    ("3.2",),
    ("HTTPRoute rules[].matches[].queryParams",),
    """
    kind: HTTPRoute
    spec:
      rules:
      - matches: [{queryParams: [{name: animal, value: whale}, {name: size, value: big+one}]}]
        backendRefs: [{name: $a, port: 8080}]
      - matches: [{queryParams: [{name: animal, type: RegularExpression, value: "dol.*"}]}]
        backendRefs: [{name: $b, port: 8080}]
    """,
    (
        ask("/?size=big+one&animal=whale", at="a"),
        ask("/path?x&animal=whale&size=big+one&y=", at="a"),
        ask("/?animal=dolphin", at="b"),
        ask("/?animal=dolphin&animal=whale", at="b"),
        ask("/?animal=whale&size=big%2Bone", 404),
        ask("/?animal=Whale&size=big+one", 404),
        ask("/?Animal=dolphin", 404),
        ask("/?animal=whale", 404),
        ask("/", 404),
    ),
    _TWO,
)

_ALL = Case(
    "match-all-of-one-match",
    ("3.2",),
    ("HTTPRoute rules[].matches",),
    """
    kind: HTTPRoute
    spec:
      rules:
      - matches:
        - path: {value: /p}
          method: PUT
          headers: [{name: h, value: "1"}]
          queryParams: [{name: q, value: "1"}]
        - {path: {type: Exact, value: /free}}
        backendRefs: [{name: $a, port: 8080}]
    """,
    (
        ask("/p/x?q=1", at="a", method="PUT", headers=(("h", "1"),), body=b"x"),
        ask("/free", at="a"),
        ask("/p/x?q=1", 404, headers=(("h", "1"),)),
        ask("/p/x", 404, method="PUT", headers=(("h", "1"),)),
        ask("/p/x?q=1", 404, method="PUT"),
        ask("/x?q=1", 404, method="PUT", headers=(("h", "1"),)),
    ),
)

_INVALID = Case(
    "invalid-backends-answer-500",
    ("3.4", "3.12"),
    ("HTTPRoute rules[].backendRefs[].name",),
    """
    kind: HTTPRoute
    spec:
      rules:
      - matches: [{path: {value: /missing}}]
        backendRefs: [{name: nobody, port: 8080}]
      - matches: [{path: {value: /port}}]
        backendRefs: [{name: $a, port: 8081}]
      - matches: [{path: {value: /foreign}}]
        backendRefs: [{name: somebody, namespace: other, port: 8080}]
      - matches: [{path: {value: /half}}]
        backendRefs: [{name: $a, port: 8080}, {name: nobody, port: 8080}]
    """,
    (
        ask("/missing", 500),
        ask("/port", 500),
        ask("/foreign", 500),
        Shares(Request("/half"), 400, {"a": 0.5, "500": 0.5}),
        ask("/", 404),
    ),
)

_NO_ENDPOINTS = Case(
    "no-endpoints-answer-503",
    ("3.4", "3.53"),
    ("HTTPRoute rules[].backendRefs",),
    """
    kind: HTTPRoute
    spec:
      rules:
      - matches: [{path: {value: /empty}}]
        backendRefs: [{name: $b, port: 8080}]
      - matches: [{path: {value: /unready}}]
        backendRefs: [{name: $c, port: 8080}]
      - matches: [{path: {value: /refusing}}]
        backendRefs: [{name: $d, port: 8080}]
    """,
    (ask("/empty", 503), ask("/unready", 503), ask("/refusing", 503), ask("/", 503, to="b")),
    {"a": ONE, "b": (), "c": (Pod(ready=False),), "d": (Pod(where="refusing"),)},
)

_NO_WEIGHT = Case(
    "no-weight-at-all-answers-500",
    ("3.4", "3.5"),
    ("HTTPRoute rules[].backendRefs[].weight",),
    """
    kind: HTTPRoute
    spec:
      rules:
      - backendRefs: [{name: $a, port: 8080, weight: 0}]
    """,
    (ask("/", 500),),
)

_UNROUTED = Case(
    "service-without-routes",
    ("3.4",),
    (),
    "",
    (
        ask("/x?y", at="a", host="service-without-routes-a"),
        ask("/", at="a", host="service-without-routes-a.shop.svc.cluster.local"),
        ask("/", at="a", host="SERVICE-without-routes-a.shop.svc:8080"),
        Ask(Request("/", address="$a"), forwarded=(Forwarded("a"),)),
    ),
)

_HOST_OF_ANOTHER = Case(
    "address-and-host-of-different-services",
    ("3.4",),
    (),
    "",
    (ask("/", at="b", host="address-and-host-of-different-services-b.shop"),),
    _TWO,
)

_BY_ADDRESS = Case(
    "host-is-an-address",
    ("3.4",),
    ("HTTPRoute rules[].backendRefs",),
    """
    kind: HTTPRoute
    spec:
      rules:
      - backendRefs: [{name: $b, port: 8080}]
    """,
    (
        ask("/", at="b", host="$vip"),
        ask("/", at="a", host="$a", address="$a"),
        ask("/", at="b", address="$a"),
    ),
    _TWO,
)

_UNKNOWN_HOST = Case(
    "unknown-host-passes-through",
    ("3.20",),
    ("HTTPRoute rules[].backendRefs",),
    """
    kind: HTTPRoute
    spec:
      rules:
      - backendRefs: [{name: $b, port: 8080}]
    """,
    (ask("/x?y", at="a", host="unknown.example.com", address="$a"),),
    _TWO,
)

_HEADLESS = Case(
    "headless-service",
    ("3.4",),
    ("HTTPRoute rules[].matches[].path",),
    """
    kind: HTTPRoute
    spec:
      rules:
      - matches: [{path: {value: /routed}}]
        backendRefs: [{name: $a, port: 8080}]
    """,
    (
        Ask(Request("/routed", address="$a")),
        ask("/", 404, address="$a"),
        ask("/", at="a1", address="$a1", host="$a1"),
    ),
    {"a": pods(OK, OK)},
    headless=True,
)

_HOSTNAMES = Case(
    "hostnames-mean-nothing-in-the-mesh",
    ("3.6",),
    ("HTTPRoute hostnames",),
    """
    kind: HTTPRoute
    spec:
      hostnames: [else.example.com]
      rules: [{backendRefs: [{name: $b, port: 8080}]}]
    """,
    (ask("/", at="b"),),
    _TWO,
)

_CONSUMER = Case(
    "consumer-and-producer-routes",
    ("3.6",),
    ("HTTPRoute parentRefs",),
    """
    kind: HTTPRoute
    name: $case-consumer
    spec:
      parentRefs: [{group: "", kind: Service, name: $a, namespace: other}]
      rules: [{backendRefs: [{name: $b, port: 8080}]}]
    ---
    kind: HTTPRoute
    name: $case-of-others
    namespace: other
    spec:
      parentRefs: [{group: "", kind: Service, name: $c, namespace: shop}]
      rules: [{filters: [{type: RequestRedirect, requestRedirect: {statusCode: 301}}]}]
    ---
    kind: HTTPRoute
    name: $case-producer
    namespace: other
    spec:
      parentRefs: [{group: "", kind: Service, name: $d}]
      rules: [{matches: [{path: {value: /there}}], backendRefs: [{name: $d, port: 8080}]}]
    """,
    (
        ask("/", at="b"),
        ask("/", at="c", to="c"),
        ask("/there", at="d", to="d"),
        ask("/", 404, to="d"),
    ),
    {"a": ONE, "b": ONE, "c": ONE, "d": ONE},
    namespaces={"a": "other", "d": "other"},
)

_ELSEWHERE = Case(
    "backends-of-other-namespaces",
    ("3.6",),
    ("HTTPRoute rules[].backendRefs[].namespace",),
    """
    kind: HTTPRoute
    spec:
      rules:
      - backendRefs: [{name: $b, namespace: other, port: 8080}]
    """,
    (ask("/", at="b"),),
    _TWO,
    namespaces={"b": "other"},
)

_PARENTS = Case(
    "several-parents-and-ports",
    ("3.6",),
    ("HTTPRoute parentRefs[].port", "HTTPRoute parentRefs[].sectionName"),
    """
    kind: HTTPRoute
    spec:
      parentRefs:
      - {group: "", kind: Service, name: $a, port: 8080}
      - {group: "", kind: Service, name: $b, sectionName: http}
      - {group: "", kind: Service, name: $c, port: 8081}
      rules: [{backendRefs: [{name: $d, port: 8080}]}]
    """,
    (ask(at="d"), ask(at="d", to="b"), ask(at="c", to="c")),
    {"a": ONE, "b": ONE, "c": ONE, "d": ONE},
)

CASES = (
    _METHOD,
    _LOWER_METHOD,
    _NO_LENGTH,
    _HEADERS,
    _HEADER_REGEX,
    _QUERY,
    _ALL,
    _INVALID,
    _NO_ENDPOINTS,
    _NO_WEIGHT,
    _UNROUTED,
    _HOST_OF_ANOTHER,
    _BY_ADDRESS,
    _UNKNOWN_HOST,
    _HEADLESS,
    _HOSTNAMES,
    _CONSUMER,
    _ELSEWHERE,
    _PARENTS,
)
