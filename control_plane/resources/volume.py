"""Volumes of a pod (pure)."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from control_plane.resources.base import Model
from control_plane.resources.container import ObjectFieldSelector
from control_plane.resources.field import ConfigKey, Items, LabelName, NotSupported, Quantity, SubdomainName

Mode = Annotated[int, Field(ge=0, le=0o777)]


def _relative(value: str) -> bool:
    return bool(value) and not value.startswith("/") and ".." not in value.split("/")


class _Path(Model):
    path: str
    """Relative to the volume's root."""

    @model_validator(mode="after")
    def _check_path(self) -> Self:
        if not _relative(self.path):
            raise PydanticCustomError("invalid_value", "path: must be relative and without '..'")
        return self


class KeyToPath(_Path):
    key: ConfigKey
    mode: Mode | None = None


class DownwardApiFile(_Path):
    field_ref: ObjectFieldSelector
    mode: Mode | None = None
    resource_field_ref: NotSupported = None


class EmptyDirVolume(Model):
    medium: Literal["", "Memory"] = ""
    size_limit: Quantity | None = None


class ConfigMapVolume(Model):
    name: SubdomainName
    items: Items[KeyToPath] = ()
    default_mode: Mode = 0o644
    optional: bool = False


class SecretVolume(Model):
    secret_name: SubdomainName
    items: Items[KeyToPath] = ()
    default_mode: Mode = 0o644
    optional: bool = False


class DownwardApiVolume(Model):
    items: Items[DownwardApiFile] = ()
    default_mode: Mode = 0o644


class ServiceAccountTokenProjection(_Path):
    audience: str = ""
    """Empty: the API server's own."""
    expiration_seconds: Annotated[int, Field(ge=1)] = 3600


class ConfigMapProjection(Model):
    name: SubdomainName
    items: Items[KeyToPath] = ()
    optional: bool = False


class DownwardApiProjection(Model):
    items: Items[DownwardApiFile] = ()


class VolumeProjection(Model):
    service_account_token: ServiceAccountTokenProjection | None = None
    config_map: ConfigMapProjection | None = None
    downward_api: DownwardApiProjection | None = None
    secret: NotSupported = None
    cluster_trust_bundle: NotSupported = None

    @model_validator(mode="after")
    def _check_one(self) -> Self:
        sources = (self.service_account_token, self.config_map, self.downward_api)
        if sum(source is not None for source in sources) != 1:
            raise PydanticCustomError(
                "invalid_value", "exactly one of serviceAccountToken, configMap, downwardAPI is required"
            )
        return self


class ProjectedVolume(Model):
    sources: Items[VolumeProjection] = ()
    default_mode: Mode = 0o644


class Volume(Model):
    """Exactly one source."""

    name: LabelName
    empty_dir: EmptyDirVolume | None = None
    config_map: ConfigMapVolume | None = None
    secret: SecretVolume | None = None
    downward_api: DownwardApiVolume | None = None
    projected: ProjectedVolume | None = None
    host_path: NotSupported = None
    persistent_volume_claim: NotSupported = None
    ephemeral: NotSupported = None
    nfs: NotSupported = None
    csi: NotSupported = None

    @model_validator(mode="after")
    def _check_one_source(self) -> Self:
        sources = (self.empty_dir, self.config_map, self.secret, self.downward_api, self.projected)
        if sum(source is not None for source in sources) != 1:
            raise PydanticCustomError(
                "invalid_value",
                "exactly one of emptyDir, configMap, secret, downwardAPI, projected is required",
            )
        return self
