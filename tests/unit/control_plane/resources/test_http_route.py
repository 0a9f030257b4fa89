"""HTTPRoute: everything the standard's schema has, and everything it refuses, by field."""

import pytest

from control_plane.resources.gateway_field import milliseconds
from control_plane.resources.http_route import HttpRoute
from control_plane.resources.manifest import Manifest
from tests.unit.control_plane.resources.refusal import causes, manifest, with_spec

ROUTE = manifest("""
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: split, namespace: shop}
spec:
  parentRefs: [{group: "", kind: Service, name: catalog, port: 8080}]
  rules:
  - matches: [{path: {type: Exact, value: /items}}, {path: {value: /shop/}}]
    backendRefs: [{name: catalog-v1, port: 8080, weight: 0}, {name: catalog-v2, port: 8080}]
  - name: rest
    backendRefs: [{group: "", kind: Service, name: catalog, port: 8080, namespace: other, weight: 1000000}]
""")
EVERYTHING = manifest("""
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: all, namespace: shop}
spec:
  parentRefs:
  - {name: gw, sectionName: https}
  - {group: "", kind: Service, name: catalog, sectionName: http, port: 8080}
  hostnames: [shop.example.com, "*.example.com"]
  rules:
  - name: everything
    matches:
    - path: {type: PathPrefix, value: /a}
      method: POST
      headers: [{name: X-Version, value: v2}, {name: x-user, type: RegularExpression, value: "[a-z]+"}]
      queryParams: [{name: q, value: "1"}, {name: r, type: RegularExpression, value: ".*"}]
    filters:
    - type: RequestHeaderModifier
      requestHeaderModifier: {set: [{name: a, value: b}], add: [{name: c, value: d}], remove: [e]}
    - type: ResponseHeaderModifier
      responseHeaderModifier: {remove: [server]}
    - type: RequestMirror
      requestMirror: {backendRef: {name: shadow, port: 8080}, percent: 10}
    - type: RequestMirror
      requestMirror: {backendRef: {name: shadow, port: 8080}, fraction: {numerator: 1, denominator: 1000}}
    - type: URLRewrite
      urlRewrite: {hostname: new.example.com, path: {type: ReplacePrefixMatch, replacePrefixMatch: /b}}
    - type: CORS
      cors:
        allowOrigins: [https://a.example.com, "http://*.example.com:8080"]
        allowCredentials: true
        allowMethods: [GET, PUT]
        allowHeaders: [x-a]
        exposeHeaders: [x-b]
        maxAge: 60
    backendRefs:
    - name: catalog
      port: 8080
      filters:
      - type: RequestHeaderModifier
        requestHeaderModifier: {set: [{name: a, value: b}]}
    timeouts: {request: 10s, backendRequest: 2s500ms}
    retry: {codes: [500, 503], attempts: 3, backoff: 100ms}
    sessionPersistence: {sessionName: s, absoluteTimeout: 1h, cookieConfig: {lifetimeType: Permanent}}
  - filters:
    - type: RequestRedirect
      requestRedirect: {scheme: https, hostname: example.com, port: 8443, statusCode: 308}
""")
PARENT = {"group": "", "kind": "Service", "name": "catalog"}


def rule_causes(**fields: object) -> dict[str, str]:
    """Of a route with this one rule, by field below the rule."""
    found = causes(with_spec(ROUTE, rules=[fields]))
    return {name.removeprefix("spec.rules[0].").removeprefix("spec."): text for name, text in found.items()}


def test_defaults() -> None:
    first, second = HttpRoute.parse(ROUTE).spec.rules
    assert [match.path.type for match in first.matches] == ["Exact", "PathPrefix"]
    assert [backend.weight for backend in first.backend_refs] == [0, 1]
    assert [(match.path.type, match.path.value) for match in second.matches] == [("PathPrefix", "/")]


