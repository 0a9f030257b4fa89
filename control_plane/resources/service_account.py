"""core/v1 ServiceAccount (pure)."""

from typing import Literal

from control_plane.resources.base import Model, Resource
from control_plane.resources.field import Items, NotSupported, SubdomainName


class LocalObjectReference(Model):
    name: SubdomainName


class ServiceAccount(Resource):
    API_VERSION = "v1"
    KIND = "ServiceAccount"

    api_version: Literal["v1"]
    kind: Literal["ServiceAccount"]
    automount_service_account_token: bool = True
    image_pull_secrets: Items[LocalObjectReference] = ()
    secrets: NotSupported = None
