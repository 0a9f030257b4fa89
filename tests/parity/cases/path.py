"""Which rule a request gets, by its path and by precedence (rows 3.1, 3.3, 3.13)."""

from tests.parity.ask import ask
from tests.parity.case import ONE, Case
from tests.parity.share import Shares
from tests.parity.step import Request

_PATH = ("HTTPRoute rules[].matches[].path",)
_TWO = {"a": ONE, "b": ONE}
_THREE = {"a": ONE, "b": ONE, "c": ONE}

_PREFIX = Case(
    "path-prefix",
    ("3.1",),
    _PATH,
    """
    kind: HTTPRoute
    spec:
      rules:
      - matches: [{path: {type: PathPrefix, value: /foo}}]
        backendRefs: [{name: $a, port: 8080}]
      - matches: [{path: {type: PathPrefix, value: /bar/}}]
        backendRefs: [{name: $b, port: 8080}]
    """,
    (
        ask("/foo", at="a"),
        ask("/foo/", at="a"),
        ask("/foo/x?y=/foobar", at="a"),
        ask("/foo?x", at="a"),
        ask("/foobar", 404),
        ask("/Foo", 404),
        ask("/bar", at="b"),
        ask("/bar/x", at="b"),
        ask("/", 404),
    ),
    _TWO,
)

_EXACT = Case(
    "path-exact",
    ("3.1",),
    _PATH,
    """
    kind: HTTPRoute
    spec:
      rules:
      - matches: [{path: {type: Exact, value: /one}}, {path: {type: Exact, value: /two/}}]
        backendRefs: [{name: $a, port: 8080}]
    """,
    (
        ask("/one", at="a"),
        ask("/one?x=1", at="a"),
        ask("/two/", at="a"),
        ask("/two", 404),
        ask("/one/", 404),
        ask("/ONE", 404),
        ask("/one/x", 404),
    ),
)

_REGEX = Case(
    "path-regular-expression",
    ("3.1",),
    _PATH,
    """
    kind: HTTPRoute
    spec:
      rules:
      - matches: [{path: {type: RegularExpression, value: "/v[0-9]+/(items|users)"}}]
        backendRefs: [{name: $a, port: 8080}]
    """,
    (
        ask("/v1/items", at="a"),
        ask("/v20/users?x=/v1/items", at="a"),
        ask("/v1/items/7", 404),
        ask("/x/v1/items", 404),
        ask("/v/items", 404),
    ),
)

_DEFAULT = Case(
    "path-default-is-everything",
    ("3.1",),
    ("HTTPRoute rules[].backendRefs[].name",),
    """
    kind: HTTPRoute
    spec: {rules: [{backendRefs: [{name: $b, port: 8080}]}]}
    """,
    (ask("/", at="b"), ask("/anything/at?all", at="b"), ask("/%41", at="b")),
    _TWO,
)

_AS_SENT = Case(
    "path-is-matched-as-it-was-sent",
    ("3.1",),
    _PATH,
    """
    kind: HTTPRoute
    spec:
      rules:
      - matches: [{path: {value: /public}}]
        backendRefs: [{name: $a, port: 8080}]
    """,
    (
        ask("/public/./x/../y", at="a"),
        ask("/public/a%2Fb", at="a"),
        ask("/public//a", at="a"),
        ask("//public", 404),
        ask("/p%75blic", 404),
        ask("/other/../public", 404),
    ),
)

_PATHS_FIRST = Case(
    "precedence-of-paths",
    ("3.3",),
    _PATH,
    """
    kind: HTTPRoute
    spec:
      rules:
      - matches: [{path: {value: /}}]
        backendRefs: [{name: $a, port: 8080}]
      - matches: [{path: {value: /x}, method: GET, headers: [{name: h, value: "1"}]}]
        backendRefs: [{name: $a, port: 8080}]
      - matches: [{path: {value: /x/longer}}]
        backendRefs: [{name: $b, port: 8080}]
      - matches: [{path: {type: Exact, value: /x/longer/still}}]
        backendRefs: [{name: $c, port: 8080}]
    """,
    (
        ask("/x/longer/still", at="c", headers=(("h", "1"),)),
        ask("/x/longer/still/more", at="b", headers=(("h", "1"),)),
        ask("/x/longer", at="b", headers=(("h", "1"),)),
        ask("/x", at="a"),
    ),
    _THREE,
)

