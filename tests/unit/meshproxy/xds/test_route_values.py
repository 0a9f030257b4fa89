"""Everything a route may say -> the model; and what is refused, by field path."""

import pytest
from google.protobuf.json_format import ParseDict

from control_plane.api.envoy.config.route.v3.route_pb2 import RouteConfiguration
from control_plane.api.envoy.extensions.filters.http.router.v3.router_pb2 import Router
from meshproxy.config.head_edit import (
    AppendAction,
    HeaderMutations,
    HeaderOption,
    HeadMutations,
    PathRewrite,
    RegexSubstitution,
)
from meshproxy.config.http_filter import RateLimitSettings
from meshproxy.config.retry import RateLimitedBackOff, ResetHeaderFormat, RetrySettings
from meshproxy.config.route import (
    HashCookie,
    HashHeader,
    HashQuery,
    HashSourceIp,
    MirrorPolicy,
    Redirect,
    Route,
    RouteAction,
    RouteTable,
    WeightedCluster,
)
from meshproxy.config.route_match import (
    HeaderMatch,
    PathMatch,
    PathMatchKind,
    PresentMatch,
    QueryMatch,
    RangeMatch,
    RouteMatch,
    StringMatch,
    StringMatchKind,
)
from meshproxy.errors import ConfigError
from meshproxy.xds.routes import translate_routes
from tests.unit.meshproxy.xds.xds_message import packed

EXACT = StringMatchKind.EXACT
ADD = [
    {"header": {"key": "X-A", "value": "50%%"}},
    {"header": {"key": "x-b", "value": "1"}, "append_action": "ADD_IF_ABSENT"},
    {"header": {"key": "x-c", "value": "1"}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"},
    {"header": {"key": "x-d", "value": "1"}, "append_action": "OVERWRITE_IF_EXISTS"},
    {"header": {"key": "x-e", "value": "1"}, "append": False},
    {"header": {"key": "x-f", "value": "1"}, "append": True},
    {"header": {"key": "x-dropped", "value": ""}},
    {"header": {"key": "x-empty", "value": ""}, "keep_empty_value": True},
]
ADDED = (
    HeaderOption("x-a", "50%"),
    HeaderOption("x-b", "1", AppendAction.ADD_IF_ABSENT),
    HeaderOption("x-c", "1", AppendAction.OVERWRITE_IF_EXISTS_OR_ADD),
    HeaderOption("x-d", "1", AppendAction.OVERWRITE_IF_EXISTS),
    HeaderOption("x-e", "1", AppendAction.OVERWRITE_IF_EXISTS_OR_ADD),
    HeaderOption("x-f", "1"),
    HeaderOption("x-empty", ""),
)
MUTATIONS = {
    "request_headers_to_add": ADD,
    "request_headers_to_remove": ["X-Gone"],
    "response_headers_to_add": ADD[:1],
    "response_headers_to_remove": ["server"],
}
MUTATED = HeadMutations(HeaderMutations(ADDED, ("x-gone",)), HeaderMutations(ADDED[:1], ("server",)))


def table(route: object = None, host: object = None, **fields: object) -> RouteTable:
    shown = route or {"match": {"prefix": "/"}, "route": {"cluster": "c"}}
    hosts = [{"name": "h", "domains": ["*"], "routes": [shown], **(host or {})}]  # type: ignore[dict-item]
    message = ParseDict({"name": "t", "virtual_hosts": hosts, **fields}, RouteConfiguration())
    return translate_routes(message, "r")


def route(**fields: object) -> Route:
    fields = {"match": {"prefix": "/"}, **fields}
    if not {"route", "redirect", "direct_response"} & set(fields):
        fields["route"] = {"cluster": "c"}
    return table(fields).virtual_hosts[0].routes[0]


def match(**fields: object) -> RouteMatch:
    return route(match={"prefix": "/", **fields}).match


def action(**fields: object) -> RouteAction:
    found = route(route={"cluster": "c", **fields}).action
    assert isinstance(found, RouteAction)
    return found


def redirect(**fields: object) -> Redirect:
    found = route(redirect=fields).action
    assert isinstance(found, Redirect)
    return found


def regex(pattern: str) -> dict[str, str]:
    return {"regex": pattern}


def test_paths_without_case() -> None:
    found = route(match={"path": "/A", "case_sensitive": False}).match.path
    assert found == PathMatch(PathMatchKind.EXACT, "/A", case_sensitive=False)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ({"string_match": {"exact": ""}}, StringMatch(EXACT, "")),
        ({"string_match": {"prefix": "a"}}, StringMatch(StringMatchKind.PREFIX, "a")),
        ({"string_match": {"suffix": "a"}}, StringMatch(StringMatchKind.SUFFIX, "a")),
        (
            {"string_match": {"contains": "a", "ignore_case": True}},
            StringMatch(StringMatchKind.CONTAINS, "a", ignore_case=True),
        ),
        ({"string_match": {"safe_regex": regex("a+")}}, StringMatch(StringMatchKind.REGEX, "a+")),
        ({"range_match": {"start": -1, "end": 3}}, RangeMatch(-1, 3)),
        ({"present_match": True}, PresentMatch()),
        ({"present_match": False}, PresentMatch(False)),
        ({}, PresentMatch()),
    ],
)
def test_header_matches(header: dict[str, object], expected: StringMatch | RangeMatch | PresentMatch) -> None:
    [plain] = match(headers=[{"name": "X-A", **header}]).headers
    assert plain == HeaderMatch("x-a", expected)
    [inverted] = match(headers=[{"name": ":path", "invert_match": True, **header}]).headers
    assert inverted == HeaderMatch(":path", expected, invert=True)


