"""What a rule of a route does with the requests it matches: clusters, timeouts, retries (pure)."""

from collections.abc import Iterable
from dataclasses import replace
from typing import NamedTuple

from google.protobuf.duration_pb2 import Duration
from google.protobuf.wrappers_pb2 import UInt32Value

from control_plane.api.envoy.config.route.v3 import route_components_pb2 as components
from control_plane.api.envoy.extensions.retry.host.previous_hosts.v3.previous_hosts_pb2 import (
    PreviousHostsPredicate,
)
from control_plane.attachment.backend import KnownObjects, is_resolved
from control_plane.attachment.precedence import Entry
from control_plane.discovery.model import ObjectName
from control_plane.discovery.route import (
    GRPC_ROUTE,
    HTTP_ROUTE,
    NO_FILTERS,
    Backend,
    Filters,
    ObjectRef,
    PathMatchKind,
    Retry,
    RouteRule,
    Timeouts,
)
from control_plane.translate import http_filters, names
from control_plane.translate.call_time import bound_streams, heed_calls
from control_plane.translate.route_filter import (
    add_header_changes,
    add_path_replacement,
    cors_policy,
    host_of,
    mirror_policy,
    redirect_action,
)
from control_plane.translate.session import session_settings
from control_plane.translate.settings import Client
from control_plane.translate.tls import packed

REQUEST_TIMEOUT_SECONDS = 15
"""For the whole exchange, retries included; Envoy's default, said aloud."""
NUM_RETRIES = 2
HOST_SELECTION_ATTEMPTS = 5
"""How often a retry draws again when it draws an endpoint that was tried."""
BACKOFF_CAP = 10
"""The longest backoff, in multiples of its base; Envoy's default."""

RETRY_ON = "connect-failure,refused-stream,reset"
"""Our sidecar retries `reset` only for idempotent methods and before any response byte."""
RETRY_ON_CODES = "retriable-status-codes"
RETRY_ON_ENVOY = "connect-failure,refused-stream,reset-before-request"
"""Envoy's `reset` would send a POST twice that the first endpoint may have processed."""

_NOT_FOUND = {
    HTTP_ROUTE: components.RouteAction.INTERNAL_SERVER_ERROR,
    GRPC_ROUTE: components.RouteAction.SERVICE_UNAVAILABLE,
}
"""What the share of a missing backend answers; 503 becomes the status UNAVAILABLE."""
_NO_TIMEOUT = Duration(seconds=0)


class Parent(NamedTuple):
    """What requests are sent to."""

    service: ObjectName
    port: int
    is_http2: bool = False
    """Its port declares it."""


def effective_filters(rule: RouteRule) -> Filters:
    """Filters of the rule; of its only backend too, where xDS has one place for both."""
    if len(rule.backends) != 1:
        return rule.filters
    own = rule.backends[0].filters
    rewrite = rule.filters.rewrite
    if own.rewrite is not None and own.rewrite.path is not None:
        rewrite = own.rewrite
    return replace(
        rule.filters,
        redirect=own.redirect or rule.filters.redirect,
        rewrite=rewrite,
        mirrors=rule.filters.mirrors + own.mirrors,
    )


def backends_of(rule: RouteRule, parent: ObjectName, port: int) -> tuple[Backend, ...]:
    """A rule that only changes requests, and names no backend, leaves them with the Service they were sent
    to."""
    if rule.backends or rule.filters == NO_FILTERS or rule.filters.redirect:
        return rule.backends
    return (Backend(ObjectRef("", "Service", parent, port), 1),)


def fill_route(
    route: components.Route,
    entry: Entry,
    parent: Parent,
    known: KnownObjects,
    client: Client,
) -> None:
    """Set what `route` does."""
    rule, path, kind = entry.rule, entry.match.path, entry.route.kind
    filters = effective_filters(rule)
    matched = path.value if path.kind is PathMatchKind.PREFIX else ""
    backends = backends_of(rule, parent.service, parent.port)
    has_target = any(one.weight and is_resolved(one.ref, kind, known) for one in backends)
    if filters.redirect is not None and (has_target or not backends):
        route.redirect.CopyFrom(redirect_action(filters.redirect, matched, parent.port))
    elif has_target:
        route.route.CopyFrom(_forward(backends, filters, matched, kind, known, client))
        add_defaults(route.route, client, may_last=parent.is_http2 or kind == GRPC_ROUTE)
        add_rule_settings(route.route, rule.timeouts, rule.retry, client)
    else:
        route.direct_response.status = 503 if kind == GRPC_ROUTE else 500
    add_header_changes(route, filters.request_headers, filters.response_headers)
    if filters.cors is not None:
        settings = cors_policy(filters.cors, is_envoy=client.is_envoy)
        route.typed_per_filter_config[http_filters.CORS].CopyFrom(packed(settings))
    if rule.session is not None:
        route.typed_per_filter_config[http_filters.STATEFUL_SESSION].CopyFrom(
            packed(session_settings(rule.session, entry.rule_name))
        )


