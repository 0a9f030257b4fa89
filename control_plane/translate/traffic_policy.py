"""The route side of a TrafficPolicy (pure): timeouts, retries, hash keys, subset, session affinity.

Fragments for `translate/routes.py`; the cluster side is `cluster_policy.py`.
"""

from collections.abc import Iterable
from typing import Final

from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.struct_pb2 import Struct

from control_plane.api.envoy.config.core.v3.base_pb2 import Metadata
from control_plane.api.envoy.config.core.v3.extension_pb2 import TypedExtensionConfig
from control_plane.api.envoy.config.route.v3 import route_components_pb2 as components
from control_plane.api.envoy.extensions.filters.http.stateful_session.v3.stateful_session_pb2 import (
    StatefulSession,
    StatefulSessionPerRoute,
)
from control_plane.api.envoy.extensions.http.stateful_session.cookie.v3.cookie_pb2 import (
    CookieBasedSessionState,
)
from control_plane.api.envoy.extensions.http.stateful_session.header.v3.header_pb2 import (
    HeaderBasedSessionState,
)
from control_plane.api.envoy.extensions.retry.host.previous_hosts.v3.previous_hosts_pb2 import (
    PreviousHostsPredicate,
)
from control_plane.api.envoy.type.http.v3.cookie_pb2 import Cookie
from control_plane.api.envoy.type.matcher.v3.string_pb2 import StringMatcher
from control_plane.resources.header_match import HeaderMatch
from control_plane.resources.load_balancer import HashKey, SessionAffinity
from control_plane.resources.traffic_policy import TrafficPolicySpec
from control_plane.resources.traffic_retry import Retry, Timeouts
from control_plane.translate import names
from control_plane.translate.amount import count, duration
from control_plane.translate.call_time import bound_streams
from control_plane.translate.tls import packed

STATEFUL_SESSION_FILTER: Final = "envoy.filters.http.stateful_session"
HOST_SELECTION_ATTEMPTS = 5
"""How often a retry draws again when it draws an endpoint that was tried."""
LONGEST_RETRY_AFTER_SECONDS = 300
"""Envoy's default: a longer pause asked for by the server is not waited for."""

_DEFAULT_CONDITIONS = ("connect-failure", "refused-stream", "reset")
_Hash = components.RouteAction.HashPolicy
_Retry = components.RetryPolicy


def apply_to_action(
    action: components.RouteAction, spec: TrafficPolicySpec | None, *, is_envoy: bool
) -> None:
    """Set what `spec` says on an action that has the mesh's defaults already; the rest stays."""
    if spec is None:
        return
    if spec.timeouts is not None:
        _apply_timeouts(action, spec.timeouts)
        if is_envoy:
            bound_streams(action)
    if spec.retry is not None:
        action.ClearField("retry_policy")
        if spec.retry.attempts:
            action.retry_policy.CopyFrom(retry_policy(spec.retry, is_envoy=is_envoy))
    if spec.timeouts is not None and spec.timeouts.per_try:
        if not action.HasField("retry_policy"):
            action.retry_policy.CopyFrom(_Retry(num_retries=count(0)))  # it retries nothing, but carries this
        action.retry_policy.per_try_timeout.CopyFrom(duration(spec.timeouts.per_try))
    if spec.load_balancer is not None and spec.load_balancer.hash_on:
        del action.hash_policy[:]
        action.hash_policy.extend(hash_policies(spec.load_balancer.hash_on))


def _apply_timeouts(action: components.RouteAction, timeouts: Timeouts) -> None:
    if timeouts.request is not None:
        action.timeout.CopyFrom(duration(timeouts.request))
    if timeouts.stream_idle is not None:
        action.idle_timeout.CopyFrom(duration(timeouts.stream_idle))


def retry_policy(retry: Retry, *, is_envoy: bool) -> _Retry:
    """For at least one attempt. Envoy's own `reset` would send a POST twice that the first endpoint may have
    processed: Envoy gets `reset-before-request` instead."""
    built = _Retry(
        retry_on=",".join(_conditions(retry, is_envoy)),
        num_retries=count(retry.attempts),
        retriable_status_codes=retry.codes,
        retriable_headers=[header_matcher(match) for match in retry.headers],
    )
    if retry.other_hosts:
        predicate = _Retry.RetryHostPredicate(
            name="envoy.retry_host_predicates.previous_hosts", typed_config=packed(PreviousHostsPredicate())
        )
        built.retry_host_predicate.append(predicate)
        built.host_selection_retry_max_attempts = HOST_SELECTION_ATTEMPTS
    if retry.backoff is not None:
        built.retry_back_off.base_interval.CopyFrom(duration(retry.backoff.base))
        if retry.backoff.max is not None:
            built.retry_back_off.max_interval.CopyFrom(duration(retry.backoff.max))
    if retry.respect_retry_after:
        built.rate_limited_retry_back_off.CopyFrom(_server_says_when())
    return built


