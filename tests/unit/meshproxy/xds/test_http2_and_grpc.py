"""What HTTP/2 and gRPC need is translated."""

from __future__ import annotations

import pytest
from google.protobuf.json_format import ParseDict

from control_plane.api.envoy.config.cluster.v3.cluster_pb2 import Cluster
from control_plane.api.envoy.config.core.v3.health_check_pb2 import HealthCheck as CheckProto
from control_plane.api.envoy.config.route.v3.route_components_pb2 import RouteAction as ActionProto
from control_plane.api.envoy.extensions.filters.http.fault.v3.fault_pb2 import HTTPFault
from control_plane.api.envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2 as hcm_pb2,
)
from control_plane.api.envoy.extensions.upstreams.http.v3.http_protocol_options_pb2 import HttpProtocolOptions
from meshproxy.config.health_check import GrpcCheck
from meshproxy.config.http_filter import FaultAbort, Fraction
from meshproxy.config.model import HTTP2
from meshproxy.config.route import RouteAction
from meshproxy.errors import ConfigError
from meshproxy.xds.clusters import translate_cluster
from meshproxy.xds.filter_fault import translate_fault
from meshproxy.xds.health_check import translate_health_checks
from meshproxy.xds.http_manager import translate_http_manager
from meshproxy.xds.route_action import translate_route_action
from meshproxy.xds.strict import check
from tests.unit.meshproxy.xds import xds_message as message

TIMES = {"timeout": "1s", "interval": "1s", "unhealthyThreshold": 1, "healthyThreshold": 1}


def cluster(**http2: int) -> Cluster:
    options = HttpProtocolOptions()
    ParseDict(http2, options.explicit_http_config.http2_protocol_options)
    options.explicit_http_config.http2_protocol_options.SetInParent()
    made = message.cluster()
    made.typed_extension_protocol_options[HttpProtocolOptions.DESCRIPTOR.full_name].Pack(options)
    return made


def action(**limit: str) -> RouteAction:
    made = ParseDict({"cluster": "c", "maxStreamDuration": limit}, ActionProto())
    check(made, "a")
    return translate_route_action(made, "a")


def abort(status: int) -> FaultAbort | None:
    fields = {"abort": {"grpcStatus": status, "percentage": {"numerator": 1}}}
    made = translate_fault(ParseDict(fields, HTTPFault()), "f", "")
    return None if made is None else made.abort


def asks(**fields: str) -> object:
    made = translate_health_checks([ParseDict({**TIMES, "grpcHealthCheck": fields}, CheckProto())], "c")
    return None if made is None else made.asks


def test_a_cluster_of_http2_servers() -> None:
    check(cluster(), "c")
    assert translate_cluster(cluster(), "c").http2
    assert not translate_cluster(message.cluster(), "c").http2


def test_settings_of_http2_are_refused_by_name() -> None:
    for name in ("maxConcurrentStreams", "initialStreamWindowSize", "initialConnectionWindowSize"):
        with pytest.raises(ConfigError, match="http2_protocol_options"):
            translate_cluster(cluster(**{name: 70_000}), "c")


def test_a_listener_for_http2_alone() -> None:
    made = message.http_manager()
    made.codec_type = hcm_pb2.HttpConnectionManager.HTTP2
    assert translate_http_manager(made, "h").codec == HTTP2


def test_limits_of_a_stream() -> None:
    found = action(maxStreamDuration="3s", grpcTimeoutHeaderMax="0s", grpcTimeoutHeaderOffset="0.5s")
    assert (found.max_stream_duration, found.grpc_timeout_max, found.grpc_timeout_offset) == (3.0, 0.0, 0.5)
    plain = action(maxStreamDuration="3s")
    assert (plain.grpc_timeout_max, plain.grpc_timeout_offset) == (None, 0.0)
    with pytest.raises(ConfigError, match="only goes with grpc_timeout_header_max"):
        action(grpcTimeoutHeaderOffset="1s")


def test_an_abort_has_a_status_of_gRPC_and_one_of_HTTP() -> None:
    assert abort(14) == FaultAbort(503, Fraction(1, 100), 14)
    assert abort(0) == FaultAbort(200, Fraction(1, 100), 0)
    with pytest.raises(ConfigError, match="17 is no status of gRPC"):
        abort(17)


def test_a_health_check_by_call() -> None:
    assert asks(authority="catalog.shop", serviceName="shop.Catalog") == GrpcCheck(
        "catalog.shop", "shop.Catalog"
    )
    assert asks(authority="catalog.shop") == GrpcCheck("catalog.shop")
    with pytest.raises(ConfigError, match="authority: must be printable ASCII"):
        asks(serviceName="a")


def test_what_is_not_there_is_no_problem() -> None:
    assert translate_health_checks([], "c") is None
