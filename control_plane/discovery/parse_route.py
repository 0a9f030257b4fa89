"""Stored routes and grants to the mesh's values (pure)."""

import re
from collections.abc import Iterable, Sequence

from control_plane.discovery.model import ObjectName
from control_plane.discovery.route import (
    EVERY_PATH,
    GRPC_ROUTE,
    Backend,
    CallMatch,
    Cors,
    Filters,
    GrantSource,
    GrantTarget,
    HeaderChange,
    HttpRoute,
    Mirror,
    ObjectRef,
    PathMatch,
    PathMatchKind,
    PathReplacement,
    Redirect,
    ReferenceGrant,
    RequestMatch,
    Retry,
    Route,
    RouteRule,
    SessionPersistence,
    StreamRoute,
    Timeouts,
    UrlRewrite,
    ValueMatch,
)
from control_plane.resources import grpc_route as grpc
from control_plane.resources import http_route as resource
from control_plane.resources.base import ObjectMeta
from control_plane.resources.gateway_field import milliseconds
from control_plane.resources.http_route_filter import (
    HttpCorsFilter,
    HttpHeaderFilter,
    HttpPathModifier,
    HttpRequestMirrorFilter,
    HttpRequestRedirectFilter,
    HttpRouteFilter,
    HttpUrlRewriteFilter,
)
from control_plane.resources.http_route_match import HttpHeaderMatch, HttpQueryParamMatch, HttpRouteMatch
from control_plane.resources.manifest import Manifest, kind_of
from control_plane.resources.reference_grant import ReferenceGrant as ReferenceGrantResource
from control_plane.resources.route_reference import BackendObjectReference, BackendRef, ParentReference
from control_plane.resources.tcp_route import TcpRoute
from control_plane.resources.tls_route import TlsRoute


def parse_route(manifest: Manifest) -> tuple[Route, tuple[ParentReference, ...]]:
    """A stored route of any kind, and its parents as they were written. Raises InvalidResource."""
    kind = kind_of(manifest)
    if kind == TcpRoute.KIND or kind == TlsRoute.KIND:
        stream = (TcpRoute if kind == TcpRoute.KIND else TlsRoute).parse(manifest)
        return stream_route(stream), stream.spec.parent_refs
    if kind == grpc.GrpcRoute.KIND:
        calls = grpc.GrpcRoute.read(manifest)
        return grpc_route(calls), calls.spec.parent_refs
    http = resource.HttpRoute.read(manifest)
    return http_route(http), http.spec.parent_refs


def http_route(wanted: resource.HttpRoute) -> HttpRoute:
    metadata, spec = wanted.metadata, wanted.spec
    return HttpRoute(
        key=_key(metadata),
        created_at=metadata.creation_timestamp,
        generation=metadata.generation,
        parents=parents(spec.parent_refs, metadata.namespace),
        rules=tuple(_rule(rule, metadata.namespace) for rule in spec.rules),
        hostnames=spec.hostnames,
    )


def grpc_route(wanted: grpc.GrpcRoute) -> HttpRoute:
    """Calls are requests: `/service/method` is their path."""
    metadata, spec = wanted.metadata, wanted.spec
    return HttpRoute(
        key=_key(metadata),
        created_at=metadata.creation_timestamp,
        generation=metadata.generation,
        parents=parents(spec.parent_refs, metadata.namespace),
        rules=tuple(_grpc_rule(rule, metadata.namespace) for rule in spec.rules),
        hostnames=spec.hostnames,
        kind=GRPC_ROUTE,
    )


def stream_route(wanted: TcpRoute | TlsRoute) -> StreamRoute:
    metadata, spec = wanted.metadata, wanted.spec
    return StreamRoute(
        kind=wanted.KIND,
        key=_key(metadata),
        created_at=metadata.creation_timestamp,
        generation=metadata.generation,
        parents=parents(spec.parent_refs, metadata.namespace),
        backends=tuple(_plain_backend(ref, metadata.namespace) for ref in spec.rules[0].backend_refs),
        hostnames=wanted.spec.hostnames if isinstance(wanted, TlsRoute) else (),
    )


