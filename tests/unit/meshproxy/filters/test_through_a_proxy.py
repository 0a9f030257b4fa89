"""All filters in a worker: chain, routes' settings, and what client and upstream see of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

from meshproxy.config.http_filter import (
    ALWAYS,
    CookieSession,
    CorsSettings,
    FaultAbort,
    FaultDelay,
    FaultSettings,
    HeaderSession,
    RateLimitSettings,
    SessionSettings,
)
from meshproxy.config.model import HttpConnectionManager, Listener
from meshproxy.config.resilience import TokenBucketSettings
from meshproxy.config.route import (
    DirectResponse,
    FilterConfigs,
    Route,
    RouteAction,
    RouteTable,
    VirtualHost,
    WeightedCluster,
)
from meshproxy.config.route_match import PathMatch, PathMatchKind, RouteMatch, StringMatch, StringMatchKind
from tests.unit.meshproxy.filters import through
from tests.unit.meshproxy.proxy.harness import (
    Mesh,
    Upstream,
    answering,
    http_listener,
    ok,
    running,
    snapshot,
    static_cluster,
)

CORS, LIMIT = "envoy.filters.http.cors", "envoy.filters.http.local_ratelimit"
FAULT, SESSION = "envoy.filters.http.fault", "envoy.filters.http.stateful_session"
CHAIN: FilterConfigs = ((CORS, None), (LIMIT, None), (FAULT, None), (SESSION, None))
POLICY = CorsSettings(allow_origins=(StringMatch(StringMatchKind.EXACT, "http://a"),), allow_methods="*")
ABORT = FaultSettings(abort=FaultAbort(503, ALWAYS))
LIMITS = RateLimitSettings("x", TokenBucketSettings(1, 1, 1000.0), ALWAYS, ALWAYS, says_limits=True)
TO_BOTH = RouteAction((WeightedCluster("both", 1),))


def route(path: str, own: FilterConfigs, action: RouteAction | DirectResponse = TO_BOTH) -> Route:
    return Route(path, RouteMatch(PathMatch(PathMatchKind.EXACT, path)), action, filter_configs=own)


def listener(*routes: Route) -> Listener:
    made = http_listener(WeightedCluster("both", 1))
    [chain] = made.filter_chains
    table = RouteTable("t", (VirtualHost("v", ("*",), routes),))
    network = HttpConnectionManager("test", route_table=table, http_filters=CHAIN)
    return replace(made, filter_chains=(replace(chain, network=network),))


class Two:
    """Two upstreams that say their names."""

    def __init__(self) -> None:
        self.seen: list[bytes] = []

    async def __aenter__(self) -> Two:
        self.servers = [await Upstream(answering(ok(name), self.seen)).start() for name in (b"one", b"two")]
        return self

    async def __aexit__(self, *failure: object) -> None:
        for server in self.servers:
            await server.stop()


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not holds():  # noqa: ASYNC110  nothing tells of it
            await asyncio.sleep(0.001)


async def ask(mesh: Mesh, path: str, *lines: str, method: str = "GET") -> tuple[str, list[str], str]:
    """(status, field lines, body)."""
    answer = await through.ask(mesh.port, path, *lines, method=method)
    return answer.status, answer.fields, answer.body


async def test_faults_are_answered_and_counted_with_their_flags() -> None:
    slow = FaultSettings(delay=FaultDelay(0.02, ALWAYS), abort=FaultAbort(504, ALWAYS))
    late = FaultSettings(delay=FaultDelay(0.02, ALWAYS))
    config = listener(
        route("/abort", ((FAULT, ABORT),)),
        route("/both", ((FAULT, slow),)),
        route("/late", ((FAULT, late),)),
        route("/none", ()),
    )
    async with Two() as two:
        cluster = static_cluster("both", *(server.endpoint for server in two.servers))
        async with running(snapshot(config, cluster)) as mesh:
            assert (await ask(mesh, "/abort"))[::2] == ("503", "fault filter abort")
            assert (await ask(mesh, "/both"))[::2] == ("504", "fault filter abort")
            assert two.seen == []
            assert (await ask(mesh, "/late"))[0] == "200"
            assert (await ask(mesh, "/none"))[0] == "200"
            flags = {
                flag: mesh.metric("istio_requests_total", response_flags=flag)
                for flag in ("FI", "DI,FI", "DI", "-")
            }
            assert flags == {"FI": 1, "DI,FI": 1, "DI": 1, "-": 1}


async def test_a_client_that_leaves_during_a_delay_leaves_nothing_behind() -> None:
    late = FaultSettings(delay=FaultDelay(600.0, ALWAYS), max_active=1)
    config = listener(route("/late", ((FAULT, late),)))
    async with Two() as two:
        cluster = static_cluster("both", two.servers[0].endpoint)
        async with running(snapshot(config, cluster)) as mesh:
            _, writer = await mesh.connect()
            writer.write(b"GET /late HTTP/1.1\r\nhost: a\r\n\r\n")
            await until(lambda: any(c._stream for m in mesh.worker._serving for c in m.connections))
            assert (await ask(mesh, "/late"))[0] == "200", "one fault at once"
            writer.transport.abort()
            await until(lambda: mesh.metric("istio_requests_total", response_flags="DI,DC") == 1)
            two.seen.clear()
            _, writer = await mesh.connect()
            writer.write(b"GET /late HTTP/1.1\r\nhost: a\r\n\r\n")
            await until(lambda: any(c._stream for m in mesh.worker._serving for c in m.connections))
            writer.transport.abort()
            await until(lambda: mesh.metric("istio_requests_total", response_flags="DI,DC") == 2)
            assert two.seen == []


async def test_browsers_are_answered() -> None:
    own = ((CORS, POLICY), (FAULT, ABORT))
    config = listener(
        route("/cors", ((CORS, POLICY),)),
        route("/fault", own),
        route("/direct", ((CORS, POLICY),), DirectResponse(200, b"x")),
    )
    origin, asked = "origin: http://a", "access-control-request-method: PUT"
    named = "access-control-allow-origin: http://a"
    async with Two() as two:
        cluster = static_cluster("both", two.servers[0].endpoint)
        async with running(snapshot(config, cluster)) as mesh:
            status, fields, body = await ask(mesh, "/cors", origin, asked, method="OPTIONS")
            assert (status, body, two.seen) == ("200", "", [])
            assert {named, "access-control-allow-methods: PUT", "content-length: 0"} <= set(fields)
            status, fields, body = await ask(mesh, "/cors", origin)
            assert (status, body) == ("200", "one")
            assert named in fields
            status, fields, _ = await ask(mesh, "/fault", origin)
            assert status == "503"
            assert named in fields, "a failure made on purpose can be read by the page"
            assert named not in (await ask(mesh, "/direct", origin))[1]


async def test_a_limit_refuses_and_outlives_an_update_of_the_configuration() -> None:
    config = listener(route("/limited", ((LIMIT, LIMITS),)))
    async with Two() as two:
        cluster = static_cluster("both", two.servers[0].endpoint)
        async with running(snapshot(config, cluster)) as mesh:
            status, fields, _ = await ask(mesh, "/limited")
            assert status == "200"
            assert "x-ratelimit-remaining: 0" in fields
            status, fields, body = await ask(mesh, "/limited")
            assert (status, body) == ("429", "local_rate_limited")
            assert {"x-envoy-ratelimited: true", "x-ratelimit-limit: 1", "retry-after: 1000"} <= set(fields)
            assert mesh.metric("istio_requests_total", response_flags="RL") == 1
            new = listener(route("/new", ()), route("/limited", ((LIMIT, replace(LIMITS)),)))
            await mesh.worker.apply(snapshot(new, cluster))
            assert (await ask(mesh, "/new"))[0] == "200"
            assert (await ask(mesh, "/limited"))[0] == "429"
            assert len(two.seen) == 2


async def test_sessions_stay_where_they_began() -> None:
    by_cookie = SessionSettings(CookieSession("sid"))
    by_header = SessionSettings(HeaderSession("x-ses"), strict=True)
    config = listener(route("/cookie", ((SESSION, by_cookie),)), route("/header", ((SESSION, by_header),)))
    async with Two() as two:
        cluster = static_cluster("both", *(server.endpoint for server in two.servers))
        async with running(snapshot(config, cluster)) as mesh:
            _, fields, body = await ask(mesh, "/cookie")
            [cookie] = [line for line in fields if line.startswith("set-cookie: ")]
            value = cookie.split(" ")[1].rstrip(";")
            for _ in range(6):
                _, fields, again = await ask(mesh, "/cookie", f"cookie: {value}")
                assert (again, [line for line in fields if "cookie" in line]) == (body, [])
            _, fields, body = await ask(mesh, "/header")
            [session] = [line for line in fields if line.startswith("x-ses: ")]
            assert {(await ask(mesh, "/header", session))[2] for _ in range(6)} == {body}
            gone = "x-ses: MTI3LjAuMC4xOjE="  # 127.0.0.1:1
            assert (await ask(mesh, "/header", gone))[0] == "503"


async def test_a_session_may_begin_with_a_websocket() -> None:
    by_cookie = SessionSettings(CookieSession("sid"))
    config = listener(route("/chat", ((SESSION, by_cookie),)))
    [chain] = config.filter_chains
    assert isinstance(chain.network, HttpConnectionManager)
    network = replace(chain.network, upgrade_types=("websocket",))
    config = replace(config, filter_chains=(replace(chain, network=network),))
    switch = b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n"
    upstream = await Upstream(answering(switch)).start()
    async with running(snapshot(config, static_cluster("both", upstream.endpoint))) as mesh:
        asked = ("connection: upgrade", "upgrade: websocket")
        answer = await through.ask(mesh.port, "/chat", *asked)
        assert answer.status == "101"
        assert any(field.startswith("set-cookie: sid=") for field in answer.fields)
    await upstream.stop()
