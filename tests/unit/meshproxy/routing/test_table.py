"""Virtual host precedence, first match, and the bounded memo."""

import pytest

from meshproxy.config.route import Route, RouteAction, RouteTable, VirtualHost, WeightedCluster
from meshproxy.config.route_match import PathMatch, PathMatchKind, RouteMatch
from meshproxy.errors import ConfigError
from meshproxy.routing.table import MEMO_ENTRIES, MEMO_KEY_LENGTH, CompiledRouteTable, without_port
from tests.unit.meshproxy.routing.request import request


def _route(name: str, value: str = "/", kind: PathMatchKind = PathMatchKind.PREFIX) -> Route:
    return Route(name, RouteMatch(PathMatch(kind, value)), RouteAction((WeightedCluster(name, 1),)))


def _host(name: str, *domains: str, routes: tuple[Route, ...] | None = None) -> VirtualHost:
    return VirtualHost(name, domains, routes if routes is not None else (_route(name),))


def _table(*hosts: VirtualHost, ignore_port: bool = False) -> CompiledRouteTable:
    return CompiledRouteTable(RouteTable("8080", hosts, ignore_port))


def _name(table: CompiledRouteTable, authority: str, path: str = "/") -> str | None:
    route = table.match(request(path, host=authority))
    return route.name if route else None


@pytest.mark.parametrize(
    ("authority", "expected"),
    [
        ("www.foo.com", "exact"),
        ("www.foo.com:8080", "exact_port"),
        ("www.foo.com:9", "any"),
        ("a.foo.com", "suffix"),
        ("a.bar.foo.com", "longer_suffix"),
        (".foo.com", "any"),
        ("foo.org", "prefix"),
        ("foo.bar.org", "longer_prefix"),
        ("foo.", "any"),
        ("foo.foo.com", "suffix"),
        ("elsewhere", "any"),
        ("", "any"),
    ],
)
def test_the_most_specific_domain_wins(authority: str, expected: str) -> None:
    table = _table(
        _host("any", "*"),
        _host("prefix", "foo.*"),
        _host("longer_prefix", "foo.bar.*"),
        _host("suffix", "*.foo.com"),
        _host("longer_suffix", "*.bar.foo.com"),
        _host("exact", "www.foo.com"),
        _host("exact_port", "www.foo.com:8080"),
    )
    assert _name(table, authority) == expected
    assert _name(table, authority) == expected, "remembered"


def test_no_virtual_host_is_no_route() -> None:
    assert _name(_table(_host("a", "a")), "b") is None


def test_a_virtual_host_without_routes_answers_nothing_and_is_not_passed_over() -> None:
    assert _name(_table(_host("a", "a", routes=()), _host("any", "*")), "a") is None


def test_first_matching_route_of_the_host_wins() -> None:
    table = _table(
        _host(
            "a",
            "a",
            routes=(_route("exact", "/x", PathMatchKind.EXACT), _route("x", "/x"), _route("y", "/y")),
        )
    )
    assert [_name(table, "a", path) for path in ("/x", "/xx", "/y", "/z")] == ["exact", "x", "y", None]


def test_a_route_for_every_path_does_not_take_the_asterisk_form() -> None:
    assert _table(_host("a", "a")).match(request("*", method="OPTIONS")) is None


@pytest.mark.parametrize(
    ("authority", "host"),
    [
        ("foo:80", "foo"),
        ("foo", "foo"),
        ("[::1]:80", "[::1]"),
        ("[::1]", "[::1]"),
        ("foo:", "foo:"),
        ("foo:x", "foo:x"),
        ("", ""),
    ],
)
def test_without_port(authority: str, host: str) -> None:
    assert without_port(authority) == host


def test_the_port_of_the_host_field_is_ignored_when_the_table_says_so() -> None:
    table = _table(_host("a", "a"), _host("suffix", "*.b"), ignore_port=True)
    assert [_name(table, authority) for authority in ("a", "a:1", "x.b:2", "c:3")] == [
        "a",
        "a",
        "suffix",
        None,
    ]


def test_a_flood_of_distinct_paths_is_bounded_and_keeps_answering() -> None:
    table = _table(_host("a", "a", routes=(_route("x", "/x"), _route("y", "/y"))))
    for number in range(5 * MEMO_ENTRIES):
        assert _name(table, "a", f"/x{number}") == "x"
    assert table.remembered() <= 2 * MEMO_ENTRIES


def test_an_entry_in_use_survives_a_change_of_generation() -> None:
    table = _table(_host("a", "a", routes=(_route("x", "/x"), _route("y", "/y"))))
    for number in range(MEMO_ENTRIES):
        _name(table, "a", f"/x{number}")
    before = table.remembered()
    assert _name(table, "a", "/y") == "y"
    assert _name(table, "a", "/x1") == "x", "found in the old generation"
    assert table.remembered() == before + 2


def test_long_keys_are_matched_but_not_remembered() -> None:
    table = _table(_host("a", "a", routes=(_route("x", "/x"), _route("y", "/y"))))
    assert _name(table, "a", "/x" * MEMO_KEY_LENGTH) == "x"
    assert table.remembered() == 0


def test_the_common_shape_is_not_remembered_at_all() -> None:
    table = _table(_host("a", "a"))
    assert _name(table, "a", "/some/path") == "a"
    assert table.remembered() == 0


@pytest.mark.parametrize("domain", ["a", "*.a", "a.*", "*"])
def test_a_domain_given_twice_is_refused_by_name(domain: str) -> None:
    with pytest.raises(ConfigError, match=r"'8080'.*'second'"):
        _table(_host("first", domain), _host("second", domain))


def test_an_empty_domain_is_refused() -> None:
    with pytest.raises(ConfigError, match="empty domain"):
        _table(_host("a", ""))


def test_what_no_domain_names_is_looked_up_by_its_destination_where_the_table_says_so():
    hosts = (
        _host("catalog", "catalog", "10.96.0.1:8080", routes=(_route("api", "/api"),)),
        _host("wild", "*.wild"),
        _host("any", "*"),
    )

    def name(table: CompiledRouteTable, authority: str, destination: str, path: str = "/api") -> str | None:
        route = table.match(request(path, host=authority), destination)
        return route.name if route else None

    table = CompiledRouteTable(RouteTable("8080", hosts, by_destination=True))
    for _ in range(2):  # remembered, too
        assert name(table, "other", "10.96.0.1:8080") == "api"
        assert name(table, "other", "10.96.0.1:8080", "/") is None, "only its own routes"
        assert name(table, "other", "10.96.0.9:8080") == "any"
        assert name(table, "other", "") == "any"
        assert name(table, "a.wild", "10.96.0.1:8080") == "wild"
        assert name(table, "catalog", "10.96.0.9:8080") == "api"
    assert name(CompiledRouteTable(RouteTable("8080", hosts)), "other", "10.96.0.1:8080") == "any"