def test_a_missing_header_may_be_empty() -> None:
    header = {"name": "a", "treat_missing_header_as_empty": True, "string_match": {"exact": "x"}}
    assert match(headers=[header]).headers[0].missing_is_empty


def test_query_matches() -> None:
    found = match(
        query_parameters=[
            {"name": "a", "string_match": {"exact": "1"}},
            {"name": "b", "present_match": False},
            {"name": "c"},
        ]
    )
    expected = (StringMatch(EXACT, "1"), PresentMatch(False), PresentMatch())
    assert found.query == tuple(QueryMatch(name, value) for name, value in zip("abc", expected, strict=True))


def test_mutations_of_every_level() -> None:
    share = {"name": "c", "weight": 1, **MUTATIONS, "host_rewrite_literal": "own.host"}
    found = table(
        {"match": {"prefix": "/"}, "route": {"weighted_clusters": {"clusters": [share]}}, **MUTATIONS},
        {**MUTATIONS, "include_request_attempt_count": True, "include_attempt_count_in_response": True},
        most_specific_header_mutations_wins=True,
        **MUTATIONS,
    )
    [host] = found.virtual_hosts
    made = host.routes[0].action
    assert isinstance(made, RouteAction)
    assert made.clusters == (WeightedCluster("c", 1, MUTATED, "own.host"),)
    assert [level.mutations for level in (found, host, host.routes[0])] == [MUTATED] * 3
    assert found.most_specific_mutations_win
    assert (host.attempt_count_in_request, host.attempt_count_in_response) == (True, True)


def test_rewrites() -> None:
    assert action(prefix_rewrite="/n").path_rewrite == PathRewrite("/n")
    substitution = {"pattern": regex("^/a"), "substitution": "/b"}
    expected = PathRewrite(regex=RegexSubstitution("^/a", "/b"))
    assert action(regex_rewrite=substitution).path_rewrite == expected
    assert action(host_rewrite_literal="h:80").host_rewrite == "h:80"
    plain = action()
    assert (plain.path_rewrite, plain.host_rewrite, plain.idle_timeout) == (None, "", None)


def test_idle_timeout_and_subset() -> None:
    made = action(idle_timeout="0s", metadata_match={"filter_metadata": {"envoy.lb": {"b": "2", "a": "1"}}})
    assert (made.idle_timeout, made.metadata_match) == (0.0, (("a", "1"), ("b", "2")))


def test_mirrors() -> None:
    half = {"default_value": {"numerator": 5000, "denominator": "TEN_THOUSAND"}}
    made = action(
        request_mirror_policies=[
            {"cluster": "m", "runtime_fraction": half, "disable_shadow_host_suffix_append": True},
            {"cluster": "n"},
        ]
    )
    assert made.mirrors == (MirrorPolicy("m", 0.5, append_shadow=False), MirrorPolicy("n"))


