"""gateway.networking.k8s.io ReferenceGrant: who may refer to objects of its namespace (pure)."""

from typing import Annotated, Literal

from pydantic import Field

from control_plane.resources.base import Model, Resource
from control_plane.resources.field import Items, LabelName
from control_plane.resources.gateway_field import AnyName, Group, Kind

_MAX_ENTRIES = 16


class ReferenceGrantFrom(Model):
    group: Group
    kind: Kind
    namespace: LabelName


class ReferenceGrantTo(Model):
    group: Group
    kind: Kind
    name: AnyName | None = None
    """None: every object of the kind."""


class ReferenceGrantSpec(Model):
    """Each of `from` may refer to each of `to`."""

    from_: Annotated[Items[ReferenceGrantFrom], Field(min_length=1, max_length=_MAX_ENTRIES)]
    to: Annotated[Items[ReferenceGrantTo], Field(min_length=1, max_length=_MAX_ENTRIES)]


class ReferenceGrant(Resource):
    """Who of another namespace may name objects of this one."""

    API_VERSION = "gateway.networking.k8s.io/v1"
    KIND = "ReferenceGrant"

    api_version: Literal["gateway.networking.k8s.io/v1"]
    kind: Literal["ReferenceGrant"]
    spec: ReferenceGrantSpec