def reference_grant(wanted: ReferenceGrantResource) -> ReferenceGrant:
    spec = wanted.spec
    return ReferenceGrant(
        key=_key(wanted.metadata),
        sources=tuple(GrantSource(one.group, one.kind, one.namespace) for one in spec.from_),
        targets=tuple(GrantTarget(one.group, one.kind, one.name or "") for one in spec.to),
    )


def parents(refs: Iterable[ParentReference], namespace: str) -> tuple[ObjectRef, ...]:
    """In the order of `spec.parentRefs`."""
    return tuple(
        ObjectRef(
            ref.group,
            ref.kind,
            ObjectName(ref.namespace or namespace, ref.name),
            ref.port,
            ref.section_name or "",
        )
        for ref in refs
    )


def _key(metadata: ObjectMeta) -> ObjectName:
    return ObjectName(metadata.namespace, metadata.name)


def _reference(ref: BackendObjectReference, namespace: str) -> ObjectRef:
    return ObjectRef(ref.group, ref.kind, ObjectName(ref.namespace or namespace, ref.name), ref.port)


def _plain_backend(ref: BackendRef, namespace: str) -> Backend:
    return Backend(_reference(ref, namespace), ref.weight)


# --- rules --------------------------------------------------------------------------------------------------


def _rule(rule: resource.HttpRouteRule, namespace: str) -> RouteRule:
    backends = (
        Backend(_reference(ref, namespace), ref.weight, _filters(ref.filters, namespace))
        for ref in rule.backend_refs
    )
    return RouteRule(
        matches=tuple(_match(match) for match in rule.matches) or (RequestMatch(),),
        backends=tuple(backends),
        name=rule.name or "",
        filters=_filters(rule.filters, namespace),
        timeouts=_timeouts(rule.timeouts),
        retry=None if rule.retry is None else _retry(rule.retry),
        session=None if rule.session_persistence is None else _session(rule.session_persistence),
    )


def _match(match: HttpRouteMatch) -> RequestMatch:
    path = PathMatch(PathMatchKind(match.path.type), match.path.value)
    return RequestMatch(
        path=EVERY_PATH if path == EVERY_PATH else path,
        headers=_first_of_each(match.headers, lower=True),
        query=_first_of_each(match.query_params, lower=False),
        method=match.method or "",
    )


def _grpc_rule(rule: grpc.GrpcRouteRule, namespace: str) -> RouteRule:
    backends = (
        Backend(_reference(ref, namespace), ref.weight, _grpc_filters(ref.filters, namespace))
        for ref in rule.backend_refs
    )
    return RouteRule(
        matches=tuple(map(_grpc_match, rule.matches)) or (RequestMatch(call=CallMatch()),),
        backends=tuple(backends),
        name=rule.name or "",
        filters=_grpc_filters(rule.filters, namespace),
        session=None if rule.session_persistence is None else _session(rule.session_persistence),
    )


def _grpc_match(match: grpc.GrpcRouteMatch) -> RequestMatch:
    wanted = match.method
    call = CallMatch()
    if wanted is not None:
        call = CallMatch(wanted.service or "", wanted.method or "", wanted.type == "RegularExpression")
    return RequestMatch(path=_call_path(call), headers=_first_of_each(match.headers, lower=True), call=call)


def _call_path(call: CallMatch) -> PathMatch:
    if not call.service and not call.method:
        return EVERY_PATH
    if call.is_regex or not call.service:
        parts = (_call_part(one, is_regex=call.is_regex) for one in (call.service, call.method))
        return PathMatch(PathMatchKind.REGEX, "".join(f"/{part}" for part in parts))
    if not call.method:
        return PathMatch(PathMatchKind.PREFIX, f"/{call.service}")
    return PathMatch(PathMatchKind.EXACT, f"/{call.service}/{call.method}")


def _call_part(value: str, *, is_regex: bool) -> str:
    if not value:
        return "[^/]+"
    return f"(?:{value})" if is_regex else re.escape(value)


def _first_of_each(
    matches: Sequence[HttpHeaderMatch | HttpQueryParamMatch], *, lower: bool
) -> tuple[ValueMatch, ...]:
    """Of entries with equivalent names only the first one counts (HTTPHeaderMatch.name)."""
    found: dict[str, ValueMatch] = {}
    for match in matches:
        name = match.name.lower() if lower else match.name
        found.setdefault(name, ValueMatch(name, match.value, match.type == "RegularExpression"))
    return tuple(found.values())


