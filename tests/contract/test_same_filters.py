"""HTTP filters: stock Envoy and this proxy, with one configuration, answer the same requests alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest
from google.protobuf.json_format import ParseDict

from control_plane.api.envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2 as hcm_pb2,
)
from meshproxy.config.model import Listener
from meshproxy.config.route import WeightedCluster
from meshproxy.xds.http_manager import translate_http_manager
from meshproxy.xds.strict import check
from tests.fuzz import envoy
from tests.unit.meshproxy.filters.through import Answer, ask
from tests.unit.meshproxy.proxy.harness import (
    Upstream,
    answering,
    http_listener,
    running,
    snapshot,
    static_cluster,
)

Json = Mapping[str, object]
Trace = list[tuple[str, tuple[str, ...]]]
"""(target, field lines) of requests, one after the other; `OPTIONS` before a target is another method."""

_HTTP = "envoy.extensions.filters.http."
_STATE = "envoy.extensions.http.stateful_session."
CORS, LIMIT = "envoy.filters.http.cors", "envoy.filters.http.local_ratelimit"
FAULT, SESSION = "envoy.filters.http.fault", "envoy.filters.http.stateful_session"
UPSTREAM = (
    b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\naccess-control-allow-origin: http://up\r\n"
    b"access-control-allow-methods: UP\r\nx-ratelimit-limit: 77\r\nx-ses: own\r\n\r\nup"
)
ONLY_OURS = {"x-envoy-ratelimited", "retry-after"}
"""Fields of a refusal: Envoy's documentation promises the first; it leaves the second to the settings."""
NOT_COMPARED = {"date", "server", "connection", "content-type", "x-envoy-upstream-service-time"}


def _box(message_type: str, **fields: object) -> Json:
    return {"@type": f"type.googleapis.com/{message_type}", **fields}


def _cors(**fields: object) -> dict[str, Json]:
    origins = [{"exact": "http://a"}, {"safe_regex": {"regex": "http://.+\\.a"}}]
    return {CORS: _box(_HTTP + "cors.v3.CorsPolicy", allow_origin_string_match=origins, **fields)}


def _fault(**fields: object) -> dict[str, Json]:
    return {FAULT: _box(_HTTP + "fault.v3.HTTPFault", **fields)}


def _limit(tokens: int, interval: str, **fields: object) -> dict[str, Json]:
    always = {"default_value": {"numerator": 100}}
    settings = {
        "stat_prefix": "x",
        "filter_enabled": always,
        "filter_enforced": always,
        "enable_x_ratelimit_headers": "DRAFT_VERSION_03",
        "token_bucket": {"max_tokens": tokens, "fill_interval": interval},
        **fields,
    }
    return {LIMIT: _box(_HTTP + "local_ratelimit.v3.LocalRateLimit", **settings)}


def _session(kind: str, *, strict: bool = False, **fields: object) -> dict[str, Json]:
    state = {
        "cookie": _box(_STATE + "cookie.v3.CookieBasedSessionState", cookie=fields),
        "header": _box(_STATE + "header.v3.HeaderBasedSessionState", **fields),
    }[kind]
    settings = {
        "session_state": {"name": f"envoy.http.stateful_session.{kind}", "typed_config": state},
        "strict": strict,
    }
    return {SESSION: _box(_HTTP + "stateful_session.v3.StatefulSessionPerRoute", stateful_session=settings)}


ALL = {"numerator": 100}
_ABORT = {"http_status": 418, "percentage": ALL}
_KEY = {"request_headers": {"header_name": "x-k", "descriptor_key": "k"}}


def _entries(interval: str, tokens: int, **entries: str) -> Json:
    return {
        "entries": [{"key": key, "value": value} for key, value in entries.items()],
        "token_bucket": {"max_tokens": tokens, "fill_interval": interval},
    }


