"""What filters do to requests and responses (rows 3.7 to 3.11)."""

from tests.parity.ask import Ask, Forwarded, ask
from tests.parity.case import ONE, Case, Pod, pods
from tests.parity.script import HANG, RESET, Answer
from tests.parity.share import Copies, Shares
from tests.parity.step import Request, Step

_TWO = {"a": ONE, "b": ONE}


def _redirect(name: str, redirect: str, *asked: tuple[str, str], status: int = 302) -> Case:
    """`asked`: path -> Location. `H` in it is the Host that was asked."""
    host = f"{name}-a.shop"
    steps = tuple(
        Ask(Request(path), status, {"location": location.replace("HOST", host)}, ())
        for path, location in asked
    )
    return Case(
        name,
        ("3.8",),
        ("HTTPRoute rules[].filters[].requestRedirect",),
        f"""
        kind: HTTPRoute
        spec:
          rules:
          - matches: [{{path: {{value: /old}}}}]
            filters: [{{type: RequestRedirect, requestRedirect: {redirect}}}]
        """,
        steps,
    )


_REDIRECTS = (
    *(
        _redirect(
            f"redirect-{status}",
            f"{{hostname: example.org, statusCode: {status}}}",
            ("/old/x?q=1", "http://example.org:8080/old/x?q=1"),
            status=status,
        )
        for status in (301, 302, 303, 307, 308)
    ),
    _redirect("redirect-default-status", "{hostname: example.org}", ("/old", "http://example.org:8080/old")),
    _redirect("redirect-scheme", "{scheme: https}", ("/old?x", r"~https://HOST(:443)?/old\?x")),
    _redirect("redirect-port", "{port: 8443}", ("/old", "http://HOST:8443/old")),
    _redirect("redirect-well-known-port", "{port: 80}", ("/old", "~http://HOST(:80)?/old")),
    _redirect(
        "redirect-scheme-and-port",
        "{scheme: https, port: 443, hostname: e.org}",
        ("/old", "https://e.org/old"),
    ),
    _redirect(
        "redirect-whole-path",
        "{path: {type: ReplaceFullPath, replaceFullPath: /new}}",
        ("/old/x?q=1", "http://HOST:8080/new?q=1"),
        ("/old", "http://HOST:8080/new"),
    ),
    _redirect(
        "redirect-prefix",
        "{path: {type: ReplacePrefixMatch, replacePrefixMatch: /new}}",
        ("/old/x?q=/old", "http://HOST:8080/new/x?q=/old"),
        ("/old", "http://HOST:8080/new"),
        ("/old/", "http://HOST:8080/new/"),
    ),
    _redirect(
        "redirect-prefix-to-root",
        "{path: {type: ReplacePrefixMatch, replacePrefixMatch: /}}",
        ("/old/x", "http://HOST:8080/x"),
        ("/old", "http://HOST:8080/"),
    ),
)


def _rewrite(name: str, rewrite: str, prefix: str, *asked: tuple[str, str], host: str | None = None) -> Case:
    """`asked`: path -> what the upstream is asked for."""
    headers = {"host": host or f"{name}-a.shop:8080"}
    steps = tuple(Ask(Request(path), forwarded=(Forwarded("a", target, headers),)) for path, target in asked)
    return Case(
        name,
        ("3.9",),
        ("HTTPRoute rules[].filters[].urlRewrite",),
        f"""
        kind: HTTPRoute
        spec:
          rules:
          - matches: [{{path: {{value: {prefix}}}}}]
            filters: [{{type: URLRewrite, urlRewrite: {rewrite}}}]
            backendRefs: [{{name: $a, port: 8080}}]
        """,
        steps,
    )


def _prefix(replacement: str) -> str:
    return f"{{path: {{type: ReplacePrefixMatch, replacePrefixMatch: '{replacement}'}}}}"