_THEN_THE_REST = Case(
    "precedence-method-headers-queries",
    ("3.3",),
    (
        "HTTPRoute rules[].matches[].method",
        "HTTPRoute rules[].matches[].headers",
        "HTTPRoute rules[].matches[].queryParams",
    ),
    """
    kind: HTTPRoute
    spec:
      rules:
      - matches: [{queryParams: [{name: q, value: "1"}, {name: r, value: "1"}, {name: s, value: "1"}]}]
        backendRefs: [{name: $a, port: 8080}]
      - matches: [{headers: [{name: h, value: "1"}]}]
        backendRefs: [{name: $b, port: 8080}]
      - matches: [{headers: [{name: h, value: "1"}, {name: i, value: "1"}]}]
        backendRefs: [{name: $c, port: 8080}]
      - matches: [{method: POST}]
        backendRefs: [{name: $d, port: 8080}]
    """,
    (
        ask("/?q=1&r=1&s=1", at="a"),
        ask("/?q=1&r=1&s=1", at="b", headers=(("h", "1"),)),
        ask("/?q=1&r=1&s=1", at="c", headers=(("h", "1"), ("i", "1"))),
        ask("/?q=1&r=1&s=1", at="d", headers=(("h", "1"), ("i", "1")), method="POST", body=b"x"),
    ),
    {"a": ONE, "b": ONE, "c": ONE, "d": ONE},
)

_RULE_ORDER = Case(
    "precedence-of-rules-in-order",
    ("3.3",),
    _PATH,
    """
    kind: HTTPRoute
    spec:
      rules:
      - matches: [{path: {value: /x}, headers: [{name: h, value: "1"}]}]
        backendRefs: [{name: $b, port: 8080}]
      - matches: [{path: {value: /x}, headers: [{name: i, value: "1"}]}]
        backendRefs: [{name: $a, port: 8080}]
    """,
    (
        ask("/x", at="b", headers=(("i", "1"), ("h", "1"))),
        ask("/x", at="a", headers=(("i", "1"),)),
    ),
    _TWO,
)

_TWO_ROUTES = Case(
    "routes-of-one-service-are-merged",
    ("3.3", "3.13"),
    ("HTTPRoute parentRefs",),
    """
    kind: HTTPRoute
    name: $case-z
    spec:
      rules:
      - matches: [{path: {value: /same}}]
        backendRefs: [{name: $a, port: 8080}]
      - matches: [{path: {value: /only-z}}]
        backendRefs: [{name: $a, port: 8080}]
    ---
    kind: HTTPRoute
    name: $case-a
    spec:
      rules:
      - matches: [{path: {value: /same/longer}}]
        backendRefs: [{name: $b, port: 8080}]
      - matches: [{path: {value: /only-a}}]
        backendRefs: [{name: $b, port: 8080}]
    """,
    (
        ask("/only-z", at="a"),
        ask("/only-a", at="b"),
        ask("/same", at="a"),
        ask("/same/longer", at="b"),
        ask("/other", 404),
    ),
    _TWO,
)

_WEIGHTS = Case(
    "weights",
    ("3.5",),
    ("HTTPRoute rules[].backendRefs[].weight",),
    """
    kind: HTTPRoute
    spec:
      rules:
      - backendRefs:
        - {name: $a, port: 8080, weight: 90}
        - {name: $b, port: 8080, weight: 10}
        - {name: $c, port: 8080, weight: 0}
    """,
    (Shares(Request(), 1500, {"a": 0.9, "b": 0.1, "c": 0.0}),),
    _THREE,
)

CASES = (
    _PREFIX,
    _EXACT,
    _REGEX,
    _DEFAULT,
    _AS_SENT,
    _PATHS_FIRST,
    _THEN_THE_REST,
    _RULE_ORDER,
    _TWO_ROUTES,
    _WEIGHTS,
)
