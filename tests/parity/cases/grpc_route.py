"""GRPCRoute, and calls without one (rows 3.14, 3.5, 3.7, 3.10, 3.21)."""

from tests.parity.ask import Ask, Forwarded
from tests.parity.call import FINE, GET, call, calling
from tests.parity.case import Case, Pod, pods
from tests.parity.share import Shares
from tests.parity.step import Request

_ONE = pods(FINE)
_TWO = {"a": _ONE, "b": _ONE}
_THREE = {"a": _ONE, "b": _ONE, "c": _ONE}
_METHOD = "GRPCRoute rules[].matches[].method"


def _case(
    name: str,
    rules: str,
    *steps: Ask | Shares,
    rows: tuple[str, ...] = ("3.14",),
    exercises: tuple[str, ...] = (_METHOD,),
    services: dict[str, tuple[Pod, ...]] | None = None,
    at_gateway: bool = False,
) -> Case:
    """`rules`: one on each line."""
    lines = "".join(f"\n- {{{rule.strip()}}}" for rule in rules.strip().splitlines())
    return Case(
        name,
        rows,
        exercises,
        "kind: GRPCRoute\nspec:\n  rules:" + lines.replace("\n", "\n  ") + "\n",
        steps,
        services or _TWO,
        protocol="grpc",
        at_gateway=at_gateway,
    )


_A, _B, _C = (f"backendRefs: [{{name: ${name}, port: 8080}}]" for name in "abc")
_RE = "type: RegularExpression"

_MATCHES = (
    _case(
        "grpc-method",
        f"""
        matches: [{{method: {{service: shop.v1.Cart, method: Get}}}}], {_A}
        matches: [{{method: {{service: shop.v1.Stock}}}}], {_B}
        matches: [{{method: {{method: Watch}}}}], {_C}
        """,
        call(GET, at="a"),
        call("/shop.v1.Stock/Get", at="b"),
        call("/shop.v1.Other/Watch", at="c"),
        call("/shop.v1.Cart/Put", 12),
        call("/shop.v1.Cart/Gets", 12),
        call("/shop.v1.StockRoom/Get", 12),
        call("/SHOP.v1.Cart/Get", 12),
        services=_THREE,
    ),
    _case(
        "grpc-method-regular-expression",
        f"""
        matches: [{{method: {{{_RE}, service: "shop[.]v[0-9]+[.]Cart", method: "Get|Put"}}}}], {_A}
        matches: [{{method: {{{_RE}, service: "shop[.].*"}}}}], {_B}
        """,
        call("/shop.v22.Cart/Put", at="a"),
        call("/shop.v2.Cart/Puts", at="b"),
        call("/store.v2.Cart/Put", 12),
    ),
    _case(
        "grpc-metadata",
        f"""
        matches: [{{headers: [{{name: x-tenant, value: big}}, {{name: x-tier, {_RE}, value: "go.*"}}]}}], {_A}
        matches: [{{method: {{service: shop.v1.Cart}}, headers: [{{name: x-tenant, value: small}}]}}], {_B}
        """,
        call(GET, at="a", metadata=(("x-tenant", "big"), ("x-tier", "gold"))),
        call(GET, 12, metadata=(("x-tenant", "big"), ("x-tier", "silver"))),
        call(GET, at="b", metadata=(("x-tenant", "small"),)),
        call("/shop.v1.Stock/Get", 12, metadata=(("x-tenant", "small"),)),
        exercises=("GRPCRoute rules[].matches[].headers",),
    ),
    _case(
        "grpc-precedence",
        f"""
        {_C}
        matches: [{{method: {{service: shop.v1.Cart}}}}], {_B}
        matches: [{{method: {{service: shop.v1.Cart, method: Get}}}}], {_A}
        """,
        call(GET, at="a"),
        call("/shop.v1.Cart/Put", at="b"),
        call("/any.Thing/Else", at="c"),
        rows=("3.14", "3.3"),
        services=_THREE,
    ),
)

_WEIGHTS = (
    _case(
        "grpc-weights",
        "backendRefs: [{name: $a, port: 8080, weight: 3}, {name: $b, port: 8080, weight: 1}]",
        Shares(calling(), 400, {"a": 0.75, "b": 0.25}),
        rows=("3.5", "3.14"),
        exercises=("GRPCRoute rules[].backendRefs[].weight",),
    ),
    _case(
        "grpc-backend-that-is-not-there",
        "backendRefs: [{name: nobody, port: 8080}]",
        call(GET, 14),
        rows=("3.4", "3.14"),
        exercises=("GRPCRoute rules[].backendRefs",),
    ),
    _case(
        "grpc-no-weight-at-all",
        "backendRefs: [{name: $a, port: 8080, weight: 0}]",
        call(GET, 14),
        rows=("3.4", "3.14"),
        exercises=("GRPCRoute rules[].backendRefs[].weight",),
    ),
)