_REWRITES = (
    _rewrite("rewrite-host", "{hostname: one.example.org}", "/", ("/x?y", "/x?y"), host="one.example.org"),
    _rewrite(
        "rewrite-whole-path",
        "{path: {type: ReplaceFullPath, replaceFullPath: /one}}",
        "/foo",
        ("/foo/bar?q=1", "/one?q=1"),
        ("/foo", "/one"),
    ),
    _rewrite(
        "rewrite-prefix",
        _prefix("/xyz"),
        "/foo",
        ("/foo/bar", "/xyz/bar"),
        ("/foo", "/xyz"),
        ("/foo/", "/xyz/"),
        ("/foo?x=/foo", "/xyz?x=/foo"),
    ),
    _rewrite(
        "rewrite-prefix-with-slashes", _prefix("/xyz/"), "/foo/", ("/foo/bar", "/xyz/bar"), ("/foo", "/xyz")
    ),
    _rewrite(
        "rewrite-prefix-to-nothing",
        _prefix(""),
        "/foo",
        ("/foo/bar", "/bar"),
        ("/foo", "/"),
        ("/foo?q", "/?q"),
    ),
    _rewrite(
        "rewrite-prefix-to-root",
        _prefix("/"),
        "/foo",
        ("/foo/bar?q", "/bar?q"),
        ("/foo/", "/"),
        ("/foo", "/"),
    ),
    _rewrite("rewrite-of-everything", _prefix("/below"), "/", ("/", "/below/"), ("/x?q", "/below/x?q")),
    _rewrite("rewrite-path-encoded", _prefix("/n"), "/foo", ("/foo/%2F%20%C3%A9?%C3", "/n/%2F%20%C3%A9?%C3")),
)

_REQUEST_HEADERS = Case(
    "request-headers",
    ("3.10",),
    ("HTTPRoute rules[].filters[].requestHeaderModifier",),
    """
    kind: HTTPRoute
    spec:
      rules:
      - filters:
        - type: RequestHeaderModifier
          requestHeaderModifier:
            set: [{name: X-Set, value: "new 100%"}]
            add: [{name: X-Add, value: more}]
            remove: [X-Gone]
        backendRefs: [{name: $a, port: 8080}]
    """,
    (
        Ask(
            Request("/", headers=(("x-set", "old"), ("X-ADD", "first"), ("x-gone", "1"), ("X-Gone", "2"))),
            forwarded=(
                Forwarded("a", headers={"x-set": "new 100%", "x-add": "~first, ?more", "x-gone": None}),
            ),
        ),
        Ask(
            Request("/"),
            forwarded=(Forwarded("a", headers={"x-set": "new 100%", "x-add": "more", "x-gone": None}),),
        ),
    ),
)

_RESPONSE_HEADERS = Case(
    "response-headers",
    ("3.10",),
    ("HTTPRoute rules[].filters[].responseHeaderModifier",),
    """
    kind: HTTPRoute
    spec:
      rules:
      - filters:
        - type: ResponseHeaderModifier
          responseHeaderModifier:
            set: [{name: X-Set, value: new}]
            add: [{name: X-Add, value: more}]
            remove: [X-Gone]
        backendRefs: [{name: $a, port: 8080}]
    """,
    (
        Ask(
            Request("/"),
            headers={"x-set": "new", "x-add": "~first, ?more", "x-gone": None, "x-kept": "yes"},
            forwarded=(Forwarded("a"),),
        ),
    ),
    {
        "a": pods(
            Answer(
                200,
                (("X-Set", "old"), ("x-set", "old2"), ("x-add", "first"), ("X-Gone", "1"), ("x-kept", "yes")),
            )
        )
    },
)

_PER_BACKEND = Case(
    "headers-per-backend",
    ("3.10",),
    (
        "HTTPRoute rules[].backendRefs[].filters[].requestHeaderModifier",
        "HTTPRoute rules[].backendRefs[].filters[].responseHeaderModifier",
    ),
    """
    kind: HTTPRoute
    spec:
      rules:
      - matches: [{path: {value: /a}}]
        filters:
        - {type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: x-rule, value: "1"}]}}
        backendRefs:
        - name: $a
          port: 8080
          filters:
          - {type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: x-backend, value: a}]}}
          - {type: ResponseHeaderModifier, responseHeaderModifier: {add: [{name: x-via, value: a}]}}
        - {name: $b, port: 8080, weight: 0}
      - matches: [{path: {value: /b}}]
        backendRefs:
        - name: $b
          port: 8080
          filters:
          - {type: RequestHeaderModifier, requestHeaderModifier: {remove: [x-secret]}}
    """,
    (
        Ask(
            Request("/a"),
            headers={"x-via": "a"},
            forwarded=(Forwarded("a", headers={"x-rule": "1", "x-backend": "a"}),),
        ),
        Ask(
            Request("/b", headers=(("x-secret", "1"),)),
            headers={"x-via": None},
            forwarded=(Forwarded("b", headers={"x-rule": None, "x-secret": None}),),
        ),
    ),
    _TWO,
)

_REWRITE_PER_BACKEND = Case(
    "rewrite-per-backend",
    ("3.9",),
    ("HTTPRoute rules[].backendRefs[].filters[].urlRewrite",),
    """
    kind: HTTPRoute
    spec:
      rules:
      - backendRefs:
        - name: $a
          port: 8080
          filters: [{type: URLRewrite, urlRewrite: {hostname: of-a.example.org}}]
    """,
    (Ask(Request("/x"), forwarded=(Forwarded("a", "/x", {"host": "of-a.example.org"}),)),),
)

