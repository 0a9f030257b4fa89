"""Every feature of an HTTPRoute, and a TCPRoute: stock Envoy takes them and does what they say."""

import asyncio
import http.client
import json
from collections.abc import AsyncIterator

import pytest

from control_plane.resources.manifest import Manifest, section
from tests.contract.one_pod_mesh import CATALOG_VIP, DATABASE_VIP, TIMEOUT, Mesh, create, running_mesh
from tests.unit.control_plane import manifest_builder as build

pytestmark = pytest.mark.privileged


def _modifier(kind: str, **change: object) -> Manifest:
    return {"type": f"{kind}HeaderModifier", f"{kind.lower()}HeaderModifier": change}


def _rewrite(path: str, replacement: str, backend: str = "v2") -> Manifest:
    modifier = {"type": "ReplacePrefixMatch", "replacePrefixMatch": replacement}
    return {
        **build.rule(build.backend(backend), paths=[("PathPrefix", path)]),
        "filters": [{"type": "URLRewrite", "urlRewrite": {"path": modifier}}],
    }


def _redirect(prefix: str, **fields: object) -> Manifest:
    redirect = {"type": "RequestRedirect", "requestRedirect": fields}
    return {**build.rule(paths=[("PathPrefix", prefix)]), "backendRefs": [], "filters": [redirect]}


def _mirror(**share: object) -> Manifest:
    target = {"backendRef": {"name": "v1", "port": 8080}, **share}
    return {"type": "RequestMirror", "requestMirror": target}


RULES: list[Manifest] = [
    {
        "name": "matches",
        "matches": [
            {
                "path": {"type": "RegularExpression", "value": "/regex/[a-z]+"},
                "method": "GET",
                "headers": [
                    {"name": "X-Version", "value": "v2"},
                    {"name": "Host", "type": "RegularExpression", "value": "catalog.*"},
                ],
                "queryParams": [
                    {"name": "a", "value": "1"},
                    {"name": "b", "type": "RegularExpression", "value": ".*"},
                ],
            }
        ],
        "backendRefs": [build.backend("v2")],
    },
    {
        "matches": [{"path": {"value": "/filters"}}],
        "filters": [
            _modifier("Request", set=[{"name": "a", "value": "100%"}], add=[{"name": "b", "value": "2"}]),
            _modifier("Response", set=[{"name": "x-set", "value": '50% of "it"'}], remove=["server"]),
            _mirror(percent=10),
            _mirror(fraction={"numerator": 1, "denominator": 3}),
            _mirror(),
            {
                "type": "URLRewrite",
                "urlRewrite": {
                    "hostname": "other.example.com",
                    "path": {"type": "ReplaceFullPath", "replaceFullPath": "/new"},
                },
            },
            {
                "type": "CORS",
                "cors": {
                    "allowOrigins": ["https://a.example.com", "http://*.example.com:8080"],
                    "allowMethods": ["*"],
                    "allowCredentials": True,
                    "exposeHeaders": ["x-b"],
                },
            },
        ],
        "backendRefs": [
            {
                **build.backend("v2", weight=3),
                "filters": [
                    _modifier("Response", set=[{"name": "x-backend", "value": "v2"}]),
                    {"type": "URLRewrite", "urlRewrite": {"hostname": "v2.example.com"}},
                    {"type": "CORS", "cors": {"allowOrigins": ["*"]}},
                ],
            },
            {**build.backend("v1", weight=0), "filters": [_modifier("Request", remove=["a"])]},
        ],
        "timeouts": {"request": "10s", "backendRequest": "2s500ms"},
        "retry": {"codes": [500, 503], "attempts": 3, "backoff": "10ms"},
    },
    {
        **build.rule(build.backend("v2"), paths=[("Exact", "/cookie")]),
        "sessionPersistence": {"absoluteTimeout": "1h", "cookieConfig": {"lifetimeType": "Permanent"}},
    },
    {
        **build.rule(build.backend("v2"), paths=[("Exact", "/header")]),
        "sessionPersistence": {"type": "Header", "sessionName": "X-Session"},
    },
    _rewrite("/to-root", ""),
    _rewrite("/to-slash/", "/"),
    _rewrite("/deeper", "/a/b/"),
    _redirect("/away", scheme="https", hostname="example.com", statusCode=308),
    _redirect("/old", path={"type": "ReplacePrefixMatch", "replacePrefixMatch": "/new"}, statusCode=301),
    _redirect("/all", path={"type": "ReplaceFullPath", "replaceFullPath": "/one"}, port=8443, statusCode=303),
    {
        **build.rule(paths=[("Exact", "/own")]),
        "filters": [_modifier("Response", add=[{"name": "y", "value": "z"}])],
    },
]


PATHS = {
    "/deeper": "/a/b",
    "/deeper/": "/a/b/",
    "/deeper/x?y=/deeper": "/a/b/x?y=/deeper",
    "/to-root": "/",
    "/to-root/": "/",
    "/to-root/x/to-root?q": "/x/to-root?q",
    "/to-slash": "/",
    "/to-slash/x": "/x",
    "/filters/whatever?q=1": "/new?q=1",
}
"""Path asked for -> path that the backend sees (the table at `HTTPPathModifier.replacePrefixMatch`)."""


