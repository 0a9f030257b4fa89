"""HTTP filters in the connection manager's chain and on routes: what is translated, and what is refused."""

from __future__ import annotations

import pytest
from google.protobuf.json_format import ParseDict

from control_plane.api.envoy.config.route.v3.route_pb2 import RouteConfiguration
from control_plane.api.envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2 as hcm_pb2,
)
from control_plane.resources.fault_policy import FaultPolicySpec
from control_plane.resources.rate_limit_policy import RateLimitPolicySpec
from control_plane.translate.fault import fault_config
from control_plane.translate.http_filters import http_filters
from control_plane.translate.rate_limit import rate_limit_config
from meshproxy.config.head_edit import AppendAction, HeaderOption
from meshproxy.config.http_filter import (
    ALWAYS,
    CookieSession,
    CorsSettings,
    DescribeAddress,
    DescribeHeader,
    DescribePrincipal,
    DescribeValue,
    FaultAbort,
    FaultDelay,
    FaultSettings,
    Fraction,
    HeaderSession,
    LimitDescriptor,
    RateLimitSettings,
    SessionSettings,
)
from meshproxy.config.resilience import TokenBucketSettings
from meshproxy.config.route import FilterConfigs
from meshproxy.config.route_match import HeaderMatch, PresentMatch, StringMatch, StringMatchKind
from meshproxy.errors import ConfigError
from meshproxy.xds.route_filters import translate_http_filters
from meshproxy.xds.routes import translate_routes
from meshproxy.xds.strict import check

CORS, LIMIT = "envoy.filters.http.cors", "envoy.filters.http.local_ratelimit"
FAULT, SESSION = "envoy.filters.http.fault", "envoy.filters.http.stateful_session"
_HTTP = "envoy.extensions.filters.http."
_TYPES = {
    CORS: _HTTP + "cors.v3.CorsPolicy",
    FAULT: _HTTP + "fault.v3.HTTPFault",
    LIMIT: _HTTP + "local_ratelimit.v3.LocalRateLimit",
    SESSION: _HTTP + "stateful_session.v3.StatefulSessionPerRoute",
}
_STATE = "envoy.extensions.http.stateful_session."
BUCKET = {"max_tokens": 5, "tokens_per_fill": 2, "fill_interval": "1.5s"}
Fields = dict[str, object]


def box(message_type: str, **fields: object) -> Fields:
    return {"@type": f"type.googleapis.com/{message_type}", **fields}


def own(**configs: Fields) -> FilterConfigs:
    """Settings of a route, by short name of the filter."""
    names = {"cors": CORS, "fault": FAULT, "limit": LIMIT, "session": SESSION}
    return of_route({names[name]: box(_TYPES[names[name]], **fields) for name, fields in configs.items()})


def of_route(configs: dict[str, Fields]) -> FilterConfigs:
    route = {"match": {"prefix": "/"}, "route": {"cluster": "c"}, "typed_per_filter_config": configs}
    hosts = [{"name": "h", "domains": ["*"], "routes": [route]}]
    message = ParseDict({"name": "t", "virtual_hosts": hosts}, RouteConfiguration())
    check(message, "r")
    return translate_routes(message, "r").virtual_hosts[0].routes[0].filter_configs


def chain(*filters: Fields) -> FilterConfigs:
    router = {"name": "envoy.filters.http.router", "typed_config": box(_HTTP + "router.v3.Router")}
    manager = ParseDict({"http_filters": [*filters, router]}, hcm_pb2.HttpConnectionManager())
    check(manager, "h")
    return translate_http_filters(manager.http_filters, "h.http_filters")


def in_chain(name: str, message_type: str, **fields: object) -> Fields:
    return {"name": name, "typed_config": box(message_type, **fields)}


def limit(**fields: object) -> Fields:
    return {"stat_prefix": "x", "token_bucket": BUCKET, **fields}


def cookie(**fields: object) -> Fields:
    state = box(_STATE + "cookie.v3.CookieBasedSessionState", cookie={"name": "sid", **fields})
    return {"stateful_session": {"session_state": {"name": "c", "typed_config": state}}}