def test_everything_the_standard_has_is_accepted_and_comes_back_as_it_was() -> None:
    assert causes(EVERYTHING) == {}
    assert HttpRoute.parse(EVERYTHING).to_manifest() == EVERYTHING
    assert HttpRoute.parse(with_spec(ROUTE, rules=None)).spec.rules[0].matches[0].path.value == "/"
    cors = HttpRoute.parse(with_spec(ROUTE, rules=[{"filters": [{"type": "CORS", "cors": {}}]}]))
    assert cors.spec.rules[0].filters[0].cors is not None
    assert cors.spec.rules[0].filters[0].cors.max_age == 5


def test_a_gateway_is_the_parent_by_default() -> None:
    (ref,) = HttpRoute.parse(with_spec(ROUTE, parentRefs=[{"name": "gw"}])).spec.parent_refs
    assert (ref.group, ref.kind) == ("gateway.networking.k8s.io", "Gateway")


def test_status_of_any_parent_is_accepted() -> None:
    parent = {"parentRef": {"name": "catalog"}, "controllerName": "meshproxy.io/controller"}
    condition = {"type": "Accepted", "status": "True", "reason": "Accepted", "observedGeneration": 1}
    status = {"parents": [{**parent, "conditions": [condition]}]}
    assert causes({**ROUTE, "status": status}) == {}


@pytest.mark.parametrize(
    ("spec", "field", "message"),
    [
        ({"hostnames": ["a."]}, "spec.hostnames[0]", "DNS name"),
        ({"hostnames": ["10.0.0.1"]}, "spec.hostnames[0]", "not an IP address"),
        ({"hostnames": ["a.*.b"]}, "spec.hostnames[0]", "first label"),
        ({"hostnames": ["a.b"] * 17}, "spec.hostnames", "at most 16"),
        ({"parentRefs": [{**PARENT, "kind": "9"}]}, "spec.parentRefs[0].kind", "must be a kind"),
        ({"parentRefs": [{**PARENT, "group": "a/b"}]}, "spec.parentRefs[0].group", "API group"),
        ({"parentRefs": [{**PARENT, "sectionName": "X"}]}, "spec.parentRefs[0].sectionName", "subdomain"),
        ({"parentRefs": [{**PARENT, "port": n} for n in range(1, 34)]}, "spec.parentRefs", "at most 32"),
        ({"rules": []}, "spec.rules", "at least 1"),
        ({"rules": [{}] * 17}, "spec.rules", "at most 16"),
        ({"rules": [{"name": "a"}, {"name": "a"}]}, "spec.rules", "'a' must be unique"),
        ({"rules": [{"matches": [{}] * 43}] * 3}, "spec.rules", "129 matches in all rules"),
        ({"rules": [{"matches": [{}] * 65}]}, "spec.rules[0].matches", "at most 64"),
        ({"useDefaultGateways": "All"}, "spec.useDefaultGateways", "not supported"),
    ],
)
def test_refuses(spec: dict[str, object], field: str, message: str) -> None:
    assert message in causes(with_spec(ROUTE, **spec))[field]


@pytest.mark.parametrize(
    ("match", "field"),
    [
        ({"method": "get"}, "method"),
        ({"path": {"type": "RegularExpression", "value": "/(?=a)"}}, "path.value"),
        ({"path": {"type": "RegularExpression", "value": "/("}}, "path.value"),
        ({"path": {"type": "Prefix"}}, "path.type"),
        ({"path": {"value": "items"}}, "path.value"),
        ({"path": {"value": ""}}, "path.value"),
        ({"path": {"value": "/a//b"}}, "path.value"),
        ({"path": {"value": "/a/.."}}, "path.value"),
        ({"path": {"value": "/a?b"}}, "path.value"),
        ({"path": {"value": "/" + "a" * 1024}}, "path.value"),
        ({"headers": [{"name": "a b", "value": "c"}]}, "headers[0].name"),
        ({"headers": [{"name": ":path", "value": "c"}]}, "headers[0].name"),
        ({"headers": [{"name": "a", "value": ""}]}, "headers[0].value"),
        ({"headers": [{"name": "a", "value": "b\n"}]}, "headers[0].value"),
        ({"headers": [{"name": "a", "value": "b\\1", "type": "RegularExpression"}]}, "headers[0].value"),
        ({"headers": [{"name": "a", "value": "b"}, {"name": "a", "value": "c"}]}, "headers"),
        ({"headers": [{"name": f"h{n}", "value": "b"} for n in range(17)]}, "headers"),
        ({"queryParams": [{"name": "a", "value": "(", "type": "RegularExpression"}]}, "queryParams[0].value"),
        ({"queryParams": [{"name": "a", "value": "b", "type": "Prefix"}]}, "queryParams[0].type"),
    ],
)
def test_refuses_matches(match: dict[str, object], field: str) -> None:
    assert rule_causes(matches=[match]).keys() == {f"matches[0].{field}"}


