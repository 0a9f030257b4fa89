"""Edits of heads: order of levels and actions, host, path, and the bounded memory."""

import pytest

from meshproxy.config.head_edit import (
    AppendAction,
    HeaderMutations,
    HeaderOption,
    HeadMutations,
    PathRewrite,
    RegexSubstitution,
)
from meshproxy.config.route import Route, RouteAction, RouteTable, VirtualHost, WeightedCluster
from meshproxy.config.route_match import EVERY_PATH, PathMatch, PathMatchKind
from meshproxy.routing.head_edit import MEMORY_ENTRIES, MEMORY_HEAD, EditMemory, compile_edit
from meshproxy.routing.match import Target
from meshproxy.routing.path_rewrite import compile_path_rewrite
from meshproxy.routing.table import CompiledRouteTable
from tests.unit.meshproxy.routing.request import request

APPEND, ABSENT = AppendAction.APPEND_IF_EXISTS_OR_ADD, AppendAction.ADD_IF_ABSENT
SET, SET_PRESENT = AppendAction.OVERWRITE_IF_EXISTS_OR_ADD, AppendAction.OVERWRITE_IF_EXISTS
HEAD = b"GET /a?b HTTP/1.1\r\nHost: a\r\nX-A: 1\r\nx-a: 2\r\nX-B: 3\r\n"


def _fields(*mutations: HeaderMutations) -> list[str]:
    edit = compile_edit(mutations, EditMemory())
    assert edit is not None
    lines = edit.apply(HEAD).decode().split("\r\n")
    assert (lines[0], lines[1], lines[-1]) == ("GET /a?b HTTP/1.1", "Host: a", "")
    return lines[2:-1]


@pytest.mark.parametrize(
    ("action", "name", "expected"),
    [
        (APPEND, "x-b", ["X-A: 1", "x-a: 2", "X-B: 3", "x-b: n"]),
        (APPEND, "x-c", ["X-A: 1", "x-a: 2", "X-B: 3", "x-c: n"]),
        (ABSENT, "x-b", ["X-A: 1", "x-a: 2", "X-B: 3"]),
        (ABSENT, "x-c", ["X-A: 1", "x-a: 2", "X-B: 3", "x-c: n"]),
        (SET, "x-a", ["X-B: 3", "x-a: n"]),
        (SET, "x-c", ["X-A: 1", "x-a: 2", "X-B: 3", "x-c: n"]),
        (SET_PRESENT, "x-a", ["X-B: 3", "x-a: n"]),
        (SET_PRESENT, "x-c", ["X-A: 1", "x-a: 2", "X-B: 3"]),
    ],
)
def test_actions(action: AppendAction, name: str, expected: list[str]) -> None:
    assert _fields(HeaderMutations((HeaderOption(name, "n", action),))) == expected


def test_removals_come_first_then_overwriting_then_adding() -> None:
    level = HeaderMutations(
        (
            HeaderOption("x-c", "added"),
            HeaderOption("x-c", "first", SET),
            HeaderOption("x-c", "second", SET),
            HeaderOption("x-a", "back", ABSENT),
            HeaderOption("x-d", "one", ABSENT),
            HeaderOption("x-d", "two", ABSENT),
        ),
        ("x-a", "x-none"),
    )
    assert _fields(level) == ["X-B: 3", "x-c: second", "x-c: added", "x-a: back", "x-d: one", "x-d: two"]


def test_nothing_to_change_is_no_edit() -> None:
    assert compile_edit([HeaderMutations()], EditMemory()) is None


def _target(most_specific_wins: bool) -> Target:
    def level(value: str) -> HeadMutations:
        return HeadMutations(
            HeaderMutations((HeaderOption("x", value, SET),)), HeaderMutations((HeaderOption("y", value),))
        )

    cluster = WeightedCluster("c", 1, level("cluster"))
    route = Route("r", EVERY_PATH, RouteAction((cluster,)), level("route"))
    table = RouteTable(
        "t",
        (VirtualHost("h", ("*",), (route,), level("host")),),
        mutations=level("table"),
        most_specific_mutations_win=most_specific_wins,
    )
    found = CompiledRouteTable(table).match(request())
    assert found is not None
    assert found.response_edit is not None
    assert found.response_edit.apply(b"").count(b"y: ") == 3, "without a cluster"
    target = found.pick_target(0.5)
    assert target is not None
    return target


