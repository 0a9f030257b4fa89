"""gateway.networking.k8s.io/v1 HTTPRoute (pure); its rules for what fits together are the schema's own."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from control_plane.resources.base import Model, Resource
from control_plane.resources.field import Count, Items, NotSupported
from control_plane.resources.gateway_field import Duration, Hostname, SectionName, invalid, milliseconds
from control_plane.resources.http_route_filter import Filters, replaces_prefix
from control_plane.resources.http_route_match import HttpRouteMatch
from control_plane.resources.route_reference import BackendRef, ParentRefs, RouteStatus, unique

# Limits of the Gateway API's own schema.
_MAX_RULES = 16
_MAX_MATCHES = 64
_MAX_MATCHES_OF_ALL_RULES = 128
_MAX_BACKENDS = 16
_MAX_HOSTNAMES = 16


class HttpBackendRef(BackendRef):
    filters: Filters = ()
    """Run only for requests that go to this backend."""


class HttpRouteTimeouts(Model):
    request: Duration | None = None
    """For the whole exchange, retries included; zero disables it."""
    backend_request: Duration | None = None
    """For each try."""

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if self.request is None or self.backend_request is None:
            return self
        whole, one_try = milliseconds(self.request), milliseconds(self.backend_request)
        if whole and one_try > whole:
            raise invalid("backendRequest: cannot be longer than request")
        return self


def _distinct_codes(codes: tuple[int, ...]) -> tuple[int, ...]:
    unique("status")(tuple(str(code) for code in codes))
    return codes


class HttpRouteRetry(Model):
    codes: Annotated[Items[Annotated[int, Field(ge=400, le=599)]], AfterValidator(_distinct_codes)] = ()
    """Statuses of responses after which the request is sent again."""
    attempts: Count | None = None
    """Tries after the first one; 0 disables retries, None is the mesh's default."""
    backoff: Duration | None = None
    """Base of the exponential backoff with full jitter."""


class CookieConfig(Model):
    lifetime_type: Literal["Permanent", "Session"] = "Session"


class SessionPersistence(Model):
    session_name: Annotated[str, Field(max_length=128)] | None = None
    absolute_timeout: Duration | None = None
    idle_timeout: Duration | None = None
    type: Literal["Cookie", "Header"] = "Cookie"
    cookie_config: CookieConfig | None = None

    @model_validator(mode="after")
    def _check_lifetime(self) -> Self:
        is_permanent = self.cookie_config is not None and self.cookie_config.lifetime_type == "Permanent"
        if is_permanent and self.absolute_timeout is None:
            raise invalid("absoluteTimeout: required when cookieConfig.lifetimeType is Permanent")
        return self


class HttpRouteRule(Model):
    name: SectionName | None = None
    matches: Annotated[Items[HttpRouteMatch], Field(max_length=_MAX_MATCHES)] = (HttpRouteMatch(),)
    """Any of them."""
    filters: Filters = ()
    backend_refs: Annotated[Items[HttpBackendRef], Field(max_length=_MAX_BACKENDS)] = ()
    timeouts: HttpRouteTimeouts | None = None
    retry: HttpRouteRetry | None = None
    session_persistence: SessionPersistence | None = None

    @model_validator(mode="after")
    def _check_combination(self) -> Self:
        if self.backend_refs and any(one.type == "RequestRedirect" for one in self.filters):
            raise invalid("filters: RequestRedirect cannot be used together with backendRefs")
        has_one_prefix = len(self.matches) == 1 and self.matches[0].path.type == "PathPrefix"
        if has_one_prefix:
            return self
        if replaces_prefix(self.filters):
            raise invalid("filters: replacePrefixMatch needs exactly one match, of type PathPrefix")
        for number, backend in enumerate(self.backend_refs):
            if replaces_prefix(backend.filters):
                raise invalid(
                    f"backendRefs[{number}].filters: replacePrefixMatch needs exactly one match, "
                    "of type PathPrefix"
                )
        return self


def _fitting(rules: tuple[HttpRouteRule, ...]) -> tuple[HttpRouteRule, ...]:
    names = [rule.name for rule in rules if rule.name is not None]
    for name in names:
        if names.count(name) > 1:
            raise invalid(f"rule name {name!r} must be unique within the route")
    if (count := sum(len(rule.matches) for rule in rules)) > _MAX_MATCHES_OF_ALL_RULES:
        raise invalid(f"{count} matches in all rules; at most {_MAX_MATCHES_OF_ALL_RULES} are possible")
    return rules


class HttpRouteSpec(Model):
    parent_refs: ParentRefs = ()
    hostnames: Annotated[Items[Hostname], Field(max_length=_MAX_HOSTNAMES)] = ()
    """Host a request must name; a mesh client names the Service, so Services as parents ignore them."""
    rules: Annotated[
        Items[HttpRouteRule], Field(min_length=1, max_length=_MAX_RULES), AfterValidator(_fitting)
    ] = (HttpRouteRule(),)
    use_default_gateways: NotSupported = None


class HttpRoute(Resource):
    """Where requests to a Service, or of a Gateway, go: by path, headers, queries and method."""

    API_VERSION = "gateway.networking.k8s.io/v1"
    KIND = "HTTPRoute"

    api_version: Literal["gateway.networking.k8s.io/v1"]
    kind: Literal["HTTPRoute"]
    spec: HttpRouteSpec
    status: RouteStatus = RouteStatus()
