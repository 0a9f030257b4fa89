"""gateway.networking.k8s.io/v1 GatewayClass (pure)."""

from typing import Annotated, Literal

from pydantic import Field

from control_plane.resources.base import Condition, Model, ObjectMeta, Resource
from control_plane.resources.field import Count, Items, LabelName
from control_plane.resources.gateway_field import AnyName, ControllerName, Group, Kind

_MAX_CONDITIONS = 8
_MAX_FEATURES = 64


class ClusterWideMeta(ObjectMeta):
    namespace: Literal[""] = ""


class ParametersReference(Model):
    group: Group
    kind: Kind
    name: AnyName
    namespace: LabelName | None = None


class GatewayClassSpec(Model):
    controller_name: ControllerName
    """Who serves Gateways of this class; `meshproxy.io/gateway-controller` is ours."""
    parameters_ref: ParametersReference | None = None
    description: Annotated[str, Field(max_length=64)] | None = None


class SupportedFeature(Model):
    name: str


class GatewayClassStatus(Model):
    conditions: Annotated[Items[Condition], Field(max_length=_MAX_CONDITIONS)] = ()
    supported_features: Annotated[Items[SupportedFeature], Field(max_length=_MAX_FEATURES)] = ()
    observed_generation: Count = 0


class GatewayClass(Resource):
    """Who takes care of Gateways that name it."""

    API_VERSION = "gateway.networking.k8s.io/v1"
    KIND = "GatewayClass"

    api_version: Literal["gateway.networking.k8s.io/v1"]
    kind: Literal["GatewayClass"]
    metadata: ClusterWideMeta
    spec: GatewayClassSpec
    status: GatewayClassStatus = GatewayClassStatus()