def header(name: str) -> Fields:
    state = box(_STATE + "header.v3.HeaderBasedSessionState", name=name)
    return {"stateful_session": {"session_state": {"name": "h", "typed_config": state}, "strict": True}}


def test_what_our_control_plane_puts_into_the_chain_does_nothing_by_itself() -> None:
    filters = http_filters([SESSION, CORS, FAULT, LIMIT])
    assert translate_http_filters(filters, "h") == (
        (CORS, None),
        (LIMIT, None),
        (FAULT, None),
        (SESSION, None),
    )


def test_the_chain_may_have_settings() -> None:
    made = chain(
        in_chain(FAULT, _TYPES[FAULT], abort={"http_status": 503, "percentage": {"numerator": 5}}),
        in_chain(LIMIT, _TYPES[LIMIT], **limit()),
        in_chain(SESSION, _HTTP + "stateful_session.v3.StatefulSession", **header("x")["stateful_session"]),  # type: ignore[arg-type]
    )
    assert dict(made)[FAULT] == FaultSettings(abort=FaultAbort(503, Fraction(5)))
    assert dict(made)[LIMIT] == RateLimitSettings("h.http_filters[1]", TokenBucketSettings(5, 2, 1.5))
    assert dict(made)[SESSION] == SessionSettings(HeaderSession("x"), strict=True)


def test_cors() -> None:
    policy = {
        "allow_origin_string_match": [{"exact": "http://a"}, {"safe_regex": {"regex": "http://.+"}}],
        "allow_methods": "GET, PUT",
        "allow_headers": "*",
        "expose_headers": "x-e",
        "max_age": "5",
        "allow_credentials": True,
        "allow_private_network_access": False,
        "forward_not_matching_preflights": False,
        "filter_enabled": {"default_value": {"numerator": 50}},
    }
    [(_, made)] = own(cors=policy)
    assert made == CorsSettings(
        (
            StringMatch(StringMatchKind.EXACT, "http://a"),
            StringMatch(StringMatchKind.REGEX, "http://.+"),
        ),
        "GET, PUT",
        "*",
        "x-e",
        "5",
        allow_credentials=True,
        allow_private_network=False,
        forward_not_matching_preflights=False,
        enabled=Fraction(50),
    )
    assert own(cors={}) == ((CORS, CorsSettings()),)


def test_faults() -> None:
    fault = {
        "delay": {"fixed_delay": "0.25s", "percentage": {"numerator": 1, "denominator": "MILLION"}},
        "abort": {"http_status": 418, "percentage": {"numerator": 2, "denominator": "TEN_THOUSAND"}},
        "headers": [{"name": "X-A", "present_match": True}],
        "max_active_faults": 3,
    }
    assert own(fault=fault) == (
        (
            FAULT,
            FaultSettings(
                FaultDelay(0.25, Fraction(1, 1_000_000)),
                FaultAbort(418, Fraction(2, 10_000)),
                (HeaderMatch("x-a", PresentMatch()),),
                3,
            ),
        ),
    )
    by_header: Fields = {"delay": {"header_delay": {}}, "abort": {"header_abort": {}}}
    assert own(fault=by_header) == ((FAULT, FaultSettings(FaultDelay(None), FaultAbort(None))),)
    assert own(fault={}) == ((FAULT, None),)


def test_what_a_fault_policy_becomes() -> None:
    spec = FaultPolicySpec.model_validate(
        {
            "targetRefs": [{"group": "", "kind": "Service", "name": "a"}],
            "delay": {"fixed": "2s", "percent": 12.5},
            "abort": {"httpStatus": 503},
        }
    )
    message = RouteConfiguration(name="t")
    route = message.virtual_hosts.add(name="h", domains=["*"]).routes.add()
    route.match.prefix, route.route.cluster = "/", "c"
    route.typed_per_filter_config[FAULT].CopyFrom(fault_config(spec))
    check(message, "r")
    [(_, made)] = translate_routes(message, "r").virtual_hosts[0].routes[0].filter_configs
    assert isinstance(made, FaultSettings)
    assert made.delay is not None
    assert (made.delay.fixed, made.delay.percentage.share) == (2.0, 0.125)
    assert made.abort is not None
    assert (made.abort.status, made.abort.percentage.share) == (503, 1.0)