def test_hash_policies() -> None:
    rewrite = {"pattern": regex("a"), "substitution": "b"}
    cookie = {"name": "c", "ttl": "0s", "path": "/p", "attributes": [{"name": "SameSite", "value": "Lax"}]}
    made = action(
        hash_policy=[
            {"header": {"header_name": "X-User", "regex_rewrite": rewrite}, "terminal": True},
            {"cookie": cookie},
            {"cookie": {"name": "d"}},
            {"connection_properties": {"source_ip": True}},
            {"query_parameter": {"name": "q"}},
        ]
    )
    assert made.hash_policy == (
        HashHeader("x-user", RegexSubstitution("a", "b"), terminal=True),
        HashCookie("c", 0.0, "/p", (("SameSite", "Lax"),)),
        HashCookie("d"),
        HashSourceIp(),
        HashQuery("q"),
    )


def test_retries_in_full() -> None:
    reset = [{"name": "Retry-After"}, {"name": "x-reset", "format": "UNIX_TIMESTAMP"}]
    message = {
        "retry_on": "reset,connect-failure",
        "per_try_timeout": "2s",
        "per_try_idle_timeout": "1s",
        "retriable_status_codes": [503, 409],
        "retriable_headers": [{"name": "X-Retry"}],
        "retriable_request_headers": [{"name": "x-safe", "string_match": {"exact": "yes"}}],
        "rate_limited_retry_back_off": {"reset_headers": reset, "max_interval": "9s"},
    }
    expected = RetrySettings(
        frozenset({"reset", "connect-failure"}),
        per_try_timeout=2.0,
        per_try_idle_timeout=1.0,
        retriable_status_codes=frozenset({503, 409}),
        retriable_headers=(HeaderMatch("x-retry", PresentMatch()),),
        retriable_request_headers=(HeaderMatch("x-safe", StringMatch(EXACT, "yes")),),
        rate_limited=RateLimitedBackOff(
            (
                ("retry-after", ResetHeaderFormat.SECONDS),
                ("x-reset", ResetHeaderFormat.UNIX_TIMESTAMP),
            ),
            9.0,
        ),
    )
    assert action(retry_policy=message).retry == expected
    default = action(retry_policy={"rate_limited_retry_back_off": {"reset_headers": reset}}).retry
    assert default is not None
    assert default.rate_limited is not None
    assert default.rate_limited.max_interval == 300.0


def test_the_hosts_retry_policy_counts_where_a_route_has_none() -> None:
    host = {"retry_policy": {"retry_on": "reset", "num_retries": 3}}
    own = {"match": {"prefix": "/"}, "route": {"cluster": "c", "retry_policy": {"num_retries": 5}}}
    numbers = []
    for shown in (None, own):
        made = table(shown, host).virtual_hosts[0].routes[0].action
        assert isinstance(made, RouteAction)
        assert made.retry is not None
        numbers.append((made.retry.num_retries, made.retry.retry_on))
    assert numbers == [(3, frozenset({"reset"})), (5, frozenset())]


def test_redirects() -> None:
    assert redirect() == Redirect()
    assert redirect(
        https_redirect=True,
        host_redirect="o:81",
        port_redirect=82,
        path_redirect="/x?y",
        response_code="PERMANENT_REDIRECT",
        strip_query=True,
    ) == Redirect(308, "https", "o:81", 82, "/x?y", strip_query=True)
    assert redirect(scheme_redirect="http", prefix_rewrite="/n") == Redirect(
        scheme="http", rewrite=PathRewrite("/n")
    )
    substitution = {"pattern": regex("a"), "substitution": "b"}
    assert redirect(regex_rewrite=substitution).rewrite == PathRewrite(regex=RegexSubstitution("a", "b"))


def test_origin_of_a_route() -> None:
    made = route(metadata={"filter_metadata": {"meshproxy.io": {"rule": "2", "name": "web"}}})
    assert made.metadata == (("name", "web"), ("rule", "2"))