def _conditions(retry: Retry, is_envoy: bool) -> Iterable[str]:
    """Each once, in a stable order."""
    wanted: list[str] = list(retry.retry_on)
    wanted += ["retriable-status-codes"] if retry.codes else []
    wanted += ["retriable-headers"] if retry.headers else []
    spelt = wanted or list(_DEFAULT_CONDITIONS)
    if is_envoy:
        spelt = ["reset-before-request" if one == "reset" else one for one in spelt]
    return dict.fromkeys(spelt)


def _server_says_when() -> _Retry.RateLimitedRetryBackOff:
    built = _Retry.RateLimitedRetryBackOff(
        reset_headers=[
            _Retry.ResetHeader(name="retry-after", format=_Retry.SECONDS),
            _Retry.ResetHeader(name="x-ratelimit-reset", format=_Retry.SECONDS),
        ]
    )
    built.max_interval.seconds = LONGEST_RETRY_AFTER_SECONDS
    return built


def header_matcher(match: HeaderMatch) -> components.HeaderMatcher:
    name = match.name.lower()
    if match.value is None:
        return components.HeaderMatcher(name=name, present_match=True)
    return components.HeaderMatcher(name=name, string_match=StringMatcher(exact=match.value))


def hash_policies(keys: Iterable[HashKey]) -> list[_Hash]:
    """In order; all that are there are hashed together, up to a terminal one."""
    return [_hash_policy(key) for key in keys]


def _hash_policy(key: HashKey) -> _Hash:
    if key.header is not None:
        return _Hash(header=_Hash.Header(header_name=key.header.lower()), terminal=key.terminal)
    if key.cookie is not None:
        cookie = _Hash.Cookie(name=key.cookie.name, path=key.cookie.path or "")
        if key.cookie.ttl is not None:
            cookie.ttl.CopyFrom(duration(key.cookie.ttl))
        return _Hash(cookie=cookie, terminal=key.terminal)
    if key.query is not None:
        return _Hash(query_parameter=_Hash.QueryParameter(name=key.query), terminal=key.terminal)
    return _Hash(connection_properties=_Hash.ConnectionProperties(source_ip=True), terminal=key.terminal)


def subset_match(spec: TrafficPolicySpec | None, name: str) -> Metadata | None:
    """`metadata_match` of requests that go to subset `name` of the Service whose policy `spec` is; None when
    that has no such subset."""
    subsets = () if spec is None else spec.subsets
    labels = next((subset.labels for subset in subsets if subset.name == name), None)
    if labels is None:
        return None
    wanted = Struct()
    wanted.update(labels)
    return Metadata(filter_metadata={names.SUBSET_METADATA: wanted})


def session_config(affinity: SessionAffinity) -> AnyMessage:
    """`typed_per_filter_config` of a route for STATEFUL_SESSION_FILTER."""
    state = _cookie_state(affinity) if affinity.cookie is not None else _header_state(affinity)
    return packed(StatefulSessionPerRoute(stateful_session=StatefulSession(session_state=state)))


def _cookie_state(affinity: SessionAffinity) -> TypedExtensionConfig:
    assert affinity.cookie is not None
    cookie = Cookie(name=affinity.cookie.name, path=affinity.cookie.path or "/")
    if affinity.cookie.ttl is not None:
        cookie.ttl.CopyFrom(duration(affinity.cookie.ttl))
    return TypedExtensionConfig(
        name="envoy.http.stateful_session.cookie",
        typed_config=packed(CookieBasedSessionState(cookie=cookie)),
    )


def _header_state(affinity: SessionAffinity) -> TypedExtensionConfig:
    assert affinity.header is not None
    return TypedExtensionConfig(
        name="envoy.http.stateful_session.header",
        typed_config=packed(HeaderBasedSessionState(name=affinity.header.name.lower())),
    )