def test_rate_limits() -> None:
    settings = limit(
        status={"code": "ServiceUnavailable"},
        filter_enabled={"default_value": {"numerator": 100}},
        filter_enforced={"default_value": {"numerator": 50}},
        response_headers_to_add=[{"header": {"key": "X-A", "value": "1"}}],
        enable_x_ratelimit_headers="DRAFT_VERSION_03",
        always_consume_default_token_bucket=False,
        max_dynamic_descriptors=7,
        descriptors=[{"entries": [{"key": "k"}, {"key": "g", "value": "v"}], "token_bucket": BUCKET}],
        rate_limits=[
            {
                "actions": [
                    {
                        "request_headers": {
                            "header_name": "X-K",
                            "descriptor_key": "k",
                            "skip_if_absent": True,
                        }
                    },
                    {"generic_key": {"descriptor_value": "v", "descriptor_key": "g"}},
                ]
            },
            {"actions": [{"remote_address": {}}, {"generic_key": {"descriptor_value": "v"}}]},
        ],
    )
    bucket = TokenBucketSettings(5, 2, 1.5)
    assert own(limit=settings) == (
        (
            LIMIT,
            RateLimitSettings(
                place="t|h||0",
                bucket=bucket,
                enabled=ALWAYS,
                enforced=Fraction(50),
                status=503,
                reply_headers=(HeaderOption("x-a", "1", AppendAction.APPEND_IF_EXISTS_OR_ADD),),
                says_limits=True,
                descriptors=(LimitDescriptor((("k", ""), ("g", "v")), bucket),),
                actions=(
                    (DescribeHeader("k", "x-k", skip_if_absent=True), DescribeValue("g", "v")),
                    (DescribeAddress(), DescribeValue("generic_key", "v")),
                ),
                always_consume_default=False,
                max_keys=7,
            ),
        ),
    )


def test_a_status_that_is_no_error_counts_as_not_set() -> None:
    [(_, made)] = own(limit=limit(status={"code": "Found"}))
    assert isinstance(made, RateLimitSettings)
    assert made.status == 429


def test_what_a_rate_limit_policy_becomes() -> None:
    spec = RateLimitPolicySpec.model_validate(
        {
            "targetRefs": [{"group": "", "kind": "Service", "name": "a"}],
            "total": {"requests": 100},
            "perKey": [
                {"clientIdentity": True, "requests": 10},
                {"header": {"name": "X-User"}, "requests": 5, "unit": "1m"},
            ],
        }
    )
    message = RouteConfiguration(name="t")
    route = message.virtual_hosts.add(name="h", domains=["*"]).routes.add(name="r")
    route.match.prefix, route.route.cluster = "/", "c"
    route.typed_per_filter_config[LIMIT].CopyFrom(rate_limit_config(spec))
    check(message, "r")
    [(_, made)] = translate_routes(message, "r").virtual_hosts[0].routes[0].filter_configs
    assert isinstance(made, RateLimitSettings)
    assert (made.enabled.share, made.enforced.share) == (1.0, 1.0)
    assert (made.says_limits, made.max_keys) == (True, 10_000)
    assert made.actions == (
        (DescribePrincipal("limit_0", skip_if_absent=True),),
        (DescribeHeader("limit_1", "x-user"),),
    )


def test_sessions() -> None:
    full = cookie(ttl="90.5s", path="/a", attributes=[{"name": "SameSite", "value": "Lax"}])
    assert own(session=full) == (
        (SESSION, SessionSettings(CookieSession("sid", 90, "/a", (("SameSite", "Lax"),)))),
    )
    assert own(session=header("X-Ses")) == ((SESSION, SessionSettings(HeaderSession("x-ses"), strict=True)),)
    assert own(session={"disabled": True}) == ((SESSION, None),)
    assert own(session={"stateful_session": {}}) == ((SESSION, None),)


def wrapped(**fields: object) -> Fields:
    return box("envoy.config.route.v3.FilterConfig", **fields)