_FILTERS = (
    _case(
        "grpc-request-metadata",
        "filters: [{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: x-set, value: s}], "
        "add: [{name: x-add, value: b}], remove: [x-gone]}}], " + _A,
        Ask(
            calling(GET, ("x-set", "c"), ("x-add", "a"), ("x-gone", "1"), ("x-data-bin", "AAEC")),
            forwarded=(
                Forwarded(
                    "a",
                    GET,
                    {
                        "x-set": "s",
                        "x-add": "~a,( )?b",
                        "x-gone": None,
                        "x-data-bin": "AAEC",
                        "te": "trailers",
                        "content-type": "application/grpc",
                    },
                ),
            ),
            grpc=0,
        ),
        rows=("3.10", "3.14"),
        exercises=("GRPCRoute rules[].filters[].requestHeaderModifier",),
    ),
    _case(
        "grpc-response-metadata",
        "filters: [{type: ResponseHeaderModifier, responseHeaderModifier: {set: [{name: x-set, value: s}]}}]"
        + f", {_A}",
        Ask(calling(), headers={"x-set": "s"}, trailers={"grpc-status": "0", "x-served": "yes"}, attempts=1),
        rows=("3.10", "3.14"),
        exercises=("GRPCRoute rules[].filters[].responseHeaderModifier",),
    ),
    _case(
        "grpc-response-metadata-of-local-replies",
        "filters: [{type: ResponseHeaderModifier, responseHeaderModifier: {set: [{name: x-set, value: s}]}}]"
        ", backendRefs: [{name: $a, port: 8080}]",
        call(GET, 14, headers={"x-set": "s"}),
        rows=("3.10", "3.14"),
        exercises=("GRPCRoute rules[].filters[].responseHeaderModifier",),
        services={"a": ()},
    ),
    _case(
        "grpc-mirror",
        "filters: [{type: RequestMirror, requestMirror: {backendRef: {name: $b, port: 8080}}}], " + _A,
        Ask(
            calling(), forwarded=(Forwarded("a", GET, version="2"), Forwarded("b", GET, version="2")), grpc=0
        ),
        rows=("3.7", "3.14"),
        exercises=("GRPCRoute rules[].filters[].requestMirror",),
    ),
    _case(
        "grpc-metadata-per-backend",
        "backendRefs: [{name: $a, port: 8080, filters: [{type: RequestHeaderModifier, requestHeaderModifier: "
        "{set: [{name: x-of, value: a}]}}]}]",
        Ask(calling(), forwarded=(Forwarded("a", GET, {"x-of": "a"}),), grpc=0),
        rows=("3.10", "3.14"),
        exercises=("GRPCRoute rules[].backendRefs[].filters[].requestHeaderModifier",),
    ),
)

_AT_GATEWAY = _case(
    "gateway-grpc-route",
    f"matches: [{{method: {{service: shop.v1.Cart}}}}], {_A}",
    call(GET, at="a"),
    call("/shop.v1.Stock/Get", 12),
    rows=("3.14", "3.21"),
    at_gateway=True,
)


def _typed(content_type: str, status: int) -> Ask:
    """Nobody answers: 200 with a gRPC status says that it was a call."""
    made = Request(GET, "POST", (("content-type", content_type),), body=b"x", version="2")
    return Ask(made, status, forwarded=())


_PLAIN = (
    Case(
        "grpc-service-without-routes",
        ("3.14",),
        (),
        "",
        (
            Ask(calling(), trailers={"grpc-status": "0", "x-served": "yes"}),
            Shares(calling(), 60, {"a": 1 / 3, "a1": 1 / 3, "a2": 1 / 3}, "endpoint", drawn=False),
        ),
        {"a": pods(FINE, FINE, FINE)},
        protocol="grpc",
    ),
    Case(
        "grpc-route-answers-other-requests-too",
        ("3.14",),
        (_METHOD,),
        """
        kind: GRPCRoute
        spec: {rules: [{matches: [{method: {service: shop.v1.Cart}}], backendRefs: [{name: $a, port: 8080}]}]}
        """,
        (
            Ask(Request(GET, version="2"), forwarded=(Forwarded("a", GET, method="GET"),)),
            Ask(Request("/other", version="2"), 404, forwarded=()),
        ),
        {"a": _ONE},
        protocol="grpc",
    ),
    Case(
        "grpc-by-content-type",
        ("3.14",),
        (),
        "",
        (
            *(_typed(value, 200) for value in ("application/grpc", "application/grpc+proto")),
            *(
                _typed(value, 503)
                for value in ("application/grpc-web", "application/json", "application/grpcs")
            ),
            *(_typed(value, 503) for value in ("text/plain, application/grpc", "")),
        ),
        {"a": ()},
        protocol="grpc",
    ),
    Case(
        "grpc-by-content-type-with-parameters",
        ("3.14",),
        (),
        "",
        (_typed("application/grpc;v=1", 200), _typed("Application/gRPC", 503)),
        {"a": ()},
        protocol="grpc",
    ),
    Case(
        "grpc-service-with-http-routes",
        ("3.14", "3.1"),
        ("HTTPRoute rules[].matches[].path",),
        """
        kind: HTTPRoute
        spec:
          rules:
          - matches: [{path: {value: /shop.v1.Cart}}]
            filters:
            - type: URLRewrite
              urlRewrite: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /v2}}
            backendRefs: [{name: $a, port: 8080}]
        """,
        (
            Ask(calling(), forwarded=(Forwarded("a", "/v2/Get", version="2"),), grpc=0),
            call("/shop.v1.Stock/Get", 12),
        ),
        {"a": _ONE},
        protocol="grpc",
    ),
    Case(
        "grpc-mesh-tls-to-a-pod",
        ("3.14", "3.15"),
        (),
        "",
        (call(GET, at="a"), call(GET, at="a")),
        {"a": (Pod((FINE,), where="meshed"),)},
        protocol="grpc",
    ),
)

CASES = (*_MATCHES, *_WEIGHTS, *_FILTERS, _AT_GATEWAY, *_PLAIN)
