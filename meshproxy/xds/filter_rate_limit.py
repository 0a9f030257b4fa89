"""LocalRateLimit -> its value in the model (pure)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from control_plane.api.envoy.config.route.v3.route_components_pb2 import RateLimit
from control_plane.api.envoy.extensions.common.ratelimit.v3.ratelimit_pb2 import (
    DRAFT_VERSION_03,
    LocalRateLimitDescriptor,
)
from control_plane.api.envoy.extensions.filters.http.local_ratelimit.v3.local_rate_limit_pb2 import (
    LocalRateLimit,
)
from control_plane.api.envoy.extensions.rate_limit_descriptors.expr.v3.expr_pb2 import (
    Descriptor as Expression,
)
from control_plane.api.envoy.type.v3.token_bucket_pb2 import TokenBucket
from meshproxy.config.http_filter import (
    NEVER,
    DescribeAddress,
    DescribeHeader,
    DescribePrincipal,
    DescribeValue,
    DescriptorAction,
    Fraction,
    LimitDescriptor,
    RateLimitSettings,
)
from meshproxy.config.resilience import TokenBucketSettings
from meshproxy.errors import ConfigError
from meshproxy.http.syntax import is_token
from meshproxy.xds.filter_fraction import runtime_fraction
from meshproxy.xds.head_edit import translate_options
from meshproxy.xds.strict import number_or, require, seconds, unpack

PEER_IDENTITY: Final = "connection.uri_san_peer_certificate"
"""The one CEL expression that is understood: the client's verified SPIFFE id."""
_SHORTEST_FILL: Final = 0.05
"""Seconds; Envoy's limit."""
_DEFAULT_STATUS: Final = 429
_LOWEST_STATUS: Final = 400
"""A status below counts as not set, as in Envoy."""
_DEFAULT_MAX_KEYS: Final = 20
_PSEUDO: Final = frozenset({":method", ":authority", ":path"})
_OWN_FIELDS: Final = frozenset({"content-type", "x-envoy-ratelimited"})
"""Fields of a refusal that the filter writes itself."""


def translate_chain_rate_limit(limit: LocalRateLimit, path: str, place: str) -> RateLimitSettings | None:
    """In the connection manager's chain; without a bucket it does nothing there. Raises ConfigError."""
    if limit.HasField("token_bucket"):
        return translate_rate_limit(limit, path, place)
    require(bool(limit.stat_prefix), f"{path}.stat_prefix", "must not be empty")
    require(not limit.descriptors, f"{path}.descriptors", "need a token_bucket beside them")
    return None


def translate_rate_limit(limit: LocalRateLimit, path: str, place: str) -> RateLimitSettings:
    """`limit` has passed the strict check. Raises ConfigError."""
    require(bool(limit.stat_prefix), f"{path}.stat_prefix", "must not be empty")
    require(limit.HasField("token_bucket"), f"{path}.token_bucket", "is needed")
    require(
        bool(limit.descriptors) == bool(limit.rate_limits),
        f"{path}.descriptors",
        "and rate_limits mean nothing without each other; rate limits of the route are not supported",
    )
    always = limit.always_consume_default_token_bucket
    has_always = limit.HasField("always_consume_default_token_bucket")
    return RateLimitSettings(
        place=place,
        bucket=_bucket(limit.token_bucket, f"{path}.token_bucket"),
        enabled=_share(limit, "filter_enabled", path),
        enforced=_share(limit, "filter_enforced", path),
        status=limit.status.code if limit.status.code >= _LOWEST_STATUS else _DEFAULT_STATUS,
        reply_headers=translate_options(
            limit.response_headers_to_add, f"{path}.response_headers_to_add", _OWN_FIELDS
        ),
        says_limits=limit.enable_x_ratelimit_headers == DRAFT_VERSION_03,
        descriptors=_descriptors(limit.descriptors, f"{path}.descriptors"),
        actions=tuple(
            _actions(rate.actions, f"{path}.rate_limits[{index}].actions")
            for index, rate in enumerate(limit.rate_limits)
        ),
        always_consume_default=always.value if has_always else True,
        max_keys=_max_keys(limit, path),
    )