def test_a_wrapper_switches_off_or_makes_optional() -> None:
    unknown = box(_HTTP + "router.v3.Router")
    assert of_route({CORS: wrapped(disabled=True)}) == ((CORS, None),)
    assert of_route({CORS: wrapped(config=box(_TYPES[CORS]))}) == ((CORS, CorsSettings()),)
    assert of_route({"lua": wrapped(config=unknown, is_optional=True)}) == ()
    with pytest.raises(ConfigError, match=r"config\['lua'\].config: .*Router' is not supported"):
        of_route({"lua": wrapped(config=unknown)})
    with pytest.raises(ConfigError, match="config or disabled is needed"):
        of_route({CORS: wrapped()})


def test_places_stay_when_other_routes_come() -> None:
    configs = {LIMIT: box(_TYPES[LIMIT], **limit())}
    shown = {"match": {"prefix": "/"}, "route": {"cluster": "c"}, "typed_per_filter_config": configs}
    before: list[Fields] = [{**shown, "name": "a"}, {**shown, "name": "b"}]
    after: list[Fields] = [
        {"match": {"path": "/x"}, "route": {"cluster": "c"}, "name": "new"},
        *before,
        before[0],
    ]

    def settings(routes: list[Fields]) -> list[FilterConfigs]:
        hosts = [{"name": "h", "domains": ["*"], "routes": routes}]
        message = ParseDict({"name": "t", "virtual_hosts": hosts}, RouteConfiguration())
        return [route.filter_configs for route in translate_routes(message, "r").virtual_hosts[0].routes]

    first, second = settings(before)
    assert settings(after)[:3] == [(), first, second]
    assert len({first, second, settings(after)[3]}) == 3


