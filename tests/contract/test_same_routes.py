"""The same routes in stock Envoy and in our router: the same route, head and location, request by request.

Only the router is ours here: heads are read by the strict codec, matched and edited; ours needs no socket.
"""

from __future__ import annotations

import asyncio
import json

import pytest
from google.protobuf.json_format import ParseDict

from control_plane.api.envoy.config.route.v3.route_pb2 import RouteConfiguration
from meshproxy.http.events import RequestHead
from meshproxy.routing.table import CompiledRouteTable
from meshproxy.xds.routes import translate_routes
from tests.fuzz import envoy
from tests.unit.meshproxy.routing.request import request

Message = dict[str, object]
Answer = tuple[object, ...]

_ENVOYS_OWN = frozenset({"x-forwarded-proto", "x-request-id", "connection", "x-envoy-expected-rq-timeout-ms"})
"""What Envoy's connection manager and router add besides."""
_SLASHED = frozenset({"/f6/baac?aa", "/f9"})
"""Rewritten to what does not start with a slash: ours gets one, as RFC 9112 section 3.2.1 wants it."""


def direct(name: str, match: Message) -> Message:
    return {"name": name, "match": match, "direct_response": {"status": 200, "body": {"inline_string": name}}}


def red(match: Message, **action: object) -> Message:
    return {"match": match, "redirect": action}


def fw(match: Message, action: Message | None = None, **fields: object) -> Message:
    return {"match": match, "route": {"cluster": "up", **(action or {})}, **fields}


def sm(**match: object) -> Message:
    return {"string_match": match}


def h(name: str, **match: object) -> Message:
    return {"name": name, **match}


def rx(pattern: str) -> Message:
    return {"regex": pattern}


def add(name: str, value: str, action: str = "APPEND_IF_EXISTS_OR_ADD") -> Message:
    return {"header": {"key": name, "value": value}, "append_action": action}


