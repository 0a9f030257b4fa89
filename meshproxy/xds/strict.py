"""Refuses, by name, everything in an xDS message that this sidecar does not act on (pure).

A field that is dropped in silence is a hole when it is an access rule and an outage when it is a timeout. So
the table `ACTED_ON` says which fields of which messages the translation reads; any other field that is set,
any field number our subset does not know, and any unknown enum value is a ConfigError. A field at its proto3
default is not set: leaving it out means the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final, TypeVar

from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import DecodeError, Message
from google.protobuf.unknown_fields import UnknownFieldSet

from meshproxy.errors import ConfigError
from meshproxy.steps import Steps

M = TypeVar("M", bound=Message)

_V3: Final = "envoy.config.{}.v3."
_CORE, _LISTENER, _ROUTE = _V3.format("core"), _V3.format("listener"), _V3.format("route")
_CLUSTER, _ENDPOINT = _V3.format("cluster"), _V3.format("endpoint")
_MUTATIONS: Final = (
    "request_headers_to_add request_headers_to_remove response_headers_to_add response_headers_to_remove"
)
_HCM = "envoy.extensions.filters.network.http_connection_manager.v3."
_TCP = "envoy.extensions.filters.network.tcp_proxy.v3."
_TLS = "envoy.extensions.transport_sockets.tls.v3."
_LISTENER_FILTER = "envoy.extensions.filters.listener."
_UPSTREAM_HTTP = "envoy.extensions.upstreams.http.v3."
_HTTP_FILTER = "envoy.extensions.filters.http."
_COMMON_LIMIT = "envoy.extensions.common.ratelimit.v3."
_SESSION_STATE = "envoy.extensions.http.stateful_session."

_TABLE: Final[Mapping[str, str]] = {
    # core
    _CORE + "Address": "socket_address",
    _CORE + "AggregatedConfigSource": "",
    _CORE + "BindConfig": "source_address extra_source_addresses",
    _CORE + "CidrRange": "address_prefix prefix_len",
    _CORE + "ConfigSource": "ads resource_api_version",
    _CORE + "DataSource": "inline_bytes inline_string filename",
    _CORE + "ExtraSourceAddress": "address",
    _CORE + "HeaderValue": "key value",
    _CORE + "HeaderValueOption": "header append append_action keep_empty_value",
    _CORE + "HealthCheck": "timeout interval unhealthy_threshold healthy_threshold http_health_check"
    " tcp_health_check grpc_health_check no_traffic_interval interval_jitter_percent initial_jitter",
    _CORE + "HealthCheck.GrpcHealthCheck": "service_name authority",
    _CORE + "HealthCheck.HttpHealthCheck": "host path expected_statuses method",
    _CORE + "HealthCheck.Payload": "text",
    _CORE + "HealthCheck.TcpHealthCheck": "send receive",
    _CORE + "Http1ProtocolOptions": "",
    _CORE + "Http2ProtocolOptions": "",
    _CORE + "HttpProtocolOptions": "idle_timeout max_headers_count max_requests_per_connection",
    _CORE + "Metadata": "filter_metadata",
    _CORE + "Locality": "region zone sub_zone",
    _CORE + "RuntimeDouble": "default_value runtime_key",
    _CORE + "RuntimeFractionalPercent": "default_value",
    _CORE + "SocketAddress": "address port_value",
    _CORE + "TransportSocket": "name typed_config",
    _CORE + "TypedExtensionConfig": "name typed_config",
    # listeners
    _LISTENER + "AdditionalAddress": "address",
    _LISTENER + "Filter": "name typed_config",
    _LISTENER + "FilterChain": "filter_chain_match filters transport_socket name",
    _LISTENER + "FilterChainMatch": "destination_port prefix_ranges server_names transport_protocol"
    " application_protocols",
    _LISTENER + "Listener": "name address additional_addresses filter_chains use_original_dst"
    " default_filter_chain bind_to_port listener_filters listener_filters_timeout"
    " continue_on_listener_filters_timeout traffic_direction",
    _LISTENER + "ListenerFilter": "name typed_config",
    _LISTENER_FILTER + "http_inspector.v3.HttpInspector": "",
    _LISTENER_FILTER + "original_dst.v3.OriginalDst": "",
    _LISTENER_FILTER + "proxy_protocol.v3.ProxyProtocol": "stat_prefix",
    _LISTENER_FILTER + "tls_inspector.v3.TlsInspector": "",
    # network and HTTP filters
    _HCM + "HttpConnectionManager": "codec_type stat_prefix rds route_config http_filters"
    " common_http_protocol_options forward_client_cert_details set_current_client_cert_details"
    " stream_idle_timeout request_headers_timeout max_request_headers_kb generate_request_id"
    " use_remote_address xff_num_trusted_hops skip_xff_append preserve_external_request_id"
    " server_header_transformation upgrade_configs",
    _HCM + "HttpConnectionManager.UpgradeConfig": "upgrade_type enabled",
    _HCM + "HttpConnectionManager.SetCurrentClientCertDetails": "uri dns subject cert",
    _HCM + "HttpFilter": "name typed_config is_optional",
    _HCM + "Rds": "config_source route_config_name",
    "envoy.extensions.filters.http.router.v3.Router": "suppress_envoy_headers",
    _TCP + "TcpProxy": "stat_prefix cluster weighted_clusters idle_timeout",
    _TCP + "TcpProxy.WeightedCluster": "clusters",
    _TCP + "TcpProxy.WeightedCluster.ClusterWeight": "name weight",
    # settings of HTTP filters
    _HTTP_FILTER + "cors.v3.Cors": "",
    _HTTP_FILTER
    + "cors.v3.CorsPolicy": "allow_origin_string_match allow_methods allow_headers expose_headers"
    " max_age allow_credentials filter_enabled allow_private_network_access forward_not_matching_preflights",
    _HTTP_FILTER + "fault.v3.FaultAbort": "http_status grpc_status header_abort percentage",
    _HTTP_FILTER + "fault.v3.FaultAbort.HeaderAbort": "",
    _HTTP_FILTER + "fault.v3.HTTPFault": "delay abort headers max_active_faults",
    "envoy.extensions.filters.common.fault.v3.FaultDelay": "fixed_delay header_delay percentage",
    "envoy.extensions.filters.common.fault.v3.FaultDelay.HeaderDelay": "",
    _HTTP_FILTER + "local_ratelimit.v3.LocalRateLimit": "stat_prefix status token_bucket filter_enabled"
    " filter_enforced response_headers_to_add descriptors enable_x_ratelimit_headers"
    " always_consume_default_token_bucket rate_limits max_dynamic_descriptors",
    _COMMON_LIMIT + "LocalRateLimitDescriptor": "entries token_bucket",
    _COMMON_LIMIT + "RateLimitDescriptor.Entry": "key value",
    "envoy.extensions.rate_limit_descriptors.expr.v3.Descriptor": "descriptor_key skip_if_error text",
    _HTTP_FILTER + "stateful_session.v3.StatefulSession": "session_state strict",
    _HTTP_FILTER + "stateful_session.v3.StatefulSessionPerRoute": "disabled stateful_session",
    _SESSION_STATE + "cookie.v3.CookieBasedSessionState": "cookie",
    _SESSION_STATE + "header.v3.HeaderBasedSessionState": "name",
    "envoy.type.http.v3.Cookie": "name ttl path attributes",
    "envoy.type.http.v3.CookieAttribute": "name value",
    "envoy.type.v3.HttpStatus": "code",
    "envoy.type.v3.TokenBucket": "max_tokens tokens_per_fill fill_interval",
    # routes
    _ROUTE + "DirectResponseAction": "status body",
    _ROUTE + "FilterConfig": "config is_optional disabled",
    _ROUTE + "HeaderMatcher": "name string_match range_match present_match invert_match"
    " treat_missing_header_as_empty",
    _ROUTE + "QueryParameterMatcher": "name string_match present_match",
    _ROUTE + "RateLimit": "actions",
    _ROUTE + "RateLimit.Action": "request_headers remote_address generic_key extension",
    _ROUTE + "RateLimit.Action.GenericKey": "descriptor_value descriptor_key",
    _ROUTE + "RateLimit.Action.RemoteAddress": "",
    _ROUTE + "RateLimit.Action.RequestHeaders": "header_name descriptor_key skip_if_absent",
    _ROUTE + "RedirectAction": "host_redirect path_redirect prefix_rewrite regex_rewrite response_code"
    " https_redirect scheme_redirect strip_query port_redirect",
    _ROUTE + "RetryPolicy": "retry_on num_retries retry_host_predicate host_selection_retry_max_attempts"
    " retry_back_off per_try_timeout per_try_idle_timeout retriable_status_codes retriable_headers"
    " retriable_request_headers rate_limited_retry_back_off",
    _ROUTE + "RetryPolicy.RateLimitedRetryBackOff": "reset_headers max_interval",
    _ROUTE + "RetryPolicy.ResetHeader": "name format",
    _ROUTE + "RetryPolicy.RetryBackOff": "base_interval max_interval",
    _ROUTE + "RetryPolicy.RetryHostPredicate": "name typed_config",
    _ROUTE + "Route": "name match route redirect direct_response metadata typed_per_filter_config "
    + _MUTATIONS,
    _ROUTE + "RouteAction": "cluster weighted_clusters cluster_not_found_response_code timeout retry_policy"
    " prefix_rewrite regex_rewrite host_rewrite_literal idle_timeout hash_policy request_mirror_policies"
    " metadata_match max_stream_duration",
    _ROUTE + "RouteAction.MaxStreamDuration": "max_stream_duration grpc_timeout_header_max"
    " grpc_timeout_header_offset",
    _ROUTE + "RouteAction.HashPolicy": "header cookie connection_properties query_parameter terminal",
    _ROUTE + "RouteAction.HashPolicy.ConnectionProperties": "source_ip",
    _ROUTE + "RouteAction.HashPolicy.Cookie": "name ttl path attributes",
    _ROUTE + "RouteAction.HashPolicy.CookieAttribute": "name value",
    _ROUTE + "RouteAction.HashPolicy.Header": "header_name regex_rewrite",
    _ROUTE + "RouteAction.HashPolicy.QueryParameter": "name",
    _ROUTE + "RouteAction.RequestMirrorPolicy": "cluster runtime_fraction disable_shadow_host_suffix_append",
    _ROUTE + "RouteConfiguration": "name virtual_hosts ignore_port_in_host_matching metadata"
    " most_specific_header_mutations_wins typed_per_filter_config " + _MUTATIONS,
    _ROUTE
    + "RouteMatch": "prefix path safe_regex path_separated_prefix case_sensitive headers query_parameters",
    _ROUTE + "VirtualHost": "name domains routes retry_policy include_request_attempt_count"
    " include_attempt_count_in_response typed_per_filter_config " + _MUTATIONS,
    _ROUTE + "WeightedCluster": "clusters",
    _ROUTE + "WeightedCluster.ClusterWeight": "name weight metadata_match host_rewrite_literal"
    " typed_per_filter_config " + _MUTATIONS,
    "envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate": "",
    "envoy.type.matcher.v3.RegexMatchAndSubstitute": "pattern substitution",
    "envoy.type.matcher.v3.RegexMatcher": "regex",
    # clusters
    _CLUSTER + "CircuitBreakers": "thresholds",
    _CLUSTER + "CircuitBreakers.Thresholds": "priority max_connections max_pending_requests max_requests"
    " max_retries retry_budget",
    _CLUSTER + "CircuitBreakers.Thresholds.RetryBudget": "budget_percent min_retry_concurrency",
    _CLUSTER + "Cluster": "transport_socket_matches name type eds_cluster_config connect_timeout lb_policy"
    " load_assignment circuit_breakers typed_extension_protocol_options upstream_bind_config"
    " transport_socket metadata outlier_detection common_lb_config lb_subset_config ring_hash_lb_config"
    " least_request_lb_config maglev_lb_config round_robin_lb_config health_checks dns_refresh_rate"
    " dns_lookup_family respect_dns_ttl",
    _CLUSTER + "Cluster.CommonLbConfig": "healthy_panic_threshold locality_weighted_lb_config"
    " consistent_hashing_lb_config",
    _CLUSTER + "Cluster.CommonLbConfig.ConsistentHashingLbConfig": "hash_balance_factor",
    _CLUSTER + "Cluster.CommonLbConfig.LocalityWeightedLbConfig": "",
    _CLUSTER + "Cluster.LbSubsetConfig": "fallback_policy subset_selectors",
    _CLUSTER + "Cluster.LbSubsetConfig.LbSubsetSelector": "keys fallback_policy",
    _CLUSTER + "Cluster.LeastRequestLbConfig": "choice_count active_request_bias slow_start_config",
    _CLUSTER + "Cluster.MaglevLbConfig": "table_size",
    _CLUSTER + "Cluster.RingHashLbConfig": "minimum_ring_size hash_function maximum_ring_size",
    _CLUSTER + "Cluster.RoundRobinLbConfig": "slow_start_config",
    _CLUSTER + "Cluster.SlowStartConfig": "slow_start_window aggression min_weight_percent",
    _CLUSTER + "Cluster.EdsClusterConfig": "eds_config service_name",
    _CLUSTER + "Cluster.TransportSocketMatch": "name match transport_socket",
    _CLUSTER + "OutlierDetection": "consecutive_5xx interval base_ejection_time max_ejection_percent"
    " enforcing_consecutive_5xx enforcing_success_rate success_rate_minimum_hosts success_rate_request_volume"
    " success_rate_stdev_factor consecutive_gateway_failure enforcing_consecutive_gateway_failure"
    " split_external_local_origin_errors consecutive_local_origin_failure"
    " enforcing_consecutive_local_origin_failure enforcing_local_origin_success_rate"
    " failure_percentage_threshold enforcing_failure_percentage failure_percentage_minimum_hosts"
    " failure_percentage_request_volume max_ejection_time max_ejection_time_jitter"
    " successful_active_health_check_uneject_host always_eject_one_host",
    _UPSTREAM_HTTP + "HttpProtocolOptions": "explicit_http_config auto_config common_http_protocol_options",
    _UPSTREAM_HTTP + "HttpProtocolOptions.AutoHttpConfig": "http_protocol_options http2_protocol_options",
    _UPSTREAM_HTTP + "HttpProtocolOptions.ExplicitHttpConfig": "http_protocol_options http2_protocol_options",
    # endpoints
    _ENDPOINT + "ClusterLoadAssignment": "cluster_name endpoints",
    _ENDPOINT + "Endpoint": "address",
    _ENDPOINT + "LbEndpoint": "endpoint health_status metadata load_balancing_weight",
    _ENDPOINT + "LocalityLbEndpoints": "locality lb_endpoints load_balancing_weight priority",
    # TLS
    _TLS + "CertificateValidationContext": "trusted_ca match_typed_subject_alt_names system_root_certs",
    _TLS + "CertificateValidationContext.SystemRootCerts": "",
    _TLS + "CommonTlsContext": "tls_params tls_certificate_sds_secret_configs validation_context"
    " validation_context_sds_secret_config combined_validation_context alpn_protocols",
    _TLS + "CommonTlsContext.CombinedCertificateValidationContext": "default_validation_context"
    " validation_context_sds_secret_config",
    _TLS + "DownstreamTlsContext": "common_tls_context require_client_certificate",
    _TLS + "Secret": "name tls_certificate",
    _TLS + "TlsCertificate": "certificate_chain private_key",
    _TLS + "SdsSecretConfig": "name sds_config",
    _TLS + "SubjectAltNameMatcher": "san_type matcher",
    _TLS + "TlsParameters": "tls_minimum_protocol_version tls_maximum_protocol_version",
    _TLS + "UpstreamTlsContext": "common_tls_context sni max_session_keys",
    "envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer": "",
    # names
    "istio.networking.nds.v1.NameTable": "table",
    "istio.networking.nds.v1.NameTable.NameInfo": "ips registry shortname namespace",
    "envoy.type.matcher.v3.StringMatcher": "exact prefix suffix contains safe_regex ignore_case",
    "envoy.type.v3.FractionalPercent": "numerator denominator",
    "envoy.type.v3.Int64Range": "start end",
    "envoy.type.v3.Percent": "value",
}

ACTED_ON: Final[Mapping[str, frozenset[str]]] = {
    message: frozenset(fields.split()) for message, fields in _TABLE.items()
}
"""Full message name -> names of the fields that the translation reads."""

_OPAQUE = "google.protobuf."
"""Google's own types (Any, Struct, Duration, wrappers) carry values; who reads them checks them."""