def _timeouts(timeouts: resource.HttpRouteTimeouts | None) -> Timeouts:
    if timeouts is None:
        return Timeouts()
    return Timeouts(_milliseconds(timeouts.request), _milliseconds(timeouts.backend_request))


def _retry(retry: resource.HttpRouteRetry) -> Retry:
    return Retry(retry.codes, retry.attempts, _milliseconds(retry.backoff))


def _session(session: resource.SessionPersistence) -> SessionPersistence:
    cookie = session.cookie_config
    return SessionPersistence(
        name=session.session_name or "",
        by_header=session.type == "Header",
        is_permanent=cookie is not None and cookie.lifetime_type == "Permanent",
        absolute_timeout=_milliseconds(session.absolute_timeout),
        idle_timeout=_milliseconds(session.idle_timeout),
    )


def _milliseconds(duration: str | None) -> int | None:
    return None if duration is None else milliseconds(duration)


# --- filters ------------------------------------------------------------------------------------------------


def _filters(filters: Sequence[HttpRouteFilter], namespace: str) -> Filters:
    by_type = {one.type: one for one in filters}
    request, response = by_type.get("RequestHeaderModifier"), by_type.get("ResponseHeaderModifier")
    redirect, rewrite, cors = (by_type.get(kind) for kind in ("RequestRedirect", "URLRewrite", "CORS"))
    return Filters(
        request_headers=_headers(request.request_header_modifier if request else None),
        response_headers=_headers(response.response_header_modifier if response else None),
        redirect=_redirect(redirect.request_redirect if redirect else None),
        rewrite=_rewrite(rewrite.url_rewrite if rewrite else None),
        mirrors=tuple(
            _mirror(one.request_mirror, namespace) for one in filters if one.request_mirror is not None
        ),
        cors=_cors(cors.cors if cors else None),
    )


def _grpc_filters(filters: Sequence[grpc.GrpcRouteFilter], namespace: str) -> Filters:
    by_type = {one.type: one for one in filters}
    request, response = by_type.get("RequestHeaderModifier"), by_type.get("ResponseHeaderModifier")
    return Filters(
        request_headers=_headers(request.request_header_modifier if request else None),
        response_headers=_headers(response.response_header_modifier if response else None),
        mirrors=tuple(
            _mirror(one.request_mirror, namespace) for one in filters if one.request_mirror is not None
        ),
    )


def _headers(change: HttpHeaderFilter | None) -> HeaderChange | None:
    if change is None:
        return None
    return HeaderChange(
        set=tuple((one.name.lower(), one.value) for one in change.set),
        add=tuple((one.name.lower(), one.value) for one in change.add),
        remove=tuple(name.lower() for name in change.remove),
    )


def _path(modifier: HttpPathModifier | None) -> PathReplacement | None:
    if modifier is None:
        return None
    if modifier.replace_full_path is not None:
        return PathReplacement(modifier.replace_full_path, only_prefix=False)
    return PathReplacement(modifier.replace_prefix_match or "", only_prefix=True)


def _redirect(redirect: HttpRequestRedirectFilter | None) -> Redirect | None:
    if redirect is None:
        return None
    return Redirect(
        status=redirect.status_code,
        scheme=redirect.scheme or "",
        host=redirect.hostname or "",
        port=redirect.port,
        path=_path(redirect.path),
    )


def _rewrite(rewrite: HttpUrlRewriteFilter | None) -> UrlRewrite | None:
    return None if rewrite is None else UrlRewrite(rewrite.hostname or "", _path(rewrite.path))


def _mirror(mirror: HttpRequestMirrorFilter, namespace: str) -> Mirror:
    target = _reference(mirror.backend_ref, namespace)
    if mirror.fraction is not None:
        return Mirror(target, mirror.fraction.numerator, mirror.fraction.denominator)
    return Mirror(target, 100 if mirror.percent is None else mirror.percent)


def _cors(cors: HttpCorsFilter | None) -> Cors | None:
    if cors is None:
        return None
    return Cors(
        allow_origins=cors.allow_origins,
        allow_credentials=cors.allow_credentials,
        allow_methods=cors.allow_methods,
        allow_headers=cors.allow_headers,
        expose_headers=cors.expose_headers,
        max_age=cors.max_age,
    )