def _forward(
    backends: Iterable[Backend],
    filters: Filters,
    matched: str,
    kind: str,
    known: KnownObjects,
    client: Client,
) -> components.RouteAction:
    """A split in which the share of a missing backend goes to a cluster that is never defined."""
    action = components.RouteAction(
        weighted_clusters=components.WeightedCluster(
            clusters=[_share(backend, kind, known, client) for backend in backends]
        ),
        cluster_not_found_response_code=_NOT_FOUND[kind],
    )
    rewrite = filters.rewrite
    if rewrite is not None and rewrite.path is not None:
        add_path_replacement(action, rewrite.path, matched)
    if host := (rewrite.host if rewrite else "") or host_of(filters.request_headers):
        action.host_rewrite_literal = host
    action.request_mirror_policies.extend(
        mirror_policy(mirror, cluster_of(mirror.target))
        for mirror in filters.mirrors
        if mirror.numerator and is_resolved(mirror.target, kind, known)
    )
    return action


def cluster_of(ref: ObjectRef) -> str:
    """Cluster of a backend that was resolved."""
    assert ref.port is not None
    return names.outbound_cluster(ref.key, ref.port)


def _share(
    backend: Backend, kind: str, known: KnownObjects, client: Client
) -> components.WeightedCluster.ClusterWeight:
    resolved = is_resolved(backend.ref, kind, known)
    share = components.WeightedCluster.ClusterWeight(
        name=cluster_of(backend.ref)
        if resolved
        else names.missing_backend(backend.ref.key, backend.ref.port),
        weight=UInt32Value(value=backend.weight),
    )
    own = backend.filters
    add_header_changes(share, own.request_headers, own.response_headers)
    if host := (own.rewrite.host if own.rewrite else "") or host_of(own.request_headers):
        share.host_rewrite_literal = host
    if own.cors is not None:
        share.typed_per_filter_config[http_filters.CORS].CopyFrom(
            packed(cors_policy(own.cors, is_envoy=client.is_envoy))
        )
    return share


# --- timeouts and retries -----------------------------------------------------------------------------------


def add_defaults(action: components.RouteAction, client: Client, *, may_last: bool = False) -> None:
    """The mesh's timeout and retries. `may_last`: what is sent there may be streams that go on for ever; only
    silence ends them, and a call's own deadline."""
    action.timeout.CopyFrom(_NO_TIMEOUT if may_last else Duration(seconds=REQUEST_TIMEOUT_SECONDS))
    if may_last:
        heed_calls(action)
    action.retry_policy.CopyFrom(_default_retries(client))


def _default_retries(client: Client) -> components.RetryPolicy:
    other_host = components.RetryPolicy.RetryHostPredicate(
        name="envoy.retry_host_predicates.previous_hosts", typed_config=packed(PreviousHostsPredicate())
    )
    return components.RetryPolicy(
        retry_on=RETRY_ON_ENVOY if client.is_envoy else RETRY_ON,
        num_retries=UInt32Value(value=NUM_RETRIES),
        retry_host_predicate=[other_host],
        host_selection_retry_max_attempts=HOST_SELECTION_ATTEMPTS,
    )


def add_rule_settings(
    action: components.RouteAction, timeouts: Timeouts, retry: Retry | None, client: Client
) -> None:
    """What the rule itself says, over what `action` has already."""
    if timeouts.request is not None:
        action.timeout.CopyFrom(duration(timeouts.request))
    elif timeouts.backend_request is not None and not 0 < timeouts.backend_request <= _ms(action.timeout):
        # A try may take longer than the default for the whole exchange: that default goes.
        action.timeout.CopyFrom(_NO_TIMEOUT)
    if retry is not None:
        _add_retry(action, retry, client)
    if timeouts.backend_request is not None:
        _add_try_timeout(action, timeouts.backend_request)
    if client.is_envoy:
        bound_streams(action)


def _add_retry(action: components.RouteAction, retry: Retry, client: Client) -> None:
    if not action.HasField("retry_policy"):
        action.retry_policy.CopyFrom(_default_retries(client))
    policy = action.retry_policy
    if retry.codes:
        policy.retriable_status_codes[:] = retry.codes
        if RETRY_ON_CODES not in policy.retry_on.split(","):
            policy.retry_on += f",{RETRY_ON_CODES}"
    if retry.attempts is not None:
        policy.num_retries.CopyFrom(UInt32Value(value=retry.attempts))
    if retry.backoff:
        policy.retry_back_off.base_interval.CopyFrom(duration(retry.backoff))
        policy.retry_back_off.max_interval.CopyFrom(duration(retry.backoff * BACKOFF_CAP))


def _add_try_timeout(action: components.RouteAction, milliseconds: int) -> None:
    """Zero disables it; a policy that retries nothing carries it where there was none."""
    if not milliseconds:
        action.retry_policy.ClearField("per_try_timeout")
        return
    if not action.HasField("retry_policy"):
        action.retry_policy.CopyFrom(components.RetryPolicy(num_retries=UInt32Value(value=0)))
    action.retry_policy.per_try_timeout.CopyFrom(duration(milliseconds))


def duration(milliseconds: int) -> Duration:
    seconds, rest = divmod(milliseconds, 1000)
    return Duration(seconds=seconds, nanos=rest * 1_000_000)


def _ms(length: Duration) -> int:
    return length.seconds * 1000 + length.nanos // 1_000_000
