"""RateLimitPolicy as Envoy's local rate limit filter (pure): an idle filter in the listener, buckets on the
route.

A limit per key is a descriptor with a wildcard: every value of the header, or every client identity, has a
bucket of its own.
"""

import math
from typing import Final

from google.protobuf.any_pb2 import Any as AnyMessage

from control_plane.api.envoy.config.core.v3.base_pb2 import HeaderValue, HeaderValueOption
from control_plane.api.envoy.config.core.v3.extension_pb2 import TypedExtensionConfig
from control_plane.api.envoy.config.route.v3.route_components_pb2 import RateLimit
from control_plane.api.envoy.extensions.common.ratelimit.v3.ratelimit_pb2 import (
    DRAFT_VERSION_03,
    LocalRateLimitDescriptor,
    RateLimitDescriptor,
)
from control_plane.api.envoy.extensions.filters.http.local_ratelimit.v3.local_rate_limit_pb2 import (
    LocalRateLimit,
)
from control_plane.api.envoy.extensions.rate_limit_descriptors.expr.v3.expr_pb2 import Descriptor
from control_plane.api.envoy.type.v3.token_bucket_pb2 import TokenBucket
from control_plane.resources.gateway_field import milliseconds
from control_plane.resources.rate_limit_policy import SHORTEST_UNIT_MS, KeyedRate, Rate, RateLimitPolicySpec
from control_plane.translate.amount import count, duration, flag, runtime_fraction
from control_plane.translate.tls import packed

RATE_LIMIT_FILTER: Final = "envoy.filters.http.local_ratelimit"
PEER_IDENTITY: Final = "connection.uri_san_peer_certificate"
"""The CEL expression for the client's SPIFFE id."""
STAT_PREFIX = "http_local_rate_limiter"
_NO_LIMIT = 2**32 - 1


def rate_limit_config(spec: RateLimitPolicySpec) -> AnyMessage:
    """`typed_per_filter_config` of a route or virtual host for RATE_LIMIT_FILTER."""
    built = LocalRateLimit(
        stat_prefix=STAT_PREFIX,
        token_bucket=_unlimited(spec) if spec.total is None else _bucket(spec.total),
        filter_enabled=runtime_fraction(100),
        filter_enforced=runtime_fraction(100),
        response_headers_to_add=[_retry_after(spec)],
        descriptors=[_descriptor(number, rate) for number, rate in enumerate(spec.per_key)],
        rate_limits=[_action(number, rate) for number, rate in enumerate(spec.per_key)],
        always_consume_default_token_bucket=flag(spec.total is not None),
    )
    if spec.headers:
        built.enable_x_ratelimit_headers = DRAFT_VERSION_03
    if any(_is_wildcard(rate) for rate in spec.per_key):
        built.max_dynamic_descriptors.CopyFrom(count(spec.max_keys))
    return packed(built)


def _bucket(rate: Rate) -> TokenBucket:
    return TokenBucket(
        max_tokens=rate.burst or rate.requests,
        tokens_per_fill=count(rate.requests),
        fill_interval=duration(rate.unit),
    )


def _unlimited(spec: RateLimitPolicySpec) -> TokenBucket:
    """Envoy demands a bucket for all. Every descriptor's interval must be a multiple of its interval."""
    common = math.gcd(1000, *(milliseconds(rate.unit) for rate in spec.per_key))
    interval = duration(f"{max(common, SHORTEST_UNIT_MS)}ms")
    return TokenBucket(max_tokens=_NO_LIMIT, tokens_per_fill=count(_NO_LIMIT), fill_interval=interval)


def _is_wildcard(rate: KeyedRate) -> bool:
    return rate.header is None or rate.header.value is None


def _key(number: int) -> str:
    return f"limit_{number}"


def _descriptor(number: int, rate: KeyedRate) -> LocalRateLimitDescriptor:
    value = "" if rate.header is None or rate.header.value is None else rate.header.value
    entry = RateLimitDescriptor.Entry(key=_key(number), value=value)
    return LocalRateLimitDescriptor(entries=[entry], token_bucket=_bucket(rate))


def _action(number: int, rate: KeyedRate) -> RateLimit:
    """A request without the header, or without a client certificate, has no such key: it is not limited."""
    if rate.header is not None:
        header = RateLimit.Action.RequestHeaders(
            header_name=rate.header.name.lower(), descriptor_key=_key(number)
        )
        return RateLimit(actions=[RateLimit.Action(request_headers=header)])
    expression = Descriptor(descriptor_key=_key(number), skip_if_error=True, text=PEER_IDENTITY)
    extension = TypedExtensionConfig(
        name="envoy.rate_limit_descriptors.expr", typed_config=packed(expression)
    )
    return RateLimit(actions=[RateLimit.Action(extension=extension)])


def _retry_after(spec: RateLimitPolicySpec) -> HeaderValueOption:
    """Whole seconds until the slowest bucket has its next token; at least 1."""
    rates = [*spec.per_key, *([] if spec.total is None else [spec.total])]
    seconds = max(math.ceil(milliseconds(rate.unit) / rate.requests / 1000) for rate in rates)
    return HeaderValueOption(
        header=HeaderValue(key="retry-after", value=str(seconds)),
        append_action=HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD,
    )