_LOCAL_REPLIES = Case(
    "response-headers-of-local-replies",
    ("3.10", "3.12"),
    ("HTTPRoute rules[].filters[].responseHeaderModifier",),
    """
    kind: HTTPRoute
    spec:
      rules:
      - matches: [{path: {value: /redirect}}]
        filters:
        - {type: ResponseHeaderModifier, responseHeaderModifier: {set: [{name: x-set, value: "1"}]}}
        - {type: RequestRedirect, requestRedirect: {hostname: e.org}}
      - matches: [{path: {value: /empty}}]
        filters:
        - {type: ResponseHeaderModifier, responseHeaderModifier: {set: [{name: x-set, value: "1"}]}}
        backendRefs: [{name: $b, port: 8080}]
      - matches: [{path: {value: /invalid}}]
        filters:
        - {type: ResponseHeaderModifier, responseHeaderModifier: {set: [{name: x-set, value: "1"}]}}
        backendRefs: [{name: nobody, port: 8080}]
    """,
    (
        Ask(Request("/redirect"), 302, {"x-set": "1"}),
        Ask(Request("/empty"), 503, {"x-set": "1"}),
        Ask(Request("/invalid"), 500, {"x-set": "1"}),
    ),
    {"a": ONE, "b": ()},
)


def _mirror(name: str, mirrors: str, *steps: Step, b: tuple[Pod, ...] = ONE) -> Case:
    return Case(
        name,
        ("3.7",),
        ("HTTPRoute rules[].filters[].requestMirror",),
        f"""
        kind: HTTPRoute
        spec:
          rules:
          - filters: [{mirrors}]
            backendRefs: [{{name: $a, port: 8080}}]
        """,
        steps,
        {"a": ONE, "b": b, "c": ONE},
    )


_TO_B = "{type: RequestMirror, requestMirror: {backendRef: {name: $b, port: 8080}}}"
_TO_C = "{type: RequestMirror, requestMirror: {backendRef: {name: $c, port: 8080}}}"
_MIRRORS = (
    _mirror(
        "mirror",
        _TO_B,
        Ask(Request("/x?y"), forwarded=(Forwarded("a", "/x?y"), Forwarded("b", "/x?y"))),
        Ask(
            Request("/x", method="POST", body=b"body"),
            forwarded=(Forwarded("a", method="POST"), Forwarded("b", method="POST")),
        ),
    ),
    _mirror(
        "mirrors-to-two",
        f"{_TO_B}, {_TO_C}",
        Ask(Request("/"), forwarded=(Forwarded("a"), Forwarded("b"), Forwarded("c"))),
    ),
    _mirror("mirror-that-hangs", _TO_B, ask("/"), ask("/"), b=pods(HANG)),
    _mirror("mirror-that-resets", _TO_B, ask("/"), ask("/"), b=pods(RESET)),
    _mirror("mirror-without-endpoints", _TO_B, ask("/", at="a"), b=()),
    _mirror(
        "mirror-nothing",
        "{type: RequestMirror, requestMirror: {backendRef: {name: $b, port: 8080}, percent: 0}}",
        ask("/", at="a"),
        Shares(Request("/"), 20, {"a": 1.0}),
    ),
    _mirror(
        "mirror-a-share",
        "{type: RequestMirror, requestMirror: "
        "{backendRef: {name: $b, port: 8080}, fraction: {numerator: 1, denominator: 4}}}",
        Copies(Request("/"), 300, "b", 0.25),
    ),
    _mirror(
        "mirror-that-is-not-there",
        "{type: RequestMirror, requestMirror: {backendRef: {name: nobody, port: 8080}}}",
        ask("/", at="a"),
    ),
)

_MIRROR_PER_BACKEND = Case(
    "mirror-per-backend",
    ("3.7",),
    ("HTTPRoute rules[].backendRefs[].filters[].requestMirror",),
    """
    kind: HTTPRoute
    spec:
      rules:
      - backendRefs:
        - name: $a
          port: 8080
          filters:
          - {type: RequestMirror, requestMirror: {backendRef: {name: $b, port: 8080}}}
    """,
    (Ask(Request("/"), forwarded=(Forwarded("a"), Forwarded("b"))),),
    _TWO,
)

CASES = (
    *_MIRRORS,
    _MIRROR_PER_BACKEND,
    *_REDIRECTS,
    *_REWRITES,
    _REQUEST_HEADERS,
    _RESPONSE_HEADERS,
    _PER_BACKEND,
    _REWRITE_PER_BACKEND,
    _LOCAL_REPLIES,
)
