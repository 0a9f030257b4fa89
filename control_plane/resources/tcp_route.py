"""gateway.networking.k8s.io TCPRoute: connections shared out between backends (pure)."""

from typing import Annotated, Literal

from pydantic import Field

from control_plane.resources.base import Model, Resource
from control_plane.resources.field import Items, NotSupported
from control_plane.resources.gateway_field import SectionName
from control_plane.resources.route_reference import BackendRef, ParentRefs, RouteStatus

MAX_BACKENDS = 16


class TcpRouteRule(Model):
    name: SectionName | None = None
    backend_refs: Annotated[Items[BackendRef], Field(min_length=1, max_length=MAX_BACKENDS)]


class TcpRouteSpec(Model):
    parent_refs: ParentRefs = ()
    rules: Annotated[Items[TcpRouteRule], Field(min_length=1, max_length=1)]
    use_default_gateways: NotSupported = None


class TcpRoute(Resource):
    """Where connections to a Service, or of a Gateway, go."""

    API_VERSION = "gateway.networking.k8s.io/v1"
    KIND = "TCPRoute"

    api_version: Literal["gateway.networking.k8s.io/v1"]
    kind: Literal["TCPRoute"]
    spec: TcpRouteSpec
    status: RouteStatus = RouteStatus()
