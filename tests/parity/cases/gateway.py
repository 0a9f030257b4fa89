"""Clients outside, at a Gateway (row 3.21)."""

from dataclasses import replace

from tests.parity.ask import Ask, Forwarded, ask
from tests.parity.case import ONE, Case
from tests.parity.cases.external import hello
from tests.parity.share import Greeting, Shares
from tests.parity.step import Request

_ROW = ("3.21",)
_TWO = {"a": ONE, "b": ONE}

_ROUTE = Case(
    "gateway-route",
    _ROW,
    ("HTTPRoute rules[].matches[].path", "HTTPRoute rules[].matches[].headers"),
    """
    kind: HTTPRoute
    spec:
      rules:
      - matches: [{path: {value: /a}}]
        backendRefs: [{name: $a, port: 8080}]
      - matches: [{path: {value: /b}, headers: [{name: h, value: "1"}]}]
        backendRefs: [{name: $b, port: 8080}]
    """,
    (
        ask("/a/x?y", at="a"),
        ask("/b", at="b", headers=(("h", "1"),)),
        ask("/b", 404),
        ask("/", 404),
        ask("/a", 404, host="unknown.example.com"),
        ask("/a", at="a", host="gateway-route-a.shop:80"),
        ask("/a", at="a", host="GATEWAY-route-a.shop"),
    ),
    _TWO,
    at_gateway=True,
)

_HOSTNAMES = Case(
    "gateway-hostnames",
    _ROW,
    ("HTTPRoute hostnames",),
    """
    kind: HTTPRoute
    name: $case-exact
    spec:
      hostnames: [one.hosts.example.com]
      rules: [{backendRefs: [{name: $a, port: 8080}]}]
    ---
    kind: HTTPRoute
    name: $case-wild
    spec:
      hostnames: ["*.hosts.example.com"]
      rules: [{backendRefs: [{name: $b, port: 8080}]}]
    """,
    (
        ask("/", at="a", host="one.hosts.example.com"),
        ask("/", at="b", host="two.hosts.example.com"),
        ask("/", at="b", host="a.two.hosts.example.com"),
        ask("/", 404, host="hosts.example.com"),
    ),
    _TWO,
    at_gateway=True,
)

_ISOLATED = Case(
    "gateway-listener-isolation",
    _ROW,
    ("HTTPRoute parentRefs[].sectionName",),
    """
    kind: HTTPRoute
    name: $case-wide
    spec:
      hostnames: ["*.example.com"]
      rules: [{matches: [{path: {value: /wide}}], backendRefs: [{name: $a, port: 8080}]}]
    ---
    kind: HTTPRoute
    name: $case-own
    spec:
      parentRefs: [{name: edge, sectionName: isolated}]
      hostnames: ["*.example.com"]
      rules: [{matches: [{path: {value: /own}}], backendRefs: [{name: $b, port: 8080}]}]
    """,
    (
        ask("/wide", at="a", host="other.example.com"),
        ask("/own", at="b", host="x.isolated.example.com"),
        ask("/wide", 404, host="x.isolated.example.com"),
        ask("/own", 404, host="other.example.com"),
    ),
    _TWO,
    at_gateway=True,
)

_HTTPS = Case(
    "gateway-https",
    _ROW,
    ("HTTPRoute parentRefs[].sectionName", "HTTPRoute rules[].filters[].requestRedirect"),
    """
    kind: HTTPRoute
    spec:
      parentRefs: [{name: edge, sectionName: https}]
      hostnames: [one.secure.example.com]
      rules: [{backendRefs: [{name: $a, port: 8080}]}]
    ---
    kind: HTTPRoute
    name: $case-redirect
    spec:
      hostnames: [one.secure.example.com]
      rules: [{filters: [{type: RequestRedirect, requestRedirect: {scheme: https, statusCode: 301}}]}]
    """,
    (
        Ask(
            Request("/x", host="one.secure.example.com", tls=True),
            forwarded=(Forwarded("a", "/x", {"x-forwarded-proto": "https"}),),
        ),
        Ask(Request("/", host="two.secure.example.com", tls=True), 404, forwarded=()),
        Ask(
            Request("/x?y", host="one.secure.example.com"),
            301,
            {"location": "~https://one.secure.example.com(:443)?/x[?]y"},
        ),
    ),
    at_gateway=True,
)