ROUTES: list[Message] = [
    direct("multi", {"path": "/h", "headers": [h("x-m", **sm(exact="a,b"))]}),
    direct("multi-a", {"path": "/h", "headers": [h("x-m", **sm(exact="a"))]}),
    direct("multi-b", {"path": "/h", "headers": [h("x-m", invert_match=True, **sm(exact="b"))]}),
    direct(
        "inv",
        {
            "path": "/h",
            "headers": [h("x-inv", invert_match=True, **sm(exact="a")), h("x-go", **sm(exact="inv"))],
        },
    ),
    direct(
        "invempty",
        {
            "path": "/h",
            "headers": [
                h("x-inv", invert_match=True, treat_missing_header_as_empty=True, **sm(exact="a")),
                h("x-go", **sm(exact="inve")),
            ],
        },
    ),
    direct(
        "rxempty",
        {
            "path": "/h",
            "headers": [
                h("x-re", treat_missing_header_as_empty=True, **sm(safe_regex=rx("^$"))),
                h("x-go", **sm(exact="re")),
            ],
        },
    ),
    direct("npres", {"path": "/h", "headers": [h("x-p", present_match=False), h("x-go", **sm(exact="np"))]}),
    direct(
        "npresinv",
        {
            "path": "/h",
            "headers": [h("x-p", present_match=True, invert_match=True), h("x-go", **sm(exact="npi"))],
        },
    ),
    direct("range", {"path": "/h", "headers": [h("x-r", range_match={"start": -5, "end": 10})]}),
    direct("ci", {"path": "/h", "headers": [h("x-c", **sm(contains="AbC", ignore_case=True))]}),
    direct("auth", {"path": "/h", "headers": [h(":authority", **sm(exact="FOO.com"))]}),
    direct("hosthdr", {"path": "/h", "headers": [h("host", **sm(exact="bar.com"))]}),
    direct("pathq", {"prefix": "/p", "headers": [h(":path", **sm(exact="/p?z=1"))]}),
    direct("q1", {"path": "/q", "query_parameters": [{"name": "a", **sm(exact="1")}]}),
    direct("qdec", {"path": "/q", "query_parameters": [{"name": "b", **sm(exact="x y")}]}),
    direct("qpres", {"path": "/q", "query_parameters": [{"name": "c", "present_match": True}]}),
    direct("qnpres", {"path": "/q", "query_parameters": [{"name": "d", "present_match": False}]}),
    direct("pci", {"path": "/CaSe", "case_sensitive": False}),
    direct("prci", {"path_separated_prefix": "/Pre", "case_sensitive": False}),
    direct("rxp", {"safe_regex": rx("/rx/[a-z]+")}),
    direct("empty", {"prefix": "/nospec", "headers": [h("x-any")]}),
    red({"path": "/r1"}, https_redirect=True),
    red({"path": "/r2"}, port_redirect=8080),
    red({"path": "/r3"}, host_redirect="o.com", response_code="FOUND"),
    red({"prefix": "/r4"}, prefix_rewrite="/new"),
    red({"path": "/r5"}, path_redirect="/x"),
    red({"path": "/r6"}, path_redirect="/x?y=1", strip_query=True),
    red({"path": "/r7"}, path_redirect="/x", strip_query=True),
    red(
        {"prefix": "/r8"},
        regex_rewrite={"pattern": rx("[0-9]*"), "substitution": "<\\0>"},
        scheme_redirect="https",
        port_redirect=443,
    ),
    red({"path": "/r9"}, strip_query=True, https_redirect=True, host_redirect="h:81"),
    fw({"prefix": "/f1/"}, {"prefix_rewrite": "/"}),
    fw({"path": "/f2"}, {"prefix_rewrite": "/y"}),
    fw({"path_separated_prefix": "/f3"}, {"prefix_rewrite": "/z"}),
    fw({"safe_regex": rx("/f4/.*")}, {"prefix_rewrite": "/w"}),
    fw(
        {"prefix": "/f5"},
        {
            "regex_rewrite": {"pattern": rx("^/f5/([^/]+)(/.*)$"), "substitution": "\\2/\\1"},
            "host_rewrite_literal": "new.host:99",
        },
    ),
    fw({"prefix": "/f6"}, {"regex_rewrite": {"pattern": rx("a*"), "substitution": "x"}}),
    fw(
        {"prefix": "/f7"},
        None,
        request_headers_to_remove=["X-Gone", "x-both"],
        request_headers_to_add=[
            add("X-App", "1"),
            add("x-both", "new", "ADD_IF_ABSENT"),
            add("x-set", "s%%", "OVERWRITE_IF_EXISTS_OR_ADD"),
            add("x-set", "s2", "OVERWRITE_IF_EXISTS_OR_ADD"),
            add("x-ife", "e", "OVERWRITE_IF_EXISTS"),
            add("x-ifn", "n", "OVERWRITE_IF_EXISTS"),
            add("x-set", "app"),
            add("x-abs", "q", "ADD_IF_ABSENT"),
            add("x-abs", "q2", "ADD_IF_ABSENT"),
            add("x-lvl", "route", "OVERWRITE_IF_EXISTS_OR_ADD"),
            {"header": {"key": "x-none", "value": ""}},
            {"header": {"key": "x-keep", "value": ""}, "keep_empty_value": True},
        ],
    ),
    fw({"prefix": "/f8"}, {"prefix_rewrite": "/v"}),
    fw({"path": "/f9"}, {"regex_rewrite": {"pattern": rx("/f9"), "substitution": "none"}}),
]

CASES: list[tuple[str, ...]] = [
    ("/h",),
    ("/h", "x-m: a", "x-m: b"),
    ("/h", "x-m: b", "x-m: a"),
    ("/h", "x-m: c", "x-m: b"),
    ("/h", "x-m: c", "x-m: d"),
    ("/h", "x-m: a,b"),
    ("/h", "x-go: inv"),
    ("/h", "x-go: inv", "x-inv: b"),
    ("/h", "x-go: inve"),
    ("/h", "x-go: re"),
    ("/h", "x-go: re", "x-re: z"),
    ("/h", "x-go: np"),
    ("/h", "x-go: np", "x-p: 1"),
    ("/h", "x-go: npi"),
    ("/h", "x-go: npi", "x-p: 1"),
    *[("/h", "x-r: " + v) for v in ("-5", "10", "9", "+3", "3x", "", "3.0", "99999999999999999999999")],
    ("/h", "x-c: xxaBcx"),
    ("/h", "H FOO.com"),
    ("/h", "H foo.com"),
    ("/h", "H bar.com"),
    ("/p?z=1",),
    ("/p?z=2",),
    ("/q?a=1",),
    ("/q?a=2&a=1",),
    ("/q?b=x%20y&d",),
    ("/q?c&d",),
    ("/q?c=",),
    ("/q?d=1",),
    ("/q",),
    ("/q?A=1&d",),
    ("/cAsE",),
    ("/PRE/x",),
    ("/prex",),
    ("/rx/abc",),
    ("/rx/abc/d",),
    ("/rx/a?x",),
    ("/nospec",),
    ("/nospec", "x-any: 1"),
    *[
        (p, x)
        for p in (
            "/r1?q=1",
            "/r2",
            "/r3?a",
            "/r4/b?c",
            "/r4",
            "/r5?q",
            "/r6?q",
            "/r7?q",
            "/r8/12/a?7",
            "/r9?a",
        )
        for x in ("H a.com", "H a.com:80", "H a.com:443", "H [::1]:80")
    ],
    ("/f1/a?b",),
    ("/f1/",),
    ("/f2?x",),
    ("/f3",),
    ("/f3/q",),
    ("/f4/abc?d",),
    ("/f5/a/b?c",),
    ("/f6/baac?aa",),
    ("/f7", "X-Gone: 1", "x-both: old", "x-ife: old", "X-Ife: old2", "x-set: o"),
    ("/f7", "X-App: 0"),
    ("/f8x",),
    ("/f9",),
]
"""Target and field lines; `H x` is the Host, otherwise `a`."""

