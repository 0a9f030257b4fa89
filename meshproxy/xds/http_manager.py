"""HttpConnectionManager -> its value in the model (pure)."""

from __future__ import annotations

from collections.abc import Sequence

from control_plane.api.envoy.config.core.v3.protocol_pb2 import HttpProtocolOptions
from control_plane.api.envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2 as hcm_pb2,
)
from meshproxy.config.model import AUTO, HTTP1, HTTP2, EdgeSettings, HttpConnectionManager
from meshproxy.xds.route_filters import translate_http_filters
from meshproxy.xds.routes import translate_routes
from meshproxy.xds.strict import enum_name, number_or, require, seconds_or

_Proto = hcm_pb2.HttpConnectionManager
_DEFAULT_STREAM_IDLE_TIMEOUT = 300.0
_DEFAULT_IDLE_TIMEOUT = 3600.0
_DEFAULT_MAX_HEADERS_KB = 60
_MAX_HEADERS_KB = 8192
_DEFAULT_MAX_HEADERS = 100
_CODECS = (AUTO, HTTP1, HTTP2)
_UPGRADES = frozenset({"websocket"})


def translate_http_manager(manager: _Proto, path: str) -> HttpConnectionManager:
    """`manager` has passed the strict check. Raises ConfigError."""
    require(bool(manager.stat_prefix), f"{path}.stat_prefix", "must not be empty")
    _check_fixed_behaviour(manager, path)
    kind = manager.WhichOneof("route_specifier")
    require(kind is not None, path, "rds or route_config is needed")
    is_rds = kind == "rds"
    options = manager.common_http_protocol_options
    return HttpConnectionManager(
        stat_prefix=manager.stat_prefix,
        codec=_codec(manager, f"{path}.codec_type"),
        route_table=None if is_rds else translate_routes(manager.route_config, f"{path}.route_config"),
        rds_name=_rds_name(manager.rds, f"{path}.rds") if is_rds else None,
        forward_client_cert=_forward_client_cert(manager, path),
        client_cert_details=_client_cert_details(manager.set_current_client_cert_details),
        stream_idle_timeout=seconds_or(manager, "stream_idle_timeout", _DEFAULT_STREAM_IDLE_TIMEOUT, path),
        idle_timeout=seconds_or(
            options, "idle_timeout", _DEFAULT_IDLE_TIMEOUT, f"{path}.common_http_protocol_options"
        ),
        request_headers_timeout=seconds_or(manager, "request_headers_timeout", 0.0, path),
        max_request_headers_kb=_max_headers_kb(manager, path),
        max_headers_count=_max_headers_count(options, f"{path}.common_http_protocol_options"),
        max_requests_per_connection=options.max_requests_per_connection.value,
        http_filters=translate_http_filters(manager.http_filters, f"{path}.http_filters"),
        upgrade_types=_upgrade_types(manager.upgrade_configs, f"{path}.upgrade_configs"),
        edge=_edge(manager, path),
    )


def _check_fixed_behaviour(manager: _Proto, path: str) -> None:
    """Fields that may only say what this proxy does anyway."""
    makes_ids = not manager.HasField("generate_request_id") or manager.generate_request_id.value
    require(makes_ids, f"{path}.generate_request_id", "false is not supported")
    server = manager.server_header_transformation
    is_kept = server in (_Proto.OVERWRITE, _Proto.PASS_THROUGH)  # OVERWRITE is also how "not set" looks
    require(
        is_kept,
        f"{path}.server_header_transformation",
        f"{enum_name(manager, 'server_header_transformation')} is not supported",
    )


def _codec(manager: _Proto, path: str) -> str:
    name = enum_name(manager, "codec_type")
    require(name in _CODECS, path, f"{name} is not supported")
    return name


def _edge(manager: _Proto, path: str) -> EdgeSettings | None:
    if manager.use_remote_address.value:
        return EdgeSettings(
            trusted_hops=manager.xff_num_trusted_hops,
            append_forwarded_for=not manager.skip_xff_append,
            keep_request_id=manager.preserve_external_request_id,
        )
    for field in ("xff_num_trusted_hops", "skip_xff_append", "preserve_external_request_id"):
        require(not getattr(manager, field), f"{path}.{field}", "only goes with use_remote_address")
    return None


def _rds_name(rds: hcm_pb2.Rds, path: str) -> str:
    require(rds.config_source.HasField("ads"), f"{path}.config_source", "must be ads")
    require(bool(rds.route_config_name), f"{path}.route_config_name", "must not be empty")
    return rds.route_config_name


def _forward_client_cert(manager: _Proto, path: str) -> bool:
    kind = manager.forward_client_cert_details
    path = f"{path}.forward_client_cert_details"
    if kind == _Proto.SANITIZE:
        return False
    name = enum_name(manager, "forward_client_cert_details")
    require(kind == _Proto.SANITIZE_SET, path, f"{name} is not supported")
    has_uri = manager.set_current_client_cert_details.uri
    require(has_uri, path, "SANITIZE_SET needs set_current_client_cert_details.uri, which is what we write")
    return True


def _client_cert_details(details: _Proto.SetCurrentClientCertDetails) -> tuple[str, ...]:
    wanted = {
        "cert": details.cert,
        "subject": details.subject.value,
        "uri": details.uri,
        "dns": details.dns,
    }
    return tuple(name for name, is_wanted in wanted.items() if is_wanted) or ("uri",)


def _max_headers_kb(manager: _Proto, path: str) -> int:
    value = number_or(manager, "max_request_headers_kb", _DEFAULT_MAX_HEADERS_KB)
    path = f"{path}.max_request_headers_kb"
    require(1 <= value <= _MAX_HEADERS_KB, path, f"{value} is not from 1 to {_MAX_HEADERS_KB}")
    return value


def _max_headers_count(options: HttpProtocolOptions, path: str) -> int:
    value = number_or(options, "max_headers_count", _DEFAULT_MAX_HEADERS)
    require(value >= 1, f"{path}.max_headers_count", "must be at least 1")
    return value


def _upgrade_types(configs: Sequence[_Proto.UpgradeConfig], path: str) -> tuple[str, ...]:
    """Protocols a connection may be switched to; one that is listed but not enabled is not among them."""
    allowed = []
    for index, config in enumerate(configs):
        name = config.upgrade_type.lower()
        require(
            name in _UPGRADES,
            f"{path}[{index}].upgrade_type",
            f"{config.upgrade_type!r} is not supported; websocket is",
        )
        require(name not in allowed, f"{path}[{index}].upgrade_type", f"{name} is listed twice")
        if not config.HasField("enabled") or config.enabled.value:
            allowed.append(name)
    return tuple(allowed)