_STEP_BYTES: Final = 4096
"""Messages up to this size are checked at once: about 0.3 ms."""


def decode(body: bytes, message_type: type[M], path: str) -> M:
    """Decode a message found at `path`, unchecked. Raises ConfigError."""
    message = message_type()
    try:
        message.ParseFromString(body)
    except DecodeError as error:
        raise ConfigError(f"{path}: not a valid {message_type.DESCRIPTOR.full_name}: {error}") from error
    return message


def check(message: Message, path: str) -> None:
    """Raise ConfigError for the first thing in `message`, at any depth, that is not acted on."""
    for field, item, place in _acted_on(message, path):
        if isinstance(item, Message):
            check(item, place)
        else:
            _check_enum(field, item, place)


def checking(message: Message, path: str, *, apart_from: str = "") -> Steps[None]:
    """As `check`, pausing after every part of some KiB. `apart_from` names a field of `message` that the
    caller checks itself."""
    if not apart_from and message.ByteSize() <= _STEP_BYTES:
        check(message, path)
        yield
        return
    for field, item, place in _acted_on(message, path, apart_from):
        if isinstance(item, Message):
            yield from checking(item, place)
        else:
            _check_enum(field, item, place)


def _acted_on(
    message: Message, path: str, apart_from: str = ""
) -> Iterator[tuple[FieldDescriptor, object, str]]:
    """Each single value with its field and place. Raises ConfigError at what is not acted on."""
    name = message.DESCRIPTOR.full_name
    unknown = UnknownFieldSet(message)
    if len(unknown):
        raise ConfigError(f"{path}: field number {unknown[0].field_number} of {name} is not supported")
    if name.startswith(_OPAQUE):
        return
    acted_on = ACTED_ON.get(name, frozenset())
    for field, value in message.ListFields():
        where = f"{path}.{field.name}"
        if field.name not in acted_on:
            raise ConfigError(f"{where}: this field of {name} is not supported")
        if field.name != apart_from and (field.message_type is not None or field.enum_type is not None):
            for item, place in _items(field, value, where):
                yield field, item, place


