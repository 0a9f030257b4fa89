"""Settings of the HTTP filters (pure, frozen): what the messages of `typed_config` and of
`typed_per_filter_config` say, restricted to what this proxy acts on.

In `FilterConfigs`, None stands for a filter that does nothing there: without settings in the connection
manager's chain, or switched off by a route.
"""

from __future__ import annotations

from dataclasses import dataclass

from meshproxy.config.head_edit import HeaderOption
from meshproxy.config.resilience import TokenBucketSettings
from meshproxy.config.route_match import HeaderMatch, StringMatch


@dataclass(frozen=True, slots=True)
class Fraction:
    """`FractionalPercent`: so many of so many."""

    numerator: int
    denominator: int = 100

    @property
    def share(self) -> float:
        """From 0 to 1."""
        return min(1.0, self.numerator / self.denominator)


ALWAYS = Fraction(100)
NEVER = Fraction(0)


@dataclass(frozen=True, slots=True)
class CorsSettings:
    """`envoy.extensions.filters.http.cors.v3.CorsPolicy`. What one level (cluster, route, virtual host,
    table) does not say is taken from the next outer one; None and empty say nothing."""

    allow_origins: tuple[StringMatch, ...] = ()
    allow_methods: str = ""
    """As it is sent; `*` sends what the preflight asks for. Likewise `allow_headers`."""
    allow_headers: str = ""
    expose_headers: str = ""
    max_age: str = ""
    """Seconds, in decimal."""
    allow_credentials: bool | None = None
    allow_private_network: bool | None = None
    forward_not_matching_preflights: bool | None = None
    """None is True: a preflight of an origin that is not allowed goes to the upstream."""
    enabled: Fraction = ALWAYS
    """Of the requests. Only the innermost level's counts."""

    def over(self, outer: CorsSettings) -> CorsSettings:
        """These settings, and `outer`'s where these say nothing."""
        return CorsSettings(
            allow_origins=self.allow_origins or outer.allow_origins,
            allow_methods=self.allow_methods or outer.allow_methods,
            allow_headers=self.allow_headers or outer.allow_headers,
            expose_headers=self.expose_headers or outer.expose_headers,
            max_age=self.max_age or outer.max_age,
            allow_credentials=_said(self.allow_credentials, outer.allow_credentials),
            allow_private_network=_said(self.allow_private_network, outer.allow_private_network),
            forward_not_matching_preflights=_said(
                self.forward_not_matching_preflights, outer.forward_not_matching_preflights
            ),
            enabled=self.enabled,
        )


def _said(inner: bool | None, outer: bool | None) -> bool | None:
    return outer if inner is None else inner


@dataclass(frozen=True, slots=True)
class FaultDelay:
    """`envoy.extensions.filters.common.fault.v3.FaultDelay`."""

    fixed: float | None
    """Seconds; None: as long as the request's header says."""
    percentage: Fraction = NEVER


@dataclass(frozen=True, slots=True)
class FaultAbort:
    """`FaultAbort`."""

    status: int | None
    """None: the one the request's header says."""
    percentage: Fraction = NEVER
    grpc_status: int | None = None
    """What a call is answered; `status` is for other requests then."""


@dataclass(frozen=True, slots=True)
class FaultSettings:
    """`envoy.extensions.filters.http.fault.v3.HTTPFault`. At least one of `delay` and `abort` is set."""

    delay: FaultDelay | None = None
    abort: FaultAbort | None = None
    headers: tuple[HeaderMatch, ...] = ()
    """Only requests that meet all of these."""
    max_active: int | None = None
    """No further fault while so many requests have one; None is no limit."""


@dataclass(frozen=True, slots=True)
class DescribeHeader:
    """`RateLimit.Action.RequestHeaders`: the first value of a header; `:method` and the like too."""

    key: str
    name: str
    skip_if_absent: bool = False
    """In the absence of a value, leave only this entry out, and not the whole descriptor."""


@dataclass(frozen=True, slots=True)
class DescribeAddress:
    """`RateLimit.Action.RemoteAddress`: the client's address, under the key `remote_address`."""


@dataclass(frozen=True, slots=True)
class DescribePrincipal:
    """The client's verified SPIFFE id: the extension `envoy.rate_limit_descriptors.expr` with the expression
    `connection.uri_san_peer_certificate`."""

    key: str
    skip_if_absent: bool = False


@dataclass(frozen=True, slots=True)
class DescribeValue:
    """`RateLimit.Action.GenericKey`: the same for every request."""

    key: str
    value: str


DescriptorAction = DescribeHeader | DescribeAddress | DescribePrincipal | DescribeValue


@dataclass(frozen=True, slots=True)
class LimitDescriptor:
    """`LocalRateLimitDescriptor`: requests with exactly these entries share a bucket."""

    entries: tuple[tuple[str, str], ...]
    """(key, value); an empty value stands for any, each with a bucket of its own."""
    bucket: TokenBucketSettings


@dataclass(frozen=True, slots=True)
class RateLimitSettings:
    """`envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit`."""

    place: str
    """Where in the configuration it stands: equal settings in different places do not share buckets, and a
    place that keeps its settings keeps its buckets."""
    bucket: TokenBucketSettings
    enabled: Fraction = NEVER
    """Of the requests: those that are counted. Envoy's default."""
    enforced: Fraction = NEVER
    """Of the requests above the limit: those that are refused. Envoy's default."""
    status: int = 429
    reply_headers: tuple[HeaderOption, ...] = ()
    """`response_headers_to_add`, of refusals."""
    says_limits: bool = False
    """`enable_x_ratelimit_headers` DRAFT_VERSION_03."""
    descriptors: tuple[LimitDescriptor, ...] = ()
    actions: tuple[tuple[DescriptorAction, ...], ...] = ()
    """`rate_limits`: each makes a descriptor of the request."""
    always_consume_default: bool = True
    """A request that meets a descriptor takes a token of `bucket` too."""
    max_keys: int = 20
    """Buckets of each descriptor with a wildcard. Envoy's default."""


@dataclass(frozen=True, slots=True)
class CookieSession:
    """`envoy.http.stateful_session.cookie`."""

    name: str
    ttl: int = 0
    """Whole seconds; 0 is a cookie of the browser's session."""
    path: str = ""
    """Also what a request's path must be or start with; empty is every path."""
    attributes: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class HeaderSession:
    """`envoy.http.stateful_session.header`."""

    name: str
    """Lower case."""


@dataclass(frozen=True, slots=True)
class SessionSettings:
    """`envoy.extensions.filters.http.stateful_session.v3.StatefulSession`."""

    state: CookieSession | HeaderSession
    strict: bool = False
    """The session's endpoint or none: 503 when it is gone."""
