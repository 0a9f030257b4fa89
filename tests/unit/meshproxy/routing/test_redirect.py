"""Where a redirect sends a client. The expectations are what stock Envoy 1.40 does."""

import pytest

from meshproxy.config.head_edit import PathRewrite, RegexSubstitution
from meshproxy.config.route import Redirect, Route
from meshproxy.config.route_match import PathMatch, PathMatchKind, RouteMatch
from meshproxy.routing.match import CompiledRoute
from meshproxy.routing.redirect import CompiledRedirect
from tests.unit.meshproxy.routing.request import request

MATCH = PathMatch(PathMatchKind.PREFIX, "/a")


@pytest.mark.parametrize(
    ("action", "host", "target", "expected"),
    [
        (Redirect(scheme="https"), "h", "/a?q", "https://h/a?q"),
        (Redirect(scheme="https"), "h:80", "/a", "https://h/a"),
        (Redirect(scheme="https"), "[::1]:80", "/a", "https://[::1]/a"),
        (Redirect(scheme="https"), "[::1]", "/a", "https://[::1]/a"),
        (Redirect(scheme="https"), "h:443", "/a", "https://h:443/a"),
        (Redirect(scheme="http"), "h:80", "/a", "http://h:80/a"),
        (Redirect(port=8080), "h:80", "/a", "http://h:8080/a"),
        (Redirect(scheme="https", port=443), "h", "/a", "https://h:443/a"),
        (Redirect(host="o:81", scheme="https"), "h:80", "/a", "https://o:81/a"),
        (Redirect(path="/x"), "h", "/a?q", "http://h/x?q"),
        (Redirect(path="/x?y"), "h", "/a?q", "http://h/x?y"),
        (Redirect(path="/x", strip_query=True), "h", "/a?q", "http://h/x"),
        (Redirect(path="/x?y", strip_query=True), "h", "/a?q", "http://h/x?y"),
        (Redirect(strip_query=True), "h", "/a?q", "http://h/a"),
        (Redirect(rewrite=PathRewrite("/n")), "h", "/a/b?c", "http://h/n/b?c"),
        (
            Redirect(rewrite=PathRewrite(regex=RegexSubstitution("[0-9]+", r"<\0>"))),
            "h",
            "/a/12?7",
            "http://h/a/<12>?7",
        ),
    ],
)
def test_location(action: Redirect, host: str, target: str, expected: str) -> None:
    location = CompiledRedirect(action, MATCH).location(request(target, host=host), b"http")
    assert location.decode() == expected


def test_the_asterisk_form_has_no_path_to_go_to() -> None:
    head = request("*", method="OPTIONS")
    assert CompiledRedirect(Redirect(host="o"), MATCH).location(head, b"https") == b"https://o/"


def test_a_route_that_redirects_has_no_cluster() -> None:
    route = CompiledRoute(Route("r", RouteMatch(MATCH), Redirect(status=308)))
    assert route.redirect is not None
    assert (route.redirect.status, route.action, route.pick_target(0.5)) == (308, None, None)