@pytest.mark.parametrize(
    ("filters", "message"),
    [
        ([in_chain("mine", _HTTP + "cors.v3.Cors")], "[0].name: 'mine' must be envoy.filters.http.cors"),
        (
            [in_chain(CORS, _HTTP + "cors.v3.Cors")] * 2,
            "[1]: envoy.filters.http.cors stands in the chain twice",
        ),
        (
            [in_chain(CORS, _TYPES[CORS])],
            "[0]: HTTP filter 'envoy.extensions.filters.http.cors.v3.CorsPolicy'",
        ),
        ([in_chain(LIMIT, _TYPES[LIMIT])], "[0].stat_prefix: must not be empty"),
        (
            [in_chain(LIMIT, _TYPES[LIMIT], stat_prefix="x", descriptors=[{}])],
            "[0].descriptors: need a token_bucket",
        ),
    ],
)
def test_refused_in_the_chain(filters: list[Fields], message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        chain(*filters)
    assert message in str(refused.value)


ENTRY = {"entries": [{"key": "k"}], "token_bucket": BUCKET}
RATE: Fields = {"actions": [{"remote_address": {}}]}
EXPRESSION = "envoy.extensions.rate_limit_descriptors.expr.v3.Descriptor"


def described(action: Fields) -> Fields:
    return limit(descriptors=[ENTRY], rate_limits=[{"actions": [action]}])


@pytest.mark.parametrize(
    ("configs", "message"),
    [
        ({"cors": {"allow_methods": "a\nb"}}, "allow_methods: 'a\\nb' has what no field value can have"),
        ({"cors": {"max_age": "5s"}}, "max_age: '5s' is not a number of seconds"),
        ({"cors": {"shadow_enabled": {}}}, "shadow_enabled: this field of"),
        ({"cors": {"allow_origin_string_match": [{"safe_regex": {"regex": "("}}]}}, "'('"),
        ({"cors": {"allow_origin_string_match": [{}]}}, "allow_origin_string_match[0]: one of"),
        ({"cors": {"filter_enabled": {"default_value": {"numerator": 101}}}}, "is above 100 %"),
        ({"fault": {"delay": {}}}, "delay: fixed_delay or header_delay is needed"),
        ({"fault": {"delay": {"fixed_delay": "0s"}}}, "fixed_delay: must be above 0"),
        ({"fault": {"abort": {}}}, "abort: http_status, grpc_status or header_abort is needed"),
        ({"fault": {"abort": {"http_status": 199}}}, "http_status: 199 is not from 200 to 599"),
        ({"fault": {"headers": [{"name": "a b"}]}}, "headers[0].name: 'a b' is no header name"),
        (
            {"fault": {"headers": [{"name": "a", "string_match": {"safe_regex": {"regex": "["}}}]}},
            "'['",
        ),
        ({"limit": {"stat_prefix": "x"}}, "token_bucket: is needed"),
        ({"limit": {"token_bucket": BUCKET}}, "stat_prefix: must not be empty"),
        ({"limit": limit(token_bucket={"fill_interval": "1s"})}, "max_tokens: must be at least 1"),
        (
            {"limit": limit(token_bucket={**BUCKET, "tokens_per_fill": 0})},
            "tokens_per_fill: must be at least 1",
        ),
        (
            {"limit": limit(token_bucket={**BUCKET, "fill_interval": "0.01s"})},
            "fill_interval: 0.01 s is shorter than 0.05 s",
        ),
        ({"limit": limit(max_dynamic_descriptors=0)}, "max_dynamic_descriptors: must be at least 1"),
        ({"limit": limit(descriptors=[ENTRY])}, "descriptors: and rate_limits mean nothing without each"),
        ({"limit": limit(rate_limits=[RATE])}, "descriptors: and rate_limits mean nothing without each"),
        (
            {"limit": limit(descriptors=[{"token_bucket": BUCKET}], rate_limits=[RATE])},
            "descriptors[0].entries: at least one is needed",
        ),
        (
            {"limit": limit(descriptors=[{"entries": [{}], "token_bucket": BUCKET}], rate_limits=[RATE])},
            "descriptors[0].entries: have an empty key",
        ),
        (
            {"limit": limit(descriptors=[ENTRY, ENTRY], rate_limits=[RATE])},
            "descriptors[1].entries: are those of an earlier descriptor",
        ),
        (
            {"limit": limit(descriptors=[ENTRY], rate_limits=[{}])},
            "rate_limits[0].actions: at least one is needed",
        ),
        ({"limit": described({})}, "actions[0]: one of request_headers, remote_address, generic_key"),
        ({"limit": described({"generic_key": {}})}, "generic_key.descriptor_value: must not be empty"),
        (
            {"limit": described({"request_headers": {"header_name": " ", "descriptor_key": "k"}})},
            "header_name: ' ' is no header name",
        ),
        (
            {"limit": described({"request_headers": {"header_name": "a"}})},
            "request_headers.descriptor_key: must not be empty",
        ),
        (
            {
                "limit": described(
                    {"extension": {"typed_config": box(EXPRESSION, descriptor_key="k", text="request.path")}}
                )
            },
            "extension.text: 'request.path' is not supported; connection.uri_san_peer_certificate is",
        ),
        (
            {"limit": described({"extension": {"typed_config": box(EXPRESSION)}})},
            "extension.descriptor_key: must not be empty",
        ),
        (
            {"limit": limit(response_headers_to_add=[{"header": {"key": "content-type", "value": "a"}}])},
            "response_headers_to_add[0].header.key: 'content-type' is written by the proxy",
        ),
        ({"session": {}}, "disabled or stateful_session is needed"),
        ({"session": {"disabled": False}}, "disabled: can only be true"),
        ({"session": header("a b")}, "name: 'a b' is not a header name"),
        ({"session": header("Content-Length")}, "name: 'Content-Length' must not be changed"),
        ({"session": cookie(name="")}, "cookie.name: '' is no cookie name"),
        ({"session": cookie(path="/;a")}, "cookie.path: '/;a' cannot be an attribute of a cookie"),
        ({"session": cookie(attributes=[{"name": "a b"}])}, "attributes[0].name: 'a b' is no name"),
        (
            {"session": cookie(attributes=[{"name": "a", "value": "\n"}])},
            "attributes[0].value: '\\n' cannot be an attribute",
        ),
    ],
)
def test_refused_on_a_route(configs: dict[str, Fields], message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        own(**configs)
    assert message in str(refused.value)


def test_settings_under_another_filters_name_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"HTTPFault belongs to envoy\.filters\.http\.fault"):
        of_route({CORS: box(_TYPES[FAULT])})