_MUTUAL_URL = Request("/x", host="one.secure.example.com", port=8444, tls=True)
_MUTUAL = Case(
    "gateway-client-certificates",
    _ROW,
    ("HTTPRoute parentRefs[].sectionName",),
    """
    kind: HTTPRoute
    spec:
      parentRefs: [{name: edge, sectionName: mutual}]
      hostnames: [one.secure.example.com]
      rules: [{backendRefs: [{name: $a, port: 8080}]}]
    """,
    (
        Ask(replace(_MUTUAL_URL, proves_itself=True), forwarded=(Forwarded("a", "/x"),)),
        Ask(_MUTUAL_URL, 0, forwarded=()),
    ),
    at_gateway=True,
)

_FORWARDED = Case(
    "gateway-forwarded-headers",
    _ROW,
    ("HTTPRoute rules[].backendRefs",),
    """
    kind: HTTPRoute
    spec: {rules: [{backendRefs: [{name: $a, port: 8080}]}]}
    """,
    (
        Ask(
            Request("/", source="10.246.0.7"),
            forwarded=(
                Forwarded("a", headers={"x-forwarded-for": "10.246.0.7", "x-forwarded-proto": "http"}),
            ),
        ),
        Ask(
            Request(
                "/",
                source="10.246.0.7",
                headers=(
                    ("X-Forwarded-For", "1.2.3.4"),
                    ("X-Forwarded-Proto", "https"),
                    ("X-Envoy-Retry-On", "5xx"),
                    ("X-Envoy-Upstream-Rq-Timeout-Ms", "1"),
                    ("X-Forwarded-Client-Cert", "By=me"),
                ),
            ),
            forwarded=(
                Forwarded(
                    "a",
                    headers={
                        "x-forwarded-for": "~1.2.3.4, ?10.246.0.7",
                        "x-forwarded-proto": "http",
                        "x-envoy-retry-on": None,
                        "x-forwarded-client-cert": None,
                    },
                ),
            ),
        ),
    ),
    at_gateway=True,
)

_WEIGHTS = Case(
    "gateway-weights-and-invalid-backends",
    ("3.21", "3.4", "3.5"),
    ("HTTPRoute rules[].backendRefs[].weight",),
    """
    kind: HTTPRoute
    spec:
      rules:
      - matches: [{path: {value: /half}}]
        backendRefs: [{name: $a, port: 8080}, {name: nobody, port: 8080}]
      - matches: [{path: {value: /empty}}]
        backendRefs: [{name: $b, port: 8080}]
      - matches: [{path: {value: /foreign}}]
        backendRefs: [{name: $c, namespace: other, port: 8080}]
      - matches: [{path: {value: /split}}]
        backendRefs: [{name: $a, port: 8080, weight: 3}, {name: $d, port: 8080, weight: 1}]
    """,
    (
        Shares(Request("/half"), 300, {"a": 0.5, "500": 0.5}),
        ask("/empty", 503),
        ask("/foreign", 500),
        Shares(Request("/split"), 300, {"a": 0.75, "d": 0.25}),
    ),
    {"a": ONE, "b": (), "c": ONE, "d": ONE},
    namespaces={"c": "other"},
    at_gateway=True,
)

_GRANTED = Case(
    "gateway-reference-grant",
    ("3.21", "3.6"),
    ("ReferenceGrant from", "ReferenceGrant to"),
    """
    kind: HTTPRoute
    spec:
      rules:
      - matches: [{path: {value: /granted}}]
        backendRefs: [{name: $b, namespace: other, port: 8080}]
      - matches: [{path: {value: /refused}}]
        backendRefs: [{name: $c, namespace: other, port: 8080}]
    ---
    kind: ReferenceGrant
    namespace: other
    spec:
      from: [{group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: shop}]
      to: [{group: "", kind: Service, name: $b}]
    """,
    (ask("/granted", at="b"), ask("/refused", 500)),
    {"a": ONE, "b": ONE, "c": ONE},
    namespaces={"b": "other", "c": "other"},
    at_gateway=True,
)

_FILTERS = Case(
    "gateway-filters",
    ("3.21", "3.9", "3.10"),
    ("HTTPRoute rules[].filters[].urlRewrite", "HTTPRoute rules[].filters[].requestHeaderModifier"),
    """
    kind: HTTPRoute
    spec:
      rules:
      - matches: [{path: {value: /foo}}]
        filters:
        - type: URLRewrite
          urlRewrite:
            hostname: new.example.org
            path: {type: ReplacePrefixMatch, replacePrefixMatch: /bar}
        - type: RequestHeaderModifier
          requestHeaderModifier: {set: [{name: x-set, value: "1"}], remove: [x-gone]}
        - type: ResponseHeaderModifier
          responseHeaderModifier: {add: [{name: x-added, value: "1"}]}
        backendRefs: [{name: $a, port: 8080}]
    """,
    (
        Ask(
            Request("/foo/x?y", headers=(("x-gone", "1"),)),
            headers={"x-added": "1"},
            forwarded=(
                Forwarded("a", "/bar/x?y", {"host": "new.example.org", "x-set": "1", "x-gone": None}),
            ),
        ),
    ),
    at_gateway=True,
)

