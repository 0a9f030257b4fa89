"""Routes as the mesh understands them, whatever kind of object they came from (pure, frozen values).

Built by `parse_route.py`, judged by `attachment/`, turned into xDS by `control_plane/translate`.
Durations are milliseconds, header names lower-case.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from control_plane.discovery.model import ObjectName

GATEWAY_GROUP = "gateway.networking.k8s.io"
HTTP_ROUTE = "HTTPRoute"
GRPC_ROUTE = "GRPCRoute"
REQUEST_ROUTES = (GRPC_ROUTE, HTTP_ROUTE)
"""Kinds of routes that look at requests; the others take whole connections."""


@dataclass(frozen=True, slots=True)
class ObjectRef:
    """A reference to an object; `group` is empty for core kinds."""

    group: str
    kind: str
    key: ObjectName
    port: int | None = None
    """None: not given."""
    section_name: str = ""
    """A Gateway's listener or a Service's port by name; empty: not given."""

    @property
    def is_service(self) -> bool:
        return self.group in ("", "core") and self.kind == "Service"

    @property
    def is_gateway(self) -> bool:
        return self.group == GATEWAY_GROUP and self.kind == "Gateway"


# --- which requests -----------------------------------------------------------------------------------------


class PathMatchKind(Enum):
    """`HTTPPathMatch.type`."""

    EXACT = "Exact"
    PREFIX = "PathPrefix"
    """Of whole path elements; a slash at its end means nothing."""
    REGEX = "RegularExpression"
    """RE2, over the whole path."""


@dataclass(frozen=True, slots=True)
class PathMatch:
    """`HTTPPathMatch`."""

    kind: PathMatchKind
    value: str


EVERY_PATH = PathMatch(PathMatchKind.PREFIX, "/")


@dataclass(frozen=True, slots=True)
class ValueMatch:
    """A header or query parameter that must be there, with this value."""

    name: str
    value: str
    is_regex: bool = False
    """RE2, over the whole value."""


@dataclass(frozen=True, slots=True)
class CallMatch:
    """`GRPCMethodMatch`; empty is every one."""

    service: str = ""
    method: str = ""
    is_regex: bool = False
    """RE2, over the whole service and the whole method."""


@dataclass(frozen=True, slots=True)
class RequestMatch:
    """`HTTPRouteMatch` or `GRPCRouteMatch`: all of it must hold."""

    path: PathMatch = EVERY_PATH
    headers: tuple[ValueMatch, ...] = ()
    query: tuple[ValueMatch, ...] = ()
    method: str = ""
    """Empty: every method."""
    call: CallMatch | None = None
    """Of GRPCRoutes: what `path` was made of; it decides their precedence."""


# --- what is done to them -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class HeaderChange:
    """`HTTPHeaderFilter`, in (name, value) pairs."""

    set: tuple[tuple[str, str], ...] = ()
    add: tuple[tuple[str, str], ...] = ()
    remove: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PathReplacement:
    """`HTTPPathModifier`."""

    value: str
    only_prefix: bool
    """Replace the matched prefix and keep the rest; else the whole path."""


@dataclass(frozen=True, slots=True)
class Redirect:
    """`HTTPRequestRedirectFilter`; empty or None keeps what the request has."""

    status: int = 302
    scheme: str = ""
    host: str = ""
    port: int | None = None
    path: PathReplacement | None = None


@dataclass(frozen=True, slots=True)
class UrlRewrite:
    host: str = ""
    path: PathReplacement | None = None


@dataclass(frozen=True, slots=True)
class Mirror:
    """A copy of `numerator` of `denominator` requests goes to `target`; its answer is dropped."""

    target: ObjectRef
    numerator: int = 100
    denominator: int = 100


@dataclass(frozen=True, slots=True)
class Cors:
    """`HTTPCORSFilter`."""

    allow_origins: tuple[str, ...]
    allow_credentials: bool
    allow_methods: tuple[str, ...]
    allow_headers: tuple[str, ...]
    expose_headers: tuple[str, ...]
    max_age: int
    """Seconds."""


@dataclass(frozen=True, slots=True)
class Filters:
    """All filters of a rule or of one backend; their order says nothing, because none sees another's work."""

    request_headers: HeaderChange | None = None
    response_headers: HeaderChange | None = None
    redirect: Redirect | None = None
    rewrite: UrlRewrite | None = None
    mirrors: tuple[Mirror, ...] = ()
    cors: Cors | None = None


NO_FILTERS = Filters()


@dataclass(frozen=True, slots=True)
class Timeouts:
    """`HTTPRouteTimeouts`; None is the mesh's default, 0 disables."""

    request: int | None = None
    backend_request: int | None = None


@dataclass(frozen=True, slots=True)
class Retry:
    """`HTTPRouteRetry`."""

    codes: tuple[int, ...] = ()
    attempts: int | None = None
    backoff: int | None = None


@dataclass(frozen=True, slots=True)
class SessionPersistence:
    """`SessionPersistence`: the client's token names the endpoint."""

    name: str = ""
    by_header: bool = False
    is_permanent: bool = False
    absolute_timeout: int | None = None
    idle_timeout: int | None = None


# --- routes -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Backend:
    """One `backendRefs` entry: a share of the rule's requests."""

    ref: ObjectRef
    weight: int
    filters: Filters = NO_FILTERS


@dataclass(frozen=True, slots=True)
class RouteRule:
    """One entry of `spec.rules` of an HTTPRoute or GRPCRoute."""

    matches: tuple[RequestMatch, ...]
    backends: tuple[Backend, ...]
    name: str = ""
    filters: Filters = NO_FILTERS
    timeouts: Timeouts = Timeouts()
    retry: Retry | None = None
    session: SessionPersistence | None = None


@dataclass(frozen=True, slots=True)
class HttpRoute:
    """An HTTPRoute or GRPCRoute as far as it routes. `parents` keeps refs of kinds that we do not serve, for
    the status."""

    key: ObjectName
    created_at: str
    """RFC 3339."""
    generation: int
    """`metadata.generation`, which the status reports back as observed."""
    parents: tuple[ObjectRef, ...]
    rules: tuple[RouteRule, ...]
    hostnames: tuple[str, ...] = ()
    kind: str = HTTP_ROUTE

    @property
    def is_grpc(self) -> bool:
        return self.kind == GRPC_ROUTE

    @property
    def age(self) -> tuple[str, ObjectName]:
        """The lowest is the oldest; then the names decide."""
        return self.created_at, self.key


@dataclass(frozen=True, slots=True)
class StreamRoute:
    """A TCPRoute or TLSRoute: whole connections, shared out by weight."""

    kind: str
    """`TCPRoute` or `TLSRoute`."""
    key: ObjectName
    created_at: str
    generation: int
    parents: tuple[ObjectRef, ...]
    backends: tuple[Backend, ...]
    hostnames: tuple[str, ...] = ()
    """TLSRoute: server names (SNI) it is for; a first label `*.` stands for any number of labels."""


Route = HttpRoute | StreamRoute


@dataclass(frozen=True, slots=True)
class GrantSource:
    """`ReferenceGrantFrom`."""

    group: str
    kind: str
    namespace: str


@dataclass(frozen=True, slots=True)
class GrantTarget:
    """`ReferenceGrantTo`; an empty name is every object of the kind."""

    group: str
    kind: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class ReferenceGrant:
    """What others may refer to in its namespace."""

    key: ObjectName
    sources: tuple[GrantSource, ...]
    targets: tuple[GrantTarget, ...]
