"""core/v1 ServiceAccount (pure)."""

from typing import Literal

from control_plane.resources.base import Model, Resource
from control_plane.resources.field import Items, NotSupported, SubdomainName


class LocalObjectReference(Model):
    name: SubdomainName


class ServiceAccount(Resource):
    """Who a Pod is; its identity in the mesh is made of this and the namespace."""

    API_VERSION = "v1"
    KIND = "ServiceAccount"

    api_version: Literal["v1"]
    kind: Literal["ServiceAccount"]
    automount_service_account_token: bool = True
    image_pull_secrets: Items[LocalObjectReference] = ()
    secrets: NotSupported = None