LEVELS: Message = {
    "request_headers_to_add": [add("x-lvl", "LEVEL", "OVERWRITE_IF_EXISTS_OR_ADD"), add("x-l2", "LEVEL")]
}


def _level(name: str) -> Message:
    made = json.loads(json.dumps(LEVELS).replace("LEVEL", name))
    assert isinstance(made, dict)
    return made


def _configuration(most_specific_wins: bool) -> Message:
    host = {"name": "v", "domains": ["*"], "routes": ROUTES, **_level("host")}
    wins = {"most_specific_header_mutations_wins": most_specific_wins}
    return {"name": "r", "virtual_hosts": [host], **_level("table"), **wins}


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers every request with its own head."""
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(head), head))
    except asyncio.IncompleteReadError:
        writer.close()


def _head(raw: str) -> Answer:
    """Target and fields, in no order: only that of equal names means something."""
    start, *lines = raw.rstrip("\r\n").split("\r\n")
    fields = [(name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines)]
    return start.split(" ")[1], sorted(
        (pair for pair in fields if pair[0] not in _ENVOYS_OWN), key=lambda pair: pair[0]
    )


class Client:
    """One connection for all requests."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def theirs(self, target: str, host: str, fields: list[str]) -> Answer:
        lines = [f"GET {target} HTTP/1.1", f"Host: {host}", *fields, "", ""]
        self._writer.write("\r\n".join(lines).encode())
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode()
        status, *shown = head.rstrip("\r\n").split("\r\n")
        answer = dict(line.split(": ", 1) for line in shown)
        body = (await self._reader.readexactly(int(answer.get("content-length", 0)))).decode()
        code = int(status.split()[1])
        if "location" in answer:
            return code, answer["location"]
        if code == 404:
            return (code,)
        return _head(body) if body.startswith("GET ") else (code, body)


def _ours(table: CompiledRouteTable, head: RequestHead) -> Answer:
    route = table.match(head)
    if route is None:
        return (404,)
    if route.redirect is not None:
        return route.redirect.status, route.redirect.location(head, b"http").decode()
    target = route.pick_target(0.0)
    if target is None:
        return 200, route.name
    return _head((target.request_edit.apply(head.forward) if target.request_edit else head.forward).decode())


@pytest.mark.parametrize("most_specific_wins", [False, True])
async def test_every_request_is_treated_as_by_envoy(most_specific_wins: bool) -> None:
    configuration = _configuration(most_specific_wins)
    table = CompiledRouteTable(translate_routes(ParseDict(configuration, RouteConfiguration()), "r"))
    upstream = await asyncio.start_server(_echo, "127.0.0.1")
    port = upstream.sockets[0].getsockname()[1]
    listener = envoy.listener("up")
    manager = listener["filter_chains"][0]["filters"][0]["typed_config"]  # type: ignore[index]
    manager["route_config"] = configuration
    manager["http_filters"][0]["typed_config"]["suppress_envoy_headers"] = True
    differences = []
    async with upstream, envoy.started([listener], [envoy.cluster("up", port)]) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.ports["up"])
        client = Client(reader, writer)
        for target, *lines in CASES:
            host = next((line[2:] for line in lines if line.startswith("H ")), "a")
            fields = [line for line in lines if not line.startswith("H ")]
            theirs = await client.theirs(target, host, fields)
            if target in _SLASHED:
                theirs = (f"/{theirs[0]}", *theirs[1:])
            ours = _ours(table, request(target, *fields, host=host))
            if ours != theirs:
                differences.append((target, host, fields, theirs, ours))
        writer.close()
    assert not differences