ROUTES: dict[str, dict[str, Json]] = {
    "/cors": _cors(
        allow_methods="GET, PUT",
        allow_headers="x-a",
        expose_headers="x-e",
        max_age="5",
        allow_credentials=True,
        forward_not_matching_preflights=False,
        allow_private_network_access=True,
    ),
    "/stars": _cors(allow_methods="*", allow_headers="*"),
    "/layered": _cors(max_age="7"),
    "/off": {CORS: _box("envoy.config.route.v3.FilterConfig", disabled=True)},
    "/abort": _fault(abort=_ABORT),
    "/never": _fault(abort={"http_status": 418}),
    "/abort-of-some": _fault(abort=_ABORT, headers=[{"name": "x-f", "string_match": {"exact": "1"}}]),
    "/abort-by-header": _fault(abort={"header_abort": {}, "percentage": ALL}),
    "/delay": _fault(delay={"fixed_delay": "0.02s", "percentage": ALL}, abort=_ABORT),
    "/both": {**_fault(abort=_ABORT), **_cors()},
    "/limit": _limit(2, "500s"),
    "/limit-of-503": _limit(
        1,
        "550s",
        status={"code": "ServiceUnavailable"},
        response_headers_to_add=[{"header": {"key": "x-more", "value": "7"}}],
    ),
    "/limit-of-302": _limit(1, "500s", status={"code": "Found"}),
    "/limit-by-key": _limit(
        3,
        "500s",
        descriptors=[_entries("500s", 2, k=""), _entries("500s", 5, k="vip")],
        rate_limits=[{"actions": [_KEY]}],
        always_consume_default_token_bucket=False,
        max_dynamic_descriptors=10,
    ),
    "/limit-by-two": _limit(
        10,
        "500s",
        descriptors=[_entries("500s", 2, k="", remote_address=""), _entries("250s", 5, generic_key="g")],
        rate_limits=[
            {"actions": [_KEY, {"remote_address": {}}]},
            {"actions": [{"generic_key": {"descriptor_value": "g"}}]},
        ],
    ),
    "/session": _session("cookie", name="sid"),
    "/path": _session("cookie", name="sid", path="/path/a", ttl="100s"),
    "/attributes": _session(
        "cookie", name="sid", path="/", ttl="0.5s", attributes=[{"name": "SameSite", "value": "Lax"}]
    ),
    "/strict": _session("cookie", name="sid", strict=True),
    "/header": _session("header", name="x-ses"),
}

A, B, DEEP = "origin: http://a", "origin: http://b", "origin: http://x.a"
ASKED, ASKED_HEADERS = "access-control-request-method: PUT", "access-control-request-headers: x-q, X-R"
PRIVATE = "access-control-request-private-network: true"
GONE = "cookie: sid=CgsxMjcuMC4wLjE6OQ=="  # 127.0.0.1:9
STATUS, SHARE = "x-envoy-fault-abort-request: {}", "x-envoy-fault-abort-request-percentage: {}"

TRACES: dict[str, Trace] = {
    "preflights": [
        (f"OPTIONS {path}", lines)
        for path in ("/cors", "/stars", "/layered", "/off")
        for lines in (
            (A, ASKED, ASKED_HEADERS, PRIVATE),
            (B, ASKED),
            (A, ASKED),
            (DEEP, ASKED),
            (A,),
            (ASKED,),
        )
    ],
    "routes that answer": [("/direct", (A,)), ("OPTIONS /direct", (A, ASKED))],
    "origins": [(path, lines) for path in ("/cors", "/stars", "/off") for lines in ((A,), (B,), (DEEP,), ())],
    "faults": [
        ("/abort", ()),
        ("/never", ()),
        ("/abort-of-some", ("x-f: 1",)),
        ("/abort-of-some", ("x-f: 2",)),
        ("/delay", ()),
        ("/both", (A,)),
        *(("/abort-by-header", (STATUS.format(code),)) for code in ("429", "999", "199", "x", "200")),
        *(("/abort-by-header", (STATUS.format(500), SHARE.format(share))) for share in ("0", "100", "x")),
    ],
    "limits": [
        *(("/limit", ()) for _ in range(3)),
        *(("/limit-of-503", ()) for _ in range(2)),
        *(("/limit-of-302", ()) for _ in range(2)),
    ],
    "limits by key": [
        *(("/limit-by-key", (f"x-k: {key}",)) for key in ("a", "a", "a", "vip", "b", "b", "b", "vip")),
        *(("/limit-by-key", ()) for _ in range(4)),
        *(("/limit-by-two", lines) for lines in (("x-k: z",), (), ("x-k: z",), ("x-k: z",), (), ())),
    ],
    "sessions": [
        *(
            (path, lines)
            for path in ("/session", "/attributes")
            for lines in ((), ("cookie: sid=bad",), (GONE,))
        ),
        ("/path/a", ()),
        ("/path/a?q", ()),
        ("/path/a/b", (GONE,)),
        ("/path/ab", ()),
        ("/strict", (GONE,)),
        ("/header", ()),
        ("/header", ("x-ses: MTI3LjAuMC4xOjk=",)),
    ],
}


