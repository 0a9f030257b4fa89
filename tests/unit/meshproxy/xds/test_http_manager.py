"""HttpConnectionManager -> its value in the model."""

from collections.abc import Callable

import pytest
from google.protobuf.any_pb2 import Any as AnyMessage

from control_plane.api.envoy.extensions.filters.http.router.v3.router_pb2 import Router
from control_plane.api.envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2 as hcm_pb2,
)
from meshproxy.config.model import EdgeSettings, HttpConnectionManager
from meshproxy.errors import ConfigError
from meshproxy.xds.http_manager import translate_http_manager
from tests.unit.meshproxy.xds import xds_message as message

Proto = hcm_pb2.HttpConnectionManager
Change = Callable[[Proto], None]
RBAC = AnyMessage(type_url="type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC")


def translated(change: Change = lambda made: None) -> HttpConnectionManager:
    made = message.http_manager()
    change(made)
    return translate_http_manager(made, "h")


def test_defaults_are_envoys() -> None:
    assert translated() == HttpConnectionManager(
        stat_prefix="http",
        rds_name="80",
        forward_client_cert=False,
        stream_idle_timeout=300.0,
        idle_timeout=3600.0,
        request_headers_timeout=0.0,
        max_request_headers_kb=60,
        max_headers_count=100,
        max_requests_per_connection=0,
        upgrade_types=(),
    )


def test_an_edge() -> None:
    def change(made: Proto) -> None:
        made.use_remote_address.value = True

    def with_hops(made: Proto) -> None:
        change(made)
        made.xff_num_trusted_hops = 2
        made.skip_xff_append = made.preserve_external_request_id = True

    assert translated(change).edge == EdgeSettings()
    assert translated(with_hops).edge == EdgeSettings(2, append_forwarded_for=False, keep_request_id=True)


def test_everything_that_is_acted_on() -> None:
    def change(made: Proto) -> None:
        made.codec_type = Proto.HTTP1
        made.route_config.CopyFrom(message.routes("inline", "catalog"))
        made.common_http_protocol_options.idle_timeout.seconds = 1
        made.common_http_protocol_options.max_headers_count.value = 50
        made.common_http_protocol_options.max_requests_per_connection.value = 7
        made.upgrade_configs.add(upgrade_type="WebSocket")
        made.stream_idle_timeout.seconds = 2
        made.request_headers_timeout.seconds = 3
        made.max_request_headers_kb.value = 96
        made.forward_client_cert_details = Proto.SANITIZE_SET
        made.set_current_client_cert_details.uri = True
        made.generate_request_id.value = True
        made.use_remote_address.value = False
        made.server_header_transformation = Proto.PASS_THROUGH

    made = translated(change)
    assert made.rds_name is None
    assert made.route_table is not None
    assert made.route_table.name == "inline"
    assert (made.idle_timeout, made.stream_idle_timeout, made.request_headers_timeout) == (1.0, 2.0, 3.0)
    assert (made.max_request_headers_kb, made.forward_client_cert) == (96, True)
    assert (made.max_headers_count, made.max_requests_per_connection) == (50, 7)
    assert made.upgrade_types == ("websocket",)


def test_an_upgrade_that_is_listed_but_not_enabled_is_not_allowed() -> None:
    def change(made: Proto) -> None:
        made.upgrade_configs.add(upgrade_type="websocket").enabled.value = False

    assert translated(change) == translated()


def test_a_filter_the_sender_calls_optional_may_be_unknown() -> None:
    def change(made: Proto) -> None:
        made.http_filters.insert(0, hcm_pb2.HttpFilter(name="rbac", typed_config=RBAC, is_optional=True))

    assert translated(change) == translated()


def _required(made: Proto) -> None:
    made.http_filters.insert(0, hcm_pb2.HttpFilter(name="rbac", typed_config=RBAC))


def _nameless(made: Proto) -> None:
    made.http_filters.insert(0, hcm_pb2.HttpFilter(name="lua"))


def _router_first(made: Proto) -> None:
    made.http_filters.append(hcm_pb2.HttpFilter(name="rbac", typed_config=RBAC, is_optional=True))


def _no_router(made: Proto) -> None:
    del made.http_filters[:]


def _router_option(made: Proto) -> None:
    router = Router()
    router.dynamic_stats.value = False
    made.http_filters[0].typed_config.Pack(router)


def _no_ids(made: Proto) -> None:
    made.generate_request_id.value = False


def _hops_without_edge(made: Proto) -> None:
    made.xff_num_trusted_hops = 1


def _server_header(made: Proto) -> None:
    made.server_header_transformation = Proto.APPEND_IF_ABSENT


def _forward_only(made: Proto) -> None:
    made.forward_client_cert_details = Proto.FORWARD_ONLY


def _set_without_uri(made: Proto) -> None:
    made.forward_client_cert_details = Proto.SANITIZE_SET


def _no_source(made: Proto) -> None:
    made.rds.ClearField("config_source")


def _no_name(made: Proto) -> None:
    made.rds.route_config_name = ""


def _no_routes(made: Proto) -> None:
    made.ClearField("rds")


def _no_prefix(made: Proto) -> None:
    made.stat_prefix = ""


def _no_headers(made: Proto) -> None:
    made.common_http_protocol_options.max_headers_count.value = 0


def _upgrade(*names: str) -> Change:
    def change(made: Proto) -> None:
        for name in names:
            made.upgrade_configs.add(upgrade_type=name)

    return change


def _headers(limit: int) -> Change:
    def change(made: Proto) -> None:
        made.max_request_headers_kb.value = limit

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            _required,
            "http_filters[0]: HTTP filter 'envoy.extensions.filters.http.rbac.v3.RBAC' is not supported",
        ),
        (_nameless, "http_filters[0]: HTTP filter 'lua' is not supported"),
        (_router_first, "http_filters[0]: the router must be the last filter"),
        (_no_router, "h.http_filters: the last filter must be the router"),
        (_router_option, "http_filters[0].dynamic_stats: this field of"),
        (_no_ids, "h.generate_request_id: false is not supported"),
        (_hops_without_edge, "h.xff_num_trusted_hops: only goes with use_remote_address"),
        (_server_header, "h.server_header_transformation: APPEND_IF_ABSENT is not supported"),
        (_forward_only, "h.forward_client_cert_details: FORWARD_ONLY is not supported"),
        (_set_without_uri, "SANITIZE_SET needs set_current_client_cert_details.uri"),
        (_no_source, "h.rds.config_source: must be ads"),
        (_no_name, "h.rds.route_config_name: must not be empty"),
        (_no_routes, "h: rds or route_config is needed"),
        (_no_prefix, "h.stat_prefix: must not be empty"),
        (_no_headers, "h.common_http_protocol_options.max_headers_count: must be at least 1"),
        (_upgrade("h2c"), "h.upgrade_configs[0].upgrade_type: 'h2c' is not supported; websocket is"),
        (_upgrade("websocket", "WebSocket"), "h.upgrade_configs[1].upgrade_type: websocket is listed twice"),
        (_headers(0), "h.max_request_headers_kb: 0 is not from 1 to 8192"),
        (_headers(9000), "h.max_request_headers_kb: 9000 is not from 1 to 8192"),
    ],
)
def test_refused(change: Change, message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        translated(change)
    assert message in str(refused.value)
