"""What routes are told about their parents."""

import pytest

from control_plane.attachment.condition import RouteCondition
from control_plane.resources.manifest import Manifest, key_of
from control_plane.status import parent_statuses
from tests.unit.control_plane import manifest_builder as build
from tests.unit.control_plane.attachment.routes import index_of


def _told(route: Manifest, *others: Manifest) -> dict[str, RouteCondition]:
    """Conditions of the first parent, by type."""
    index = index_of(*others, route)
    parsed = index.registry.routes.get(key_of(route))
    assert parsed is not None
    return {one.type: one for one in parent_statuses(parsed, index.registry)[0]}


def _verdict(route: Manifest, *others: Manifest, kind: str = "Accepted") -> tuple[bool, str]:
    condition = _told(route, *others)[kind]
    return condition.status, condition.reason


def _tcp(name: str = "tcp", **fields: object) -> Manifest:
    return build.stream_route("TCPRoute", name, build.backend("catalog", 7000), **fields)  # type: ignore[arg-type]


def test_the_parents_port_is_looked_up_by_name_too() -> None:
    route = build.route("r", parents=[build.service_parent(sectionName="web")])
    told = _told(route)["Accepted"]
    assert (told.status, told.reason) == (False, "NoMatchingParent")
    assert told.message == (
        "spec.parentRefs[0].sectionName: Service shop/catalog has no port named web; it has http, tcp, any"
    )


def test_parents_of_other_kinds_are_for_others_to_judge() -> None:
    index = index_of(build.route("r", parents=[{"name": "gw"}]))
    route = index.registry.routes.get(key_of(build.route("r")))
    assert route is not None
    assert parent_statuses(route, index.registry) == ()


def test_a_stream_route_needs_an_opaque_or_undeclared_port_with_an_address() -> None:
    assert _verdict(_tcp()) == (True, "Accepted")
    on_http = _told(_tcp(parents=[build.service_parent(port=8080)]))["Accepted"]
    assert (on_http.reason, "declared HTTP" in on_http.message) == ("NoMatchingParent", True)
    headless = build.service("headless", {"name": "tcp", "port": 7000}, vip="None")
    told = _told(_tcp(parents=[build.service_parent("headless")]), headless)["Accepted"]
    assert "is headless: its connections cannot be told" in told.message


def test_a_more_specific_kind_or_an_older_route_has_the_port() -> None:
    only = [build.service_parent(port=9000)]
    assert _verdict(_tcp(parents=only), build.route("http")) == (False, "Conflicted")
    assert _verdict(_tcp(parents=only, created=build.LATE), _tcp("older", parents=only)) == (
        False,
        "Conflicted",
    )
    tls = build.stream_route("TLSRoute", "tls", build.backend("catalog", 7000), parents=only)
    assert _verdict(_tcp(parents=only), tls) == (False, "Conflicted")
    assert _verdict(tls, _tcp(parents=only)) == (True, "Accepted")
    assert _verdict(_tcp(), build.route("http")) == (True, "Accepted"), "it still has the opaque port"


def test_a_stream_cannot_be_sent_to_a_port_that_declares_http() -> None:
    route = build.stream_route("TCPRoute", "tcp", build.backend("catalog", 8080))
    assert _verdict(route, kind="ResolvedRefs") == (False, "UnsupportedProtocol")


def test_mirrors_are_references_too() -> None:
    mirror = {"type": "RequestMirror", "requestMirror": {"backendRef": {"name": "gone", "port": 1}}}
    route = build.route("r", {**build.rule(build.backend("catalog")), "filters": [mirror]})
    told = _told(route)["ResolvedRefs"]
    assert told.reason == "BackendNotFound"
    assert told.message.startswith("spec.rules[0].filters.requestMirror.backendRef.name")
    in_backend = build.route("r", build.rule({**build.backend("catalog"), "filters": [mirror]}))
    assert "backendRefs[0].filters.requestMirror" in _told(in_backend)["ResolvedRefs"].message


def test_other_kinds_are_no_backends() -> None:
    route = build.route("r", build.rule({"group": "example.com", "kind": "Bucket", "name": "b"}))
    assert _verdict(route, kind="ResolvedRefs") == (False, "InvalidKind")


GOOD = build.rule(build.backend("catalog"))
SESSION = {"sessionPersistence": {"idleTimeout": "1m"}}


def test_some_rules_dropped_is_partially_invalid_and_all_dropped_is_not_accepted() -> None:
    partly = _told(build.route("r", GOOD, {**GOOD, **SESSION}))
    assert partly["Accepted"].status
    assert (partly["PartiallyInvalid"].status, partly["PartiallyInvalid"].reason) == (
        True,
        "UnsupportedValue",
    )
    assert partly["PartiallyInvalid"].message.startswith(
        "Dropped Rule 1: spec.rules[1].sessionPersistence.idleTimeout"
    )
    wholly = _told(build.route("r", {**GOOD, **SESSION}))
    assert (wholly["Accepted"].status, wholly["Accepted"].reason) == (False, "UnsupportedValue")
    assert wholly.keys() == {"Accepted", "ResolvedRefs"}
    assert _told(build.route("r", GOOD)).keys() == {"Accepted", "ResolvedRefs"}


def _with(*filters: Manifest, backends: int = 1) -> Manifest:
    own = {**build.backend("catalog"), "filters": list(filters)}
    return build.rule(own, *[build.backend("catalog")] * (backends - 1))


def _headers(kind: str, **change: object) -> Manifest:
    return {"type": f"{kind}HeaderModifier", f"{kind.lower()}HeaderModifier": change}


MIRROR = {"type": "RequestMirror", "requestMirror": {"backendRef": {"name": "catalog", "port": 8080}}}
REDIRECT = {"type": "RequestRedirect", "requestRedirect": {"port": 1}}
REWRITE: Manifest = {
    "type": "URLRewrite",
    "urlRewrite": {"path": {"type": "ReplaceFullPath", "replaceFullPath": "/a"}},
}


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        ({**GOOD, "sessionPersistence": {"absoluteTimeout": "1h"}}, "UnsupportedValue"),
        ({**GOOD, "filters": [_headers("Request", remove=["Transfer-Encoding"])]}, "UnsupportedValue"),
        (
            {**GOOD, "filters": [_headers("Response", set=[{"name": "Host", "value": "a"}])]},
            "UnsupportedValue",
        ),
        (_with(_headers("Request", remove=["host"])), "UnsupportedValue"),
        (_with(MIRROR, backends=2), "IncompatibleFilters"),
        (_with(REDIRECT, backends=2), "IncompatibleFilters"),
        (_with(REWRITE, backends=2), "IncompatibleFilters"),
        ({**_with(REWRITE), "filters": [REWRITE]}, "IncompatibleFilters"),
    ],
)
def test_what_cannot_be_done_says_so(rule: Manifest, reason: str) -> None:
    assert _verdict(build.route("r", rule)) == (False, reason)


@pytest.mark.parametrize(
    "rule",
    [
        {**GOOD, "filters": [_headers("Request", set=[{"name": "Host", "value": "a"}])]},
        _with(MIRROR),
        _with(REDIRECT),
        _with(REWRITE),
        _with(_headers("Response", set=[{"name": "a", "value": "b"}]), backends=2),
    ],
)
def test_what_can_be_done_is_accepted(rule: Manifest) -> None:
    assert _verdict(build.route("r", rule)) == (True, "Accepted")