def test_settings_of_filters_at_every_level() -> None:
    box = {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit",
        "stat_prefix": "limits",
        "token_bucket": {"max_tokens": 1, "fill_interval": "1s"},
    }
    configs = {"typed_per_filter_config": {"envoy.filters.http.local_ratelimit": box}}
    share = {"name": "c", "weight": 1, **configs}
    shown = {"match": {"prefix": "/"}, "route": {"weighted_clusters": {"clusters": [share]}}, **configs}
    made = table(shown, configs, **configs)
    [host] = made.virtual_hosts
    found = host.routes[0].action
    assert isinstance(found, RouteAction)
    levels = (made, host, host.routes[0], found.clusters[0])
    settings = [dict(level.filter_configs)["envoy.filters.http.local_ratelimit"] for level in levels]
    assert all(isinstance(one, RateLimitSettings) for one in settings)
    assert len(set(settings)) == len(levels), "each place has buckets of its own"


def _add(**option: object) -> dict[str, object]:
    return {"request_headers_to_add": [option]}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"match": {"safe_regex": regex("")}}, "match.safe_regex.regex: must not be empty"),
        ({"match": {"safe_regex": regex("a"), "case_sensitive": False}}, "match.case_sensitive: has no"),
        ({"match": {"headers": [{"name": "a b"}]}}, "match.headers[0].name: 'a b' is no header name"),
        ({"match": {"headers": [{"name": ":scheme"}]}}, "headers[0].name: ':scheme' is no header name"),
        ({"match": {"headers": [{"name": "a", "string_match": {}}]}}, "string_match: one of exact"),
        ({"match": {"headers": [{"name": "a", "string_match": {"prefix": ""}}]}}, "prefix: must not be"),
        (
            {"match": {"headers": [{"name": "a", "string_match": {"safe_regex": regex("(")}}]}},
            "regular expression '('",
        ),
        (
            {
                "match": {
                    "headers": [
                        {"name": "a", "string_match": {"safe_regex": regex("a"), "ignore_case": True}}
                    ]
                }
            },
            "string_match.ignore_case: has no meaning",
        ),
        (
            {"match": {"headers": [{"name": "a", "range_match": {"start": 3, "end": 3}}]}},
            "range_match: start must be below end",
        ),
        (
            {"match": {"headers": [{"name": "a", "treat_missing_header_as_empty": True}]}},
            "treat_missing_header_as_empty: has no meaning",
        ),
        ({"match": {"query_parameters": [{"name": "x" * 1025}]}}, "query_parameters[0].name: must have"),
        (_add(header={"key": "a:"}), "request_headers_to_add[0].header.key: 'a:' is not"),
        (_add(header={"key": "Host", "value": "x"}), "'Host' must not be changed"),
        (_add(header={"key": "a", "value": "%REQ(x)%"}), "has a % command"),
        (_add(header={"key": "a", "value": "x\ny"}), "has control characters"),
        (_add(header={"key": "a", "value": " x"}), "or blanks around it"),
        (
            _add(header={"key": "a", "value": "x"}, append=True, append_action="ADD_IF_ABSENT"),
            "append: is not allowed beside append_action",
        ),
        ({"response_headers_to_remove": ["content-length"]}, "response_headers_to_remove[0]"),
        ({"redirect": {"port_redirect": 70000}}, "redirect.port_redirect: 70000 is no port"),
        ({"redirect": {"path_redirect": "x"}}, "path_redirect: 'x' does not start with /"),
        ({"redirect": {"path_redirect": "/x y"}}, "path_redirect: '/x y' has what no path can have"),
        ({"redirect": {"scheme_redirect": "ftp"}}, "scheme_redirect: 'ftp' is neither"),
        ({"redirect": {"host_redirect": "a b"}}, "host_redirect: 'a b' is not a host"),
        ({"metadata": {"filter_metadata": {"x": {}}}}, "metadata.filter_metadata: x is not supported"),
        (
            {"metadata": {"filter_metadata": {"meshproxy.io": {"a": 1}}}},
            "filter_metadata['meshproxy.io']['a']: must be a string",
        ),
    ],
)
def test_refused_in_a_route(fields: dict[str, object], message: str) -> None:
    if isinstance(found := fields.get("match"), dict) and "safe_regex" not in found:
        found.setdefault("prefix", "/")
    with pytest.raises(ConfigError) as refused:
        route(**fields)
    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"prefix_rewrite": "n"}, "prefix_rewrite: 'n' does not start with /"),
        ({"prefix_rewrite": "/n?a"}, "prefix_rewrite: '/n?a' has a query"),
        (
            {"prefix_rewrite": "/n", "regex_rewrite": {"pattern": regex("a")}},
            "regex_rewrite: is not allowed beside prefix_rewrite",
        ),
        ({"regex_rewrite": {"substitution": "a"}}, "regex_rewrite.pattern.regex: must not be empty"),
        ({"regex_rewrite": {"pattern": regex("a"), "substitution": " "}}, "substitution: has what no path"),
        ({"regex_rewrite": {"pattern": regex("a"), "substitution": r"\1"}}, "is no group"),
        ({"host_rewrite_literal": ""}, "host_rewrite_literal: must not be empty"),
        ({"host_rewrite_literal": "a/b"}, "host_rewrite_literal: 'a/b' is not a host"),
        ({"auto_host_rewrite": True}, "host_rewrite_literal: must not be empty"),
        ({"request_mirror_policies": [{}]}, "request_mirror_policies[0].cluster: must not be empty"),
        (
            {
                "request_mirror_policies": [
                    {"cluster": "m", "runtime_fraction": {"default_value": {"numerator": 101}}}
                ]
            },
            "runtime_fraction.default_value: is above 100 %",
        ),
        ({"hash_policy": [{}]}, "hash_policy[0]: one of header"),
        ({"hash_policy": [{"header": {"header_name": ""}}]}, "hash_policy[0].header.header_name"),
        (
            {
                "hash_policy": [
                    {
                        "header": {
                            "header_name": "a",
                            "regex_rewrite": {"pattern": {"regex": "("}, "substitution": ""},
                        }
                    }
                ]
            },
            "regular expression '('",
        ),
        ({"hash_policy": [{"cookie": {"name": "a b"}}]}, "cookie.name: 'a b' is not a cookie name"),
        ({"hash_policy": [{"cookie": {"name": "a", "path": "/;b"}}]}, "cookie.path: '/;b' has a semicolon"),
        (
            {"hash_policy": [{"cookie": {"name": "a", "attributes": [{"name": "a;b"}]}}]},
            "cookie.attributes[0]: 'a;b'='' is not",
        ),
        ({"hash_policy": [{"connection_properties": {}}]}, "connection_properties.source_ip: must be true"),
        ({"hash_policy": [{"query_parameter": {}}]}, "query_parameter.name: must not be empty"),
        ({"retry_policy": {"retriable_status_codes": [99]}}, "retriable_status_codes[0]: 99 is not"),
        (
            {"retry_policy": {"retriable_headers": [{"name": ":method"}]}},
            "retriable_headers[0].name: ':method' is no header name",
        ),
        ({"retry_policy": {"rate_limited_retry_back_off": {}}}, "reset_headers: at least one is needed"),
        (
            {"retry_policy": {"rate_limited_retry_back_off": {"reset_headers": [{"name": "a b"}]}}},
            "reset_headers[0].name: 'a b' is not a header name",
        ),
        (
            {
                "retry_policy": {
                    "rate_limited_retry_back_off": {"reset_headers": [{"name": "a"}], "max_interval": "0s"}
                }
            },
            "rate_limited_retry_back_off.max_interval: must be above 0",
        ),
    ],
)
def test_refused_in_an_action(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        action(**fields)
    assert message in str(refused.value)


def test_settings_for_a_filter_nobody_knows_are_refused() -> None:
    made = RouteConfiguration(name="t")
    made.typed_per_filter_config["x"].CopyFrom(packed(Router()))
    with pytest.raises(ConfigError, match=r"r.typed_per_filter_config\['x'\].*Router' is not supported"):
        translate_routes(made, "r")


def test_a_thousand_header_options_are_the_limit() -> None:
    with pytest.raises(ConfigError, match="more than 1000 fields"):
        route(request_headers_to_add=[{"header": {"key": "a", "value": "b"}}] * 1001)