@pytest.mark.parametrize(
    ("most_specific_wins", "expected"),
    [(False, ["cluster", "route", "host", "table"]), (True, ["cluster", "table", "host", "route"])],
)
def test_levels_are_applied_in_order(most_specific_wins: bool, expected: list[str]) -> None:
    target = _target(most_specific_wins)
    assert target.request_edit is not None
    assert target.response_edit is not None
    assert target.request_edit.apply(b"GET / HTTP/1.1\r\n") == b"GET / HTTP/1.1\r\nx: %b\r\n" % (
        expected[-1].encode()
    )
    answer = target.response_edit.apply(b"HTTP/1.1 200 OK\r\n").decode()
    assert answer.split("\r\n")[1:-1] == [f"y: {value}" for value in expected]


def test_a_cluster_without_edits_sends_the_head_as_it_is() -> None:
    route = Route("r", EVERY_PATH, RouteAction((WeightedCluster("c", 1),)))
    found = CompiledRouteTable(RouteTable("t", (VirtualHost("h", ("*",), (route,)),))).match(request())
    assert found is not None
    target = found.pick_target(0.0)
    assert target is not None
    assert (target.name, target.request_edit, target.response_edit) == ("c", None, None)


def test_host_and_path() -> None:
    rewrite = compile_path_rewrite(PathRewrite("/n"), PathMatch(PathMatchKind.PREFIX, "/a"))
    edit = compile_edit((), EditMemory(), rewrite=rewrite, host="new:80")
    assert edit is not None
    assert edit.apply(HEAD).startswith(b"GET /n?b HTTP/1.1\r\nhost: new:80\r\nX-A: 1\r\n")


@pytest.mark.parametrize(
    ("kind", "value", "rewrite", "target", "expected"),
    [
        (PathMatchKind.PREFIX, "/a/", PathRewrite("/"), b"/a/b?c", b"/b?c"),
        (PathMatchKind.PREFIX, "/a", PathRewrite("/"), b"/a/b", b"//b"),
        (PathMatchKind.EXACT, "/a", PathRewrite("/n"), b"/a?b", b"/n?b"),
        (PathMatchKind.PATH_SEPARATED_PREFIX, "/a", PathRewrite("/n"), b"/a/b", b"/n/b"),
        (PathMatchKind.PATH_SEPARATED_PREFIX, "/a", PathRewrite("/n"), b"/a", b"/n"),
        (PathMatchKind.REGEX, "/a.*", PathRewrite("/n"), b"/abc?d", b"/n?d"),
        (
            PathMatchKind.PREFIX,
            "/",
            PathRewrite(regex=RegexSubstitution("^/a/?(.*)", r"/\1")),
            b"/a/b?/a/c",
            b"/b?/a/c",
        ),
        (PathMatchKind.PREFIX, "/", PathRewrite(regex=RegexSubstitution("^/a", "")), b"/a?b", b"/?b"),
        (PathMatchKind.REGEX, ".*", PathRewrite("/n"), b"*", b"*"),
    ],
)
def test_path_rewrites(
    kind: PathMatchKind, value: str, rewrite: PathRewrite, target: bytes, expected: bytes
) -> None:
    assert compile_path_rewrite(rewrite, PathMatch(kind, value))(target) == expected


def test_results_are_remembered_within_bounds() -> None:
    memory = EditMemory()
    edit = compile_edit([HeaderMutations((), ("x-a",))], memory)
    assert edit is not None
    first = edit.apply(HEAD)
    for number in range(3 * MEMORY_ENTRIES):
        edit.apply(HEAD + b"n: %d\r\n" % number)
        assert edit.apply(HEAD) is first, "what is used survives"
    assert memory.size <= 2 * MEMORY_ENTRIES
    size = memory.size
    edit.apply(HEAD + b"n: " + b"x" * MEMORY_HEAD + b"\r\n")
    assert memory.size == size, "too long to be kept"
