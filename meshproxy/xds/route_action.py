"""RouteAction: where a request goes and on what terms -> its value in the model (pure)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final, NamedTuple

from control_plane.api.envoy.config.core.v3.base_pb2 import Metadata
from control_plane.api.envoy.config.route.v3 import route_components_pb2 as components
from meshproxy.config.http_filter import ALWAYS
from meshproxy.config.route import (
    HashCookie,
    HashHeader,
    HashPolicy,
    HashQuery,
    HashSourceIp,
    MirrorPolicy,
    RouteAction,
    WeightedCluster,
)
from meshproxy.errors import ConfigError
from meshproxy.http.syntax import is_token
from meshproxy.routing.regex import Substitution
from meshproxy.xds.filter_fraction import runtime_fraction
from meshproxy.xds.head_edit import (
    check_host,
    check_target,
    translate_mutations,
    translate_path_rewrite,
    translate_substitution,
)
from meshproxy.xds.route_filters import translate_filter_configs
from meshproxy.xds.route_retry import translate_retry
from meshproxy.xds.split import split
from meshproxy.xds.strict import require, seconds, seconds_or

_Proto = components.RouteAction
_Hash = _Proto.HashPolicy
_DEFAULT_TIMEOUT: Final = 15.0
_SUBSETS: Final = "envoy.lb"
_NOT_FOUND_STATUS: Final = {
    _Proto.SERVICE_UNAVAILABLE: 503,
    _Proto.NOT_FOUND: 404,
    _Proto.INTERNAL_SERVER_ERROR: 500,
}


def translate_route_action(
    action: _Proto, path: str, host_retry: components.RetryPolicy | None = None, place: str = ""
) -> RouteAction:
    """`action` has passed the strict check; `host_retry` counts where it has no retry policy of its own;
    `place` is the route's (see `route_filters`). Raises ConfigError.
    """
    own_retry = action.HasField("retry_policy")
    retry = action.retry_policy if own_retry else host_retry
    rewrite = translate_path_rewrite(action, action.HasField("regex_rewrite"), path)
    limit = _stream_limit(action, f"{path}.max_stream_duration")
    return RouteAction(
        clusters=_clusters(action, path, place),
        timeout=seconds_or(action, "timeout", _DEFAULT_TIMEOUT, path),
        retry=translate_retry(retry, f"{path}.retry_policy") if retry is not None else None,
        cluster_not_found_status=_NOT_FOUND_STATUS[action.cluster_not_found_response_code],
        idle_timeout=seconds(action.idle_timeout, f"{path}.idle_timeout")
        if action.HasField("idle_timeout")
        else None,
        path_rewrite=rewrite,
        host_rewrite=_host_rewrite(action, path),
        mirrors=tuple(
            _mirror(mirror, f"{path}.request_mirror_policies[{index}]")
            for index, mirror in enumerate(action.request_mirror_policies)
        ),
        hash_policy=tuple(
            _hash(policy, f"{path}.hash_policy[{index}]") for index, policy in enumerate(action.hash_policy)
        ),
        metadata_match=subset_criteria(action.metadata_match, f"{path}.metadata_match"),
        max_stream_duration=limit.whole,
        grpc_timeout_max=limit.grpc_timeout_max,
        grpc_timeout_offset=limit.grpc_timeout_offset,
    )


class _StreamLimit(NamedTuple):
    """Seconds, as in `RouteAction`."""

    whole: float = 0.0
    grpc_timeout_max: float | None = None
    grpc_timeout_offset: float = 0.0


def _stream_limit(action: _Proto, path: str) -> _StreamLimit:
    if not action.HasField("max_stream_duration"):
        return _StreamLimit()
    limit = action.max_stream_duration
    has_grpc = limit.HasField("grpc_timeout_header_max")
    text = "only goes with grpc_timeout_header_max"
    is_fitting = has_grpc or not limit.HasField("grpc_timeout_header_offset")
    require(is_fitting, f"{path}.grpc_timeout_header_offset", text)
    longest = seconds(limit.grpc_timeout_header_max, f"{path}.grpc_timeout_header_max") if has_grpc else None
    return _StreamLimit(
        seconds_or(limit, "max_stream_duration", 0.0, path),
        longest,
        seconds_or(limit, "grpc_timeout_header_offset", 0.0, path),
    )


def _clusters(action: _Proto, path: str, place: str) -> tuple[WeightedCluster, ...]:
    kind = action.WhichOneof("cluster_specifier")
    require(kind is not None, path, "cluster or weighted_clusters is needed")
    if kind == "cluster":
        return split([action.cluster], [1], f"{path}.cluster")
    shares = action.weighted_clusters.clusters
    where = f"{path}.weighted_clusters.clusters"
    weighted = split([share.name for share in shares], [share.weight.value for share in shares], where)
    return tuple(
        _share(cluster, share, f"{where}[{index}]", f"{place}|{share.name}|{index}")
        for index, (cluster, share) in enumerate(zip(weighted, shares, strict=True))
    )


def _share(
    cluster: WeightedCluster, share: components.WeightedCluster.ClusterWeight, path: str, place: str
) -> WeightedCluster:
    """What is changed for this alternative only."""
    host = share.host_rewrite_literal
    return replace(
        cluster,
        mutations=translate_mutations(share, path),
        host_rewrite=check_host(host, f"{path}.host_rewrite_literal") if host else "",
        metadata_match=subset_criteria(share.metadata_match, f"{path}.metadata_match"),
        filter_configs=translate_filter_configs(share.typed_per_filter_config, path, place),
    )


def _host_rewrite(action: _Proto, path: str) -> str:
    if action.WhichOneof("host_rewrite_specifier") is None:
        return ""
    host = action.host_rewrite_literal
    require(bool(host), f"{path}.host_rewrite_literal", "must not be empty")
    return check_host(host, f"{path}.host_rewrite_literal")


def subset_criteria(metadata: Metadata, path: str) -> tuple[tuple[str, str], ...]:
    """String values under `envoy.lb`, sorted. Raises ConfigError for anything else."""
    criteria = string_metadata(metadata, _SUBSETS, path)
    return tuple(sorted(criteria.items()))


def string_metadata(metadata: Metadata, namespace: str, path: str) -> dict[str, str]:
    """The only namespace allowed, whose values must be strings. Raises ConfigError."""
    others = sorted(set(metadata.filter_metadata) - {namespace})
    require(not others, f"{path}.filter_metadata", f"{', '.join(others)} is not supported; {namespace} is")
    if namespace not in metadata.filter_metadata:
        return {}
    fields = metadata.filter_metadata[namespace].fields
    for key in sorted(fields):
        is_string = fields[key].WhichOneof("kind") == "string_value"
        require(is_string, f"{path}.filter_metadata[{namespace!r}][{key!r}]", "must be a string")
    return {key: value.string_value for key, value in fields.items()}


def _mirror(mirror: _Proto.RequestMirrorPolicy, path: str) -> MirrorPolicy:
    require(bool(mirror.cluster), f"{path}.cluster", "must not be empty")
    has_fraction = mirror.HasField("runtime_fraction")
    fraction = (
        runtime_fraction(mirror.runtime_fraction, f"{path}.runtime_fraction") if has_fraction else ALWAYS
    )
    return MirrorPolicy(mirror.cluster, fraction.share, not mirror.disable_shadow_host_suffix_append)


def _hash(policy: _Hash, path: str) -> HashPolicy:
    kind = policy.WhichOneof("policy_specifier")
    if kind is None:
        raise ConfigError(f"{path}: one of {', '.join(_HASHES)} is needed")
    return _HASHES[kind](policy, f"{path}.{kind}")


def _hash_header(policy: _Hash, path: str) -> HashPolicy:
    header = policy.header
    is_name = is_token(header.header_name.encode())
    require(is_name, f"{path}.header_name", f"{header.header_name!r} is not a header name")
    rewrite = (
        translate_substitution(header.regex_rewrite, f"{path}.regex_rewrite")
        if header.HasField("regex_rewrite")
        else None
    )
    if rewrite is not None:
        Substitution(rewrite)  # here it can still be refused
    return HashHeader(header.header_name.lower(), rewrite, policy.terminal)


def _hash_cookie(policy: _Hash, path: str) -> HashPolicy:
    cookie = policy.cookie
    require(is_token(cookie.name.encode()), f"{path}.name", f"{cookie.name!r} is not a cookie name")
    if cookie.path:
        check_target(cookie.path, f"{path}.path")
        require(";" not in cookie.path, f"{path}.path", f"{cookie.path!r} has a semicolon")
    for index, attribute in enumerate(cookie.attributes):
        is_clean = all(is_token(part.encode()) or not part for part in (attribute.name, attribute.value))
        require(
            is_clean and bool(attribute.name),
            f"{path}.attributes[{index}]",
            f"{attribute.name!r}={attribute.value!r} is not a cookie attribute",
        )
    return HashCookie(
        cookie.name,
        seconds(cookie.ttl, f"{path}.ttl") if cookie.HasField("ttl") else None,
        cookie.path,
        tuple((attribute.name, attribute.value) for attribute in cookie.attributes),
        policy.terminal,
    )


def _hash_source(policy: _Hash, path: str) -> HashPolicy:
    require(
        policy.connection_properties.source_ip, f"{path}.source_ip", "must be true: there is nothing else"
    )
    return HashSourceIp(policy.terminal)


def _hash_query(policy: _Hash, path: str) -> HashPolicy:
    require(bool(policy.query_parameter.name), f"{path}.name", "must not be empty")
    return HashQuery(policy.query_parameter.name, policy.terminal)


_HASHES: Final[dict[str, Callable[[_Hash, str], HashPolicy]]] = {
    "header": _hash_header,
    "cookie": _hash_cookie,
    "connection_properties": _hash_source,
    "query_parameter": _hash_query,
}
