"""Many routes in one virtual host: what is found, and what finding it costs."""

import sys
from types import FrameType

import pytest

from meshproxy.config.route import DirectResponse, Route, RouteTable, VirtualHost
from meshproxy.config.route_match import (
    EVERY_PATH,
    HeaderMatch,
    PathMatch,
    PathMatchKind,
    PresentMatch,
    QueryMatch,
    RouteMatch,
    StringMatch,
    StringMatchKind,
)
from meshproxy.errors import ConfigError
from meshproxy.http.events import RequestHead
from meshproxy.routing.table import CompiledRouteTable
from tests.unit.meshproxy.routing.request import request

OK = DirectResponse(200)


def _exact(name: str, value: str) -> HeaderMatch:
    return HeaderMatch(name, StringMatch(StringMatchKind.EXACT, value))


def _table(*matches: RouteMatch) -> CompiledRouteTable:
    routes = tuple(Route(f"r{number}", match, OK) for number, match in enumerate(matches))
    return CompiledRouteTable(RouteTable("t", (VirtualHost("h", ("a",), routes),)))


def _name(table: CompiledRouteTable, head: RequestHead) -> str | None:
    found = table.match(head)
    return found.name if found else None


def test_headers_of_many_routes_on_one_path_are_looked_up() -> None:
    matches = [RouteMatch(EVERY_PATH.path, (_exact("x-user", str(number)),)) for number in range(40)]
    early = RouteMatch(EVERY_PATH.path, (_exact("x-user", "30"), _exact(":method", "PUT")))
    rest = RouteMatch(EVERY_PATH.path, query=(QueryMatch("q", StringMatch(StringMatchKind.EXACT, "1")),))
    table = _table(*matches[:20], rest, *matches[20:], early, EVERY_PATH)
    assert _name(table, request("/", "x-user: 7")) == "r7"
    assert _name(table, request("/?q=1", "x-user: 7")) == "r7", "it stands before"
    assert _name(table, request("/?q=1", "x-user: 25")) == "r20", "the query's route stands before"
    assert _name(table, request("/", "x-user: 25")) == "r26"
    assert _name(table, request("/", "x-user: 25", "x-user: 3")) == "r3", "the first in list order"
    assert _name(table, request("/", "x-user: 30", method="PUT")) == "r31"
    assert _name(table, request("/", "x-user: none")) == "r42"
    assert _name(table, request("/")) == "r42"


def test_two_headers_are_looked_up_one_inside_the_other() -> None:
    table = _table(
        *(
            RouteMatch(EVERY_PATH.path, (_exact(":method", method), _exact("x-user", str(number))))
            for method in ("GET", "PUT")
            for number in range(20)
        )
    )
    assert _name(table, request("/", "x-user: 7", method="PUT")) == "r27"
    assert _name(table, request("/", "x-user: 7", method="POST")) is None


def test_an_exact_value_that_may_be_absent_is_not_looked_up() -> None:
    empty = HeaderMatch("x-user", StringMatch(StringMatchKind.EXACT, ""), missing_is_empty=True)
    table = _table(
        *(RouteMatch(EVERY_PATH.path, (_exact("x-user", str(number)),)) for number in range(20)),
        RouteMatch(EVERY_PATH.path, (empty,)),
    )
    assert _name(table, request("/")) == "r20"


def test_many_routes_of_which_few_name_the_same_header_are_asked_in_turn() -> None:
    present = [
        RouteMatch(EVERY_PATH.path, (HeaderMatch(f"x-{number}", PresentMatch()),)) for number in range(20)
    ]
    table = _table(*present, RouteMatch(EVERY_PATH.path, (_exact("x-user", "1"),)), EVERY_PATH)
    assert _name(table, request("/", "x-12: a", "x-user: 1")) == "r12"
    assert _name(table, request("/", "x-user: 1")) == "r20"
    assert _name(table, request("/")) == "r21"


def test_a_route_that_asks_for_headers_does_not_stand_for_every_request() -> None:
    table = _table(RouteMatch(EVERY_PATH.path, (_exact("x-a", "1"),)), EVERY_PATH)
    assert [_name(table, request("/", *fields)) for fields in ((), ("x-a: 1",), ())] == ["r1", "r0", "r1"]


def test_a_route_that_cannot_be_compiled_is_named() -> None:
    bad = RouteMatch(PathMatch(PathMatchKind.REGEX, "("))
    with pytest.raises(ConfigError, match=r"virtual host 'h', routes\[1\] 'r1': regular expression '\('"):
        _table(EVERY_PATH, bad)


def _mixed(number: int) -> RouteMatch:
    """Routes as real hosts have them: exact, elements, prefix, pattern, method and header."""
    base = f"/api/service{number:04}"
    kind = number % 5
    if kind == 0:
        return RouteMatch(PathMatch(PathMatchKind.EXACT, base))
    if kind == 1:
        return RouteMatch(PathMatch(PathMatchKind.PATH_SEPARATED_PREFIX, base))
    if kind == 2:
        return RouteMatch(PathMatch(PathMatchKind.PREFIX, base + "/"))
    if kind == 3:
        return RouteMatch(PathMatch(PathMatchKind.REGEX, base + "/[0-9]+"))
    return RouteMatch(PathMatch(PathMatchKind.PREFIX, base), (_exact(":method", "GET"), _exact("x-v", "2")))


def _steps(table: CompiledRouteTable, heads: list[RequestHead]) -> int:
    """Instructions of the interpreter that it takes to match `heads`: a cost without a clock."""
    count = 0

    def trace(frame: FrameType, event: str, argument: object) -> object:
        nonlocal count
        frame.f_trace_opcodes = True
        count += event == "opcode"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        for head in heads:
            table.match(head)
    finally:
        sys.settrace(before)
    return count


@pytest.mark.parametrize("is_known", [True, False], ids=["path seen before", "path never seen"])
def test_a_thousand_routes_cost_a_request_what_ten_do(is_known: bool) -> None:
    heads = [
        request(f"/api/service{number:04}{rest}", "x-v: 2")
        for number in range(10)
        for rest in ("", "/12", "/12/x")
    ]
    costs = []
    for size in (10, 1000):
        table = _table(*(_mixed(number) for number in range(size)))
        table.match(request("/warm"))
        if is_known:
            for head in heads:
                table.match(head)
        costs.append(_steps(table, heads))
    assert costs[1] <= 1.3 * costs[0]
