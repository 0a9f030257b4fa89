"""Which listeners of a Gateway take a route, and what it is told when none does."""

import pytest

from control_plane.attachment.gateway_parent import Attachment, attach, invalid_kinds, supported_kinds
from control_plane.attachment.hostname import intersection, intersections, specificity
from control_plane.attachment.support import Problem
from control_plane.resources.gateway_listener import Listener
from control_plane.resources.manifest import Manifest
from tests.unit.control_plane import manifest_builder as build
from tests.unit.control_plane.attachment.routes import parsed

ALL: Manifest = {"namespaces": {"from": "All"}}


def _listener(**fields: object) -> Listener:
    return Listener.model_validate(
        {"name": "a", "port": 80, "protocol": "HTTP", "allowedRoutes": ALL, **fields}
    )


def _attached(
    *listeners: Listener,
    parent: Manifest | None = None,
    hostnames: list[str] | None = None,
    kind: str = "HTTPRoute",
) -> tuple[Attachment, ...] | Problem:
    refs = [{"name": "gw", "namespace": "infra", **(parent or {})}]
    manifest = build.route("r", parents=refs)
    if kind != "HTTPRoute":
        manifest = build.stream_route(kind, "r", build.backend("db"), parents=refs)
    if hostnames is not None:
        manifest["spec"]["hostnames"] = hostnames  # type: ignore[index]
    route = parsed(manifest)
    return attach(route, route.parents[0], "spec.parentRefs[0]", listeners, {"team": "a"})


def _reason(result: tuple[Attachment, ...] | Problem) -> str:
    assert isinstance(result, Problem)
    return result.reason


def test_every_listener_that_allows_it_takes_a_route() -> None:
    found = _attached(_listener(), _listener(name="b", hostname="*.b"), hostnames=["a.b", "c.d"])
    assert found == (Attachment("a", ("a.b", "c.d")), Attachment("b", ("a.b",)))


@pytest.mark.parametrize(
    ("listener", "parent", "reason"),
    [
        ({}, {"sectionName": "b"}, "NoMatchingParent"),
        ({}, {"sectionName": "a", "port": 81}, "NoMatchingParent"),
        ({"allowedRoutes": {}}, {}, "NotAllowedByListeners"),
        ({"allowedRoutes": {"namespaces": {"from": "None"}}}, {}, "NotAllowedByListeners"),
        ({"allowedRoutes": {"namespaces": {"from": "Selector"}}}, {}, "NotAllowedByListeners"),
        ({"allowedRoutes": {**ALL, "kinds": [{"kind": "GRPCRoute"}]}}, {}, "NotAllowedByListeners"),
        ({"protocol": "TCP"}, {}, "NotAllowedByListeners"),
        ({"protocol": "example.com/own"}, {}, "NotAllowedByListeners"),
        ({"hostname": "b.a"}, {}, "NoMatchingListenerHostname"),
    ],
)
def test_a_route_that_no_listener_takes_is_told_why(
    listener: Manifest, parent: Manifest, reason: str
) -> None:
    assert _reason(_attached(_listener(**listener), parent=parent, hostnames=["a.b"])) == reason


def test_namespaces_are_allowed_by_name_and_by_label() -> None:
    selector = {"namespaces": {"from": "Selector", "selector": {"matchLabels": {"team": "a"}}}}
    assert not isinstance(_attached(_listener(allowedRoutes=selector)), Problem)
    same = _listener(allowedRoutes={})
    assert not isinstance(_attached(same, parent={"namespace": "shop"}), Problem)


def test_streams_attach_to_listeners_that_do_not_look_inside() -> None:
    tls = _listener(protocol="TLS", hostname="*.example.com", tls={"mode": "Passthrough"})
    assert _attached(tls, kind="TLSRoute") == (Attachment("a", ("db.example.com",)),)
    assert _attached(_listener(protocol="TCP"), kind="TCPRoute") == (Attachment("a", ("",)),)


def test_kinds_that_a_listener_cannot_take_are_named() -> None:
    kinds = [{"kind": "HTTPRoute"}, {"kind": "TCPRoute"}, {"group": "a", "kind": "HTTPRoute"}]
    listener = _listener(allowedRoutes={"kinds": kinds})
    assert supported_kinds(listener) == ("HTTPRoute",)
    assert invalid_kinds(listener) == ("TCPRoute", "HTTPRoute")


@pytest.mark.parametrize(
    ("listener", "route", "met"),
    [
        ("", "", ""),
        ("a.b", "", "a.b"),
        ("", "*.b", "*.b"),
        ("a.b", "a.b", "a.b"),
        ("*.b", "a.b", "a.b"),
        ("*.b", "x.a.b", "x.a.b"),
        ("*.b", "b", None),
        ("*.b", "ab", None),
        ("a.b", "*.b", "a.b"),
        ("*.b", "*.a.b", "*.a.b"),
        ("*.a.b", "*.b", "*.a.b"),
        ("*.b", "*.b", "*.b"),
        ("a.b", "c.b", None),
    ],
)
def test_hostnames_meet(listener: str, route: str, met: str | None) -> None:
    assert intersection(listener, route) == met
    assert intersection(route, listener) == met


def test_a_route_without_hostnames_has_the_listeners() -> None:
    assert intersections("*.b", ()) == ("*.b",)
    assert intersections("a.b", ("*.b", "a.b")) == ("a.b",)


def test_precise_names_are_tried_before_wildcards_and_longer_ones_first() -> None:
    names = ["", "*.b", "a.b", "*.long.example", "aa.b"]
    assert sorted(names, key=specificity, reverse=True) == ["aa.b", "a.b", "*.long.example", "*.b", ""]