def _check_enum(field: FieldDescriptor, value: object, place: str) -> None:
    if field.enum_type is not None and value not in field.enum_type.values_by_number:
        raise ConfigError(f"{place}: {value} is not a known {field.enum_type.full_name}")


def _items(field: FieldDescriptor, value: object, where: str) -> Iterator[tuple[object, str]]:
    """Each single value of a field with its place; a map's messages by key."""
    if not field.is_repeated:
        yield value, where
    elif isinstance(value, Mapping):
        for key in sorted(value):
            yield value[key], f"{where}[{key!r}]"
    else:
        assert isinstance(value, Iterable)
        for index, item in enumerate(value):
            yield item, f"{where}[{index}]"


def type_name(packed: AnyMessage) -> str:
    """Full name of the message in an Any."""
    return packed.type_url.rpartition("/")[2]


def unpack(packed: AnyMessage, message_type: type[M], path: str) -> M:
    """The message in an Any, which must be of one type. Raises ConfigError."""
    expected = message_type.DESCRIPTOR.full_name
    if type_name(packed) != expected:
        raise ConfigError(f"{path}: extension {type_name(packed)!r} is not supported here; use {expected}")
    message = decode(packed.value, message_type, path)
    check(message, path)
    return message


def require(is_met: bool, path: str, problem: str) -> None:
    """Raise ConfigError with `problem` at `path` unless `is_met`."""
    if not is_met:
        raise ConfigError(f"{path}: {problem}")


def seconds(duration: Duration, path: str) -> float:
    """A duration that is not negative. Raises ConfigError."""
    value = duration.seconds + duration.nanos / 1e9
    require(value >= 0, path, f"{value} s is negative")
    return value


def seconds_or(message: Message, field: str, default: float, path: str) -> float:
    """A Duration field of `message`, which is found at `path`; `default` when it is not set."""
    return seconds(getattr(message, field), f"{path}.{field}") if message.HasField(field) else default


def number_or(message: Message, field: str, default: int) -> int:
    """A field of `message` that wraps an integer; `default` when it is not set."""
    return int(getattr(message, field).value) if message.HasField(field) else default


def enum_name(message: Message, field: str) -> str:
    """Name of the value of an enum field, for messages."""
    enum = message.DESCRIPTOR.fields_by_name[field].enum_type
    assert enum is not None
    return str(enum.values_by_number[getattr(message, field)].name)