@pytest.fixture
async def mesh() -> AsyncIterator[Mesh]:
    async with running_mesh() as running:
        await create(running.api, build.route("everything", *RULES, parents=[_catalog_http()]))
        await create(
            running.api,
            build.stream_route(
                "TCPRoute",
                "tcp",
                build.backend("database", 3306, weight=9),
                build.backend("gone", 3306, weight=0),
                parents=[build.service_parent("database")],
            ),
        )
        below = _rewrite("/", "/below")
        await create(running.api, build.route("below", below, parents=[build.service_parent("v2")]))
        yield running


def _catalog_http() -> Manifest:
    return build.service_parent(sectionName="http", port=8080)


def _ask(mesh: Mesh, method: str, path: str, **headers: str) -> tuple[int, dict[str, str]]:
    connection = http.client.HTTPConnection(CATALOG_VIP, 8080)
    connection.sock = mesh.network.connect(CATALOG_VIP, 8080)
    connection.request(method, path, headers={"Host": "catalog.shop:8080", **headers})
    response = connection.getresponse()
    response.read()
    connection.close()
    return response.status, {name.lower(): value for name, value in response.getheaders()}


async def test_envoy_takes_every_feature_and_does_what_it_says(mesh: Mesh) -> None:
    await mesh.until(lambda: _ask(mesh, "GET", "/deeper/x")[0] == 200, "the route has no effect")
    await mesh.until(lambda: _seen(mesh, "/", "v2.shop") == "/below/", "the second route has no effect")
    rejected = mesh.stats(r"update_rejected$")
    assert rejected
    assert not any(rejected.values()), rejected

    def checks() -> None:
        query, version = "/regex/abc?b=x&a=1", {"x-version": "v2"}
        assert _ask(mesh, "GET", query, **version)[0] == 200
        assert _ask(mesh, "POST", query, **version)[0] == 404
        assert _ask(mesh, "GET", query)[0] == 404
        assert _ask(mesh, "GET", "/regex/abc?a=1", **version)[0] == 404
        status, headers = _ask(mesh, "GET", "/filters", Origin="https://a.example.com")
        assert (status, headers["x-set"], headers["x-backend"]) == (200, '50% of "it"', "v2")
        assert headers["access-control-allow-origin"] == "https://a.example.com"
        status, headers = _ask(mesh, "GET", "/cookie")
        assert headers["set-cookie"].startswith("x-mesh-session-")
        assert "x-session" in _ask(mesh, "GET", "/header")[1]
        assert _location(mesh, "/away/x?q=1") == (308, "https://example.com/away/x?q=1")
        assert _location(mesh, "/old/x?q=1") == (301, "http://catalog.shop:8080/new/x?q=1")
        assert _location(mesh, "/all") == (303, "http://catalog.shop:8443/one")
        assert _ask(mesh, "GET", "/own")[0] == 503, "the Service itself, which has no endpoints"
        assert [_seen(mesh, path) for path in PATHS] == list(PATHS.values())
        assert mesh.get("/deeperx")[0] == 404
        assert _seen(mesh, "/x?y", "v2.shop") == "/below/x?y"

    await asyncio.to_thread(checks)


def _seen(mesh: Mesh, path: str, host: str = "catalog.shop") -> str:
    _, body = mesh.get(path, host)
    path_seen = json.loads(body)["path"]
    assert isinstance(path_seen, str)
    return path_seen


def _location(mesh: Mesh, path: str) -> tuple[int, str]:
    status, headers = _ask(mesh, "GET", path)
    return status, headers["location"]


async def test_a_tcp_route_sends_connections_on(mesh: Mesh) -> None:
    connection = await asyncio.to_thread(mesh.network.connect, DATABASE_VIP, 3306)
    with connection:
        assert await asyncio.to_thread(connection.recv, 100) == b"hello from the database\n"


async def _conditions(mesh: Mesh, kind: str, name: str) -> dict[str, tuple[str, str]]:
    """Status and reason by type, once they are written."""
    async with asyncio.timeout(TIMEOUT):
        while True:
            parents = section(await mesh.api.get(kind, name, "shop"), "status").get("parents")
            if isinstance(parents, list) and parents:
                return {one["type"]: (one["status"], one["reason"]) for one in parents[0]["conditions"]}
            await asyncio.sleep(0.01)


async def test_each_route_is_told_what_became_of_it(mesh: Mesh) -> None:
    accepted, resolved = ("True", "Accepted"), ("True", "ResolvedRefs")
    found = await _conditions(mesh, "HTTPRoute", "everything")
    assert found == {"Accepted": accepted, "ResolvedRefs": resolved}
    found = await _conditions(mesh, "TCPRoute", "tcp")
    assert found == {"Accepted": accepted, "ResolvedRefs": ("False", "BackendNotFound")}