@pytest.mark.parametrize(
    ("backend", "field"),
    [
        ({"weight": -1}, ".weight"),
        ({"weight": 1_000_001}, ".weight"),
        ({"weight": "1"}, ".weight"),
        ({"port": None}, ""),
        ({"port": 0}, ".port"),
        ({"name": ""}, ".name"),
        ({"namespace": "A"}, ".namespace"),
        ({"filters": [{"type": "CORS"}]}, ".filters[0]"),
    ],
)
def test_refuses_backends(backend: dict[str, object], field: str) -> None:
    found = rule_causes(backendRefs=[{"name": "a", "port": 1, **backend}])
    assert found.keys() == {f"backendRefs[0]{field}"}


def _header(kind: str, **change: object) -> Manifest:
    return {"type": f"{kind}HeaderModifier", f"{kind.lower()}HeaderModifier": change}


def _rewrite(**path: object) -> Manifest:
    return {"type": "URLRewrite", "urlRewrite": {"path": path}}


def _mirror(**fields: object) -> Manifest:
    return {"type": "RequestMirror", "requestMirror": {"backendRef": {"name": "a", "port": 1}, **fields}}


def _cors(**fields: object) -> Manifest:
    return {"type": "CORS", "cors": fields}


REDIRECT: Manifest = {"type": "RequestRedirect", "requestRedirect": {"port": 1}}
PREFIX = {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/b"}


@pytest.mark.parametrize(
    ("filter_", "message"),
    [
        ({"type": "ExtensionRef", "extensionRef": {"group": "a", "kind": "B", "name": "c"}}, "not supported"),
        ({"type": "ExternalAuth"}, "not supported"),
        ({"type": "Gzip"}, "must be one of RequestHeaderModifier"),
        ({"type": "CORS"}, "cors: required when type is CORS"),
        ({**REDIRECT, "cors": {}}, "cors: only allowed when type is CORS"),
        (_header("Request", set=[{"name": "A", "value": "1"}], remove=["a"]), "header 'a' is changed twice"),
        (_header("Response", add=[{"name": "a", "value": "1"}] * 2), "header 'a' is listed twice"),
        (_header("Request", add=[{"name": "a", "value": "1\r\nb: c"}]), "control characters"),
        (_header("Request", remove=["a"] * 2), "listed twice"),
        (_header("Request", remove=["a:"]), "must be a header name"),
        ({**REDIRECT, "requestRedirect": {"statusCode": 300}}, "301, 302, 303, 307 or 308"),
        ({**REDIRECT, "requestRedirect": {"scheme": "ftp"}}, "'http' or 'https'"),
        ({**REDIRECT, "requestRedirect": {"hostname": "*.a"}}, "without a wildcard"),
        (_rewrite(type="ReplaceFullPath"), "replaceFullPath: required"),
        (_rewrite(type="ReplaceFullPath", replaceFullPath="/a", replacePrefixMatch="/"), "only allowed"),
        (_rewrite(type="ReplaceFullPath", replaceFullPath="/a b"), "characters of a URL path"),
        (_rewrite(type="ReplaceFullPath", replaceFullPath="/a?b"), "characters of a URL path"),
        (_mirror(percent=1, fraction={"numerator": 1}), "only one of percent and fraction"),
        (_mirror(percent=101), "less than or equal to 100"),
        (_mirror(fraction={"numerator": 2, "denominator": 1}), "less than or equal to denominator"),
        (_cors(allowOrigins=["*", "https://a"]), "must stand alone"),
        (_cors(allowOrigins=["a.example.com"]), "<scheme>://<host>"),
        (_cors(allowOrigins=["https://a", "https://a"]), "listed twice"),
        (_cors(allowMethods=["*", "GET"]), "must stand alone"),
        (_cors(maxAge=0), "greater than or equal to 1"),
    ],
)
def test_refuses_filters(filter_: Manifest, message: str) -> None:
    for found in (
        rule_causes(filters=[filter_]),
        rule_causes(backendRefs=[{"name": "a", "port": 1, "filters": [filter_]}]),
    ):
        assert any(message in text for text in found.values()), found


@pytest.mark.parametrize(
    ("rule", "field", "message"),
    [
        ({"filters": [_rewrite(**PREFIX)] * 2}, "filters", "URLRewrite filter cannot be repeated"),
        ({"filters": [_cors()] * 2}, "filters", "CORS filter cannot be repeated"),
        ({"filters": [REDIRECT, _rewrite(**PREFIX)]}, "filters", "cannot be combined"),
        (
            {"filters": [REDIRECT], "backendRefs": [{"name": "a", "port": 1}]},
            "rules[0]",
            "cannot be used together with backendRefs",
        ),
        ({"matches": [{}, {}], "filters": [_rewrite(**PREFIX)]}, "rules[0]", "exactly one match"),
        (
            {"matches": [{"path": {"type": "Exact", "value": "/a"}}], "filters": [_rewrite(**PREFIX)]},
            "rules[0]",
            "of type PathPrefix",
        ),
        (
            {
                "matches": [{"path": {"type": "Exact", "value": "/a"}}],
                "backendRefs": [{"name": "a", "port": 1, "filters": [_rewrite(**PREFIX)]}],
            },
            "rules[0]",
            "backendRefs[0].filters: replacePrefixMatch needs",
        ),
        ({"timeouts": {"request": "1s", "backendRequest": "2s"}}, "timeouts", "cannot be longer"),
        ({"timeouts": {"request": "1.5s"}}, "timeouts.request", "GEP-2257"),
        ({"timeouts": {"request": "1d"}}, "timeouts.request", "GEP-2257"),
        ({"timeouts": {"request": "100000s"}}, "timeouts.request", "GEP-2257"),
        ({"retry": {"codes": [399]}}, "retry.codes[0]", "400"),
        ({"retry": {"codes": [500, 500]}}, "retry.codes", "listed twice"),
        ({"retry": {"attempts": -1}}, "retry.attempts", "0"),
        ({"sessionPersistence": {"type": "Query"}}, "sessionPersistence.type", "Cookie"),
        (
            {"sessionPersistence": {"cookieConfig": {"lifetimeType": "Permanent"}}},
            "sessionPersistence",
            "absoluteTimeout: required",
        ),
    ],
)
def test_refuses_rules(rule: dict[str, object], field: str, message: str) -> None:
    assert message in rule_causes(**rule).get(field, "") or message in rule_causes(**rule).get(
        f"spec.{field}", ""
    ), rule_causes(**rule)


def test_no_timeout_is_longer_than_anything() -> None:
    assert rule_causes(timeouts={"request": "0s", "backendRequest": "2s"}) == {}


@pytest.mark.parametrize(
    ("text", "length"), [("0s", 0), ("500ms", 500), ("1h30m", 5_400_000), ("1s1ms", 1001), ("2m2m", 240_000)]
)
def test_durations(text: str, length: int) -> None:
    assert milliseconds(text) == length