def _share(limit: LocalRateLimit, field: str, path: str) -> Fraction:
    if not limit.HasField(field):
        return NEVER
    return runtime_fraction(getattr(limit, field), f"{path}.{field}")


def _max_keys(limit: LocalRateLimit, path: str) -> int:
    value = number_or(limit, "max_dynamic_descriptors", _DEFAULT_MAX_KEYS)
    require(value >= 1, f"{path}.max_dynamic_descriptors", "must be at least 1")
    return value


def _bucket(bucket: TokenBucket, path: str) -> TokenBucketSettings:
    require(bucket.max_tokens >= 1, f"{path}.max_tokens", "must be at least 1")
    tokens = number_or(bucket, "tokens_per_fill", 1)
    require(tokens >= 1, f"{path}.tokens_per_fill", "must be at least 1")
    interval = seconds(bucket.fill_interval, f"{path}.fill_interval")
    is_long = interval >= _SHORTEST_FILL
    require(is_long, f"{path}.fill_interval", f"{interval} s is shorter than {_SHORTEST_FILL} s")
    return TokenBucketSettings(bucket.max_tokens, tokens, interval)


def _descriptors(descriptors: Sequence[LocalRateLimitDescriptor], path: str) -> tuple[LimitDescriptor, ...]:
    made: list[LimitDescriptor] = []
    for index, descriptor in enumerate(descriptors):
        where = f"{path}[{index}]"
        entries = tuple((entry.key, entry.value) for entry in descriptor.entries)
        require(bool(entries), f"{where}.entries", "at least one is needed")
        require(all(key for key, _ in entries), f"{where}.entries", "have an empty key")
        is_new = all(entries != other.entries for other in made)
        require(is_new, f"{where}.entries", "are those of an earlier descriptor")
        made.append(LimitDescriptor(entries, _bucket(descriptor.token_bucket, f"{where}.token_bucket")))
    return tuple(made)


def _actions(actions: Sequence[RateLimit.Action], path: str) -> tuple[DescriptorAction, ...]:
    require(bool(actions), path, "at least one is needed")
    return tuple(_action(action, f"{path}[{index}]") for index, action in enumerate(actions))


def _action(action: RateLimit.Action, path: str) -> DescriptorAction:
    kind = action.WhichOneof("action_specifier")
    if kind == "request_headers":
        return _header(action.request_headers, f"{path}.request_headers")
    if kind == "remote_address":
        return DescribeAddress()
    if kind == "generic_key":
        generic = action.generic_key
        require(bool(generic.descriptor_value), f"{path}.generic_key.descriptor_value", "must not be empty")
        return DescribeValue(generic.descriptor_key or "generic_key", generic.descriptor_value)
    if kind == "extension":
        return _principal(
            unpack(action.extension.typed_config, Expression, f"{path}.extension"), f"{path}.extension"
        )
    raise ConfigError(f"{path}: one of request_headers, remote_address, generic_key, extension is needed")


def _header(header: RateLimit.Action.RequestHeaders, path: str) -> DescribeHeader:
    name = header.header_name.lower()
    is_name = name in _PSEUDO or is_token(name.encode())
    require(is_name, f"{path}.header_name", f"{header.header_name!r} is no header name")
    require(bool(header.descriptor_key), f"{path}.descriptor_key", "must not be empty")
    return DescribeHeader(header.descriptor_key, name, header.skip_if_absent)


def _principal(expression: Expression, path: str) -> DescribePrincipal:
    require(bool(expression.descriptor_key), f"{path}.descriptor_key", "must not be empty")
    is_known = expression.text == PEER_IDENTITY
    require(is_known, f"{path}.text", f"{expression.text!r} is not supported; {PEER_IDENTITY} is")
    return DescribePrincipal(expression.descriptor_key, expression.skip_if_error)
