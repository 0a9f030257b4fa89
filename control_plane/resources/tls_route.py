"""gateway.networking.k8s.io TLSRoute: TLS connections shared out by server name (pure)."""

from typing import Annotated, Literal

from pydantic import Field

from control_plane.resources.base import Model, Resource
from control_plane.resources.field import Items, NotSupported
from control_plane.resources.gateway_field import Hostname
from control_plane.resources.route_reference import ParentRefs, RouteStatus
from control_plane.resources.tcp_route import TcpRouteRule

_MAX_HOSTNAMES = 1024


class TlsRouteSpec(Model):
    parent_refs: ParentRefs = ()
    hostnames: Annotated[Items[Hostname], Field(min_length=1, max_length=_MAX_HOSTNAMES)]
    """Server names (SNI); a first label `*.` stands for any number of labels."""
    rules: Annotated[Items[TcpRouteRule], Field(min_length=1, max_length=1)]
    use_default_gateways: NotSupported = None


class TlsRoute(Resource):
    """Where TLS connections to a Service, or of a Gateway, go: by server name."""

    API_VERSION = "gateway.networking.k8s.io/v1"
    KIND = "TLSRoute"

    api_version: Literal["gateway.networking.k8s.io/v1"]
    kind: Literal["TLSRoute"]
    spec: TlsRouteSpec
    status: RouteStatus = RouteStatus()
