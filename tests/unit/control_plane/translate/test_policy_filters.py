"""What policies put into filters: sessions, faults, limits, and the time a head may take."""

import pytest

from control_plane.api.envoy.config.listener.v3.listener_pb2 import Listener
from control_plane.api.envoy.extensions.filters.http.fault.v3.fault_pb2 import HTTPFault
from control_plane.api.envoy.extensions.filters.http.local_ratelimit.v3.local_rate_limit_pb2 import (
    LocalRateLimit,
)
from control_plane.api.envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2 as hcm,
)
from tests.unit.control_plane.translate import mesh
from tests.unit.control_plane.translate.test_policies import Tree, policy, tree


@pytest.mark.parametrize(
    ("affinity", "expected"),
    [
        ({"cookie": {"name": "m", "ttl": "1h"}}, "envoy.http.stateful_session.cookie"),
        ({"header": {"name": "X-S"}}, "envoy.http.stateful_session.header"),
    ],
)
def test_session_affinity_and_the_filter_it_needs(affinity: Tree, expected: str) -> None:
    snapshot = mesh.translate(mesh.shop(policy("TrafficPolicy", "one", sessionAffinity=affinity)))
    (route,) = mesh.virtual_host(snapshot, "catalog.shop").routes
    assert expected.encode() in route.typed_per_filter_config["envoy.filters.http.stateful_session"].value
    assert _filters(mesh.listener(snapshot, "0.0.0.0_8080")) == [
        "envoy.filters.http.stateful_session",
        "envoy.filters.http.router",
    ]


def _manager(listener: Listener, chain: str = "http") -> hcm.HttpConnectionManager:
    manager = hcm.HttpConnectionManager()
    found = next(one for one in listener.filter_chains if one.name == chain)
    assert found.filters[0].typed_config.Unpack(manager)
    return manager


def _filters(listener: Listener, chain: str = "http") -> list[str]:
    return [one.name for one in _manager(listener, chain).http_filters]


def test_a_fault_is_on_the_routes_and_the_filter_in_the_listener() -> None:
    fault = policy(
        "FaultPolicy",
        "chaos",
        delay={"fixed": "2s", "percent": 12.5},
        abort={"httpStatus": 503, "percent": 30},
        headers=[{"name": "X-Chaos", "value": "1"}],
    )
    snapshot = mesh.translate(mesh.shop(fault))
    (route,) = mesh.virtual_host(snapshot, "catalog.shop").routes
    found = HTTPFault()
    assert route.typed_per_filter_config["envoy.filters.http.fault"].Unpack(found)
    assert tree(found) == {
        "delay": {"fixed_delay": "2s", "percentage": {"numerator": 125000, "denominator": "MILLION"}},
        "abort": {"http_status": 503, "percentage": {"numerator": 300000, "denominator": "MILLION"}},
        "headers": [{"name": "x-chaos", "string_match": {"exact": "1"}}],
    }
    assert "envoy.filters.http.fault" in _filters(mesh.listener(snapshot, "0.0.0.0_8080"))
    assert "envoy.filters.http.fault" in _filters(mesh.listener(snapshot, "10.96.0.7_9000"))


def _limit(**spec: object) -> tuple[LocalRateLimit, Listener]:
    snapshot = mesh.translate(mesh.shop(policy("RateLimitPolicy", "fair", **spec)), mesh.CATALOG)
    inbound = mesh.listener(snapshot, "virtualInbound")
    limit = LocalRateLimit()
    host = _manager(inbound, "8080-mtls-http").route_config.virtual_hosts[0]
    assert host.typed_per_filter_config["envoy.filters.http.local_ratelimit"].Unpack(limit)
    return limit, inbound


def test_limits_are_kept_where_requests_arrive() -> None:
    limit, inbound = _limit(total={"requests": 10, "unit": "1m", "burst": 20})
    assert tree(limit.token_bucket) == {"max_tokens": 20, "tokens_per_fill": 10, "fill_interval": "60s"}
    assert limit.response_headers_to_add[0].header.value == "6"
    assert limit.enable_x_ratelimit_headers == 1
    assert limit.filter_enforced.default_value.numerator == 1_000_000
    assert "envoy.filters.http.local_ratelimit" in _filters(inbound, "8080-mtls-http")
    assert _filters(inbound, "catch-all-mtls-http") == ["envoy.filters.http.router"]
    outbound = mesh.listener(
        mesh.translate(mesh.shop(policy("RateLimitPolicy", "f", total={"requests": 1}))), "0.0.0.0_8080"
    )
    assert _filters(outbound) == ["envoy.filters.http.router"]


def test_limits_by_key_are_wildcard_descriptors() -> None:
    limit, _ = _limit(
        perKey=[
            {"requests": 1, "unit": "2s", "clientIdentity": True},
            {"requests": 5, "header": {"name": "X-User"}},
            {"requests": 5, "header": {"name": "x-tier", "value": "free"}},
        ],
        maxKeys=7,
        headers=False,
    )
    assert [(one.entries[0].key, one.entries[0].value) for one in limit.descriptors] == [
        ("limit_0", ""),
        ("limit_1", ""),
        ("limit_2", "free"),
    ]
    assert limit.rate_limits[0].actions[0].extension.name == "envoy.rate_limit_descriptors.expr"
    assert limit.rate_limits[1].actions[0].request_headers.header_name == "x-user"
    assert limit.max_dynamic_descriptors.value == 7
    assert limit.enable_x_ratelimit_headers == 0
    assert not limit.always_consume_default_token_bucket.value
    assert limit.token_bucket.max_tokens == 2**32 - 1
    assert limit.token_bucket.fill_interval.seconds == 1
    assert limit.response_headers_to_add[0].header.value == "2"


def test_the_head_timeout_is_the_ports_own() -> None:
    one = policy("TrafficPolicy", "one", timeouts={"header": "3s"})
    inbound = mesh.listener(mesh.translate(mesh.shop(one), mesh.CATALOG), "virtualInbound")
    assert _manager(inbound, "8080-mtls-http").request_headers_timeout.seconds == 3
    assert _manager(inbound, "catch-all-mtls-http").request_headers_timeout.seconds == 10