def _manager() -> dict[str, object]:
    routes = [
        {
            "match": {"path_separated_prefix": path},
            "route": {"cluster": "a"},
            "typed_per_filter_config": configs,
        }
        for path, configs in ROUTES.items()
    ]
    direct = {"match": {"prefix": "/direct"}, "direct_response": {"status": 200}}
    host = {
        "name": "all",
        "domains": ["*"],
        "routes": [*routes, {**direct, "typed_per_filter_config": _cors()}],
        "typed_per_filter_config": _cors(allow_methods="OUTER", max_age="99"),
    }
    idle = {
        CORS: _box(_HTTP + "cors.v3.Cors"),
        LIMIT: _box(_HTTP + "local_ratelimit.v3.LocalRateLimit", stat_prefix="x"),
        FAULT: _box(_HTTP + "fault.v3.HTTPFault"),
        SESSION: _box(_HTTP + "stateful_session.v3.StatefulSession"),
        "envoy.filters.http.router": _box(_HTTP + "router.v3.Router"),
    }
    return {
        "stat_prefix": "a",
        "route_config": {"name": "t", "virtual_hosts": [host]},
        "http_filters": [{"name": name, "typed_config": config} for name, config in idle.items()],
    }


def _envoys_listener() -> dict[str, object]:
    made = envoy.listener("a")
    manager = made["filter_chains"][0]["filters"][0]["typed_config"]  # type: ignore[index]
    manager.update(_manager())
    return made


def _our_listener() -> Listener:
    message = ParseDict(_manager(), hcm_pb2.HttpConnectionManager())
    check(message, "h")
    made = http_listener(WeightedCluster("a", 1))
    [chain] = made.filter_chains
    return replace(made, filter_chains=(replace(chain, network=translate_http_manager(message, "h")),))


async def _answers(port: int, trace: Trace) -> list[Answer]:
    found = []
    for asked, lines in trace:
        method, _, target = asked.rpartition(" ")
        found.append(await ask(port, target, *lines, method=method or "GET"))
    return found


def _compared(answer: Answer) -> tuple[str, list[str], str]:
    """What both must have, in an order that says nothing.

    When a cookie ends is a matter of clocks. Envoy's reset is how long a token takes, ours how long the next
    one still takes.
    """
    kept = []
    for line in answer.fields:
        name, _, value = line.partition(": ")
        if name not in NOT_COMPARED | ONLY_OURS:
            _, has_lifetime, lifetime = value.partition("; Max-Age")
            if has_lifetime:
                line = name + lifetime
            elif name == "x-ratelimit-reset" and value != "0":
                line = name
            kept.append(line)
    return answer.status, sorted(kept), answer.body


@pytest.mark.parametrize("name", TRACES)
async def test_both_answer_alike(name: str) -> None:
    upstream = await Upstream(answering(UPSTREAM)).start()
    try:
        async with envoy.started([_envoys_listener()], [envoy.cluster("a", upstream.port)]) as server:
            expected = await _answers(server.ports["a"], TRACES[name])
        async with running(snapshot(_our_listener(), static_cluster("a", upstream.endpoint))) as mesh:
            found = await _answers(mesh.port, TRACES[name])
    finally:
        await upstream.stop()
    for asked, theirs, ours in zip(TRACES[name], expected, found, strict=True):
        assert _compared(ours) == _compared(theirs), asked