_BACKEND_TLS = Case(
    "gateway-tls-to-backends",
    _ROW,
    ("BackendTLSPolicy validation.hostname", "BackendTLSPolicy validation.caCertificateRefs"),
    """
    kind: HTTPRoute
    spec:
      rules:
      - matches: [{path: {value: /wrong}}]
        backendRefs: [{name: $b, port: 8080}]
      - backendRefs: [{name: $a, port: 8080}]
    ---
    kind: BackendTLSPolicy
    spec:
      targetRefs: [{group: "", kind: Service, name: $a}]
      validation:
        hostname: backend.example.com
        caCertificateRefs: [{group: "", kind: ConfigMap, name: authority}]
    ---
    kind: BackendTLSPolicy
    name: $case-wrong
    spec:
      targetRefs: [{group: "", kind: Service, name: $b}]
      validation:
        hostname: other.example.com
        caCertificateRefs: [{group: "", kind: ConfigMap, name: authority}]
    """,
    (ask("/x", at="a"), ask("/wrong", 503)),
    _TWO,
    upstream_tls=True,
    at_gateway=True,
)

_INGRESS = Case(
    "gateway-ingress",
    _ROW,
    ("Ingress rules[].host", "Ingress rules[].http.paths[].pathType"),
    """
    kind: Ingress
    spec:
      ingressClassName: mesh
      rules:
      - host: ingress.example.org
        http:
          paths:
          - {path: /one, pathType: Prefix, backend: {service: {name: $a, port: {number: 8080}}}}
          - {path: /exact, pathType: Exact, backend: {service: {name: $b, port: {name: http}}}}
    """,
    (
        ask("/one", at="a", host="ingress.example.org"),
        ask("/one/x?y", at="a", host="ingress.example.org"),
        ask("/exact", at="b", host="ingress.example.org"),
        ask("/exact/", 404, host="ingress.example.org"),
        ask("/onex", 404, host="ingress.example.org"),
        ask("/one", 404, host="other.example.org"),
    ),
    _TWO,
    at_gateway=True,
)

_PASSTHROUGH = Case(
    "gateway-tls-passthrough",
    ("3.21", "3.18"),
    ("TLSRoute hostnames",),
    """
    kind: TLSRoute
    name: $case-one
    spec:
      parentRefs: [{name: edge, sectionName: tls}]
      hostnames: [one.example.com]
      rules: [{backendRefs: [{name: $a, port: 9000}]}]
    ---
    kind: TLSRoute
    name: $case-any
    spec:
      parentRefs: [{name: edge, sectionName: tls}]
      hostnames: ["*.example.com"]
      rules: [{backendRefs: [{name: $b, port: 9000}]}]
    """,
    (
        Greeting({"a": 1.0}, port=8443, hello=hello("one.example.com")),
        Greeting({"b": 1.0}, port=8443, hello=hello("two.example.com")),
        Greeting({"": 1.0}, port=8443, hello=hello("example.org")),
    ),
    _TWO,
    protocol="tls",
    at_gateway=True,
)

_TCP = Case(
    "gateway-tcp",
    ("3.21", "3.17"),
    ("TCPRoute rules[].backendRefs[].weight",),
    """
    kind: TCPRoute
    spec:
      parentRefs: [{name: edge, sectionName: tcp}]
      rules:
      - backendRefs: [{name: $a, port: 9000, weight: 1}, {name: $b, port: 9000, weight: 1}]
    """,
    (Greeting({"a": 0.5, "b": 0.5}, 60, port=9100),),
    _TWO,
    protocol="tcp",
    at_gateway=True,
)

CASES = (
    _ROUTE,
    _HOSTNAMES,
    _ISOLATED,
    _HTTPS,
    _MUTUAL,
    _FORWARDED,
    _WEIGHTS,
    _GRANTED,
    _FILTERS,
    _BACKEND_TLS,
    _INGRESS,
    _PASSTHROUGH,
    _TCP,
)
