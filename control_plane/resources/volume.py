"""Volumes of a pod (pure)."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from control_plane.resources.base import Model
from control_plane.resources.container import ResourceRequirements
from control_plane.resources.container_env import ObjectFieldSelector, ResourceFieldSelector
from control_plane.resources.field import (
    Annotations,
    ConfigKey,
    Items,
    LabelName,
    Labels,
    NotSupported,
    Quantity,
    SubdomainName,
)
from control_plane.resources.label_selector import LabelSelector
from control_plane.resources.service_account import LocalObjectReference

Mode = Annotated[int, Field(ge=0, le=0o777)]


def _relative(value: str) -> bool:
    is_below = not value.startswith("/") and ".." not in value.split("/") and "\0" not in value
    return is_below and any(part not in ("", ".") for part in value.split("/"))


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
    field_ref: ObjectFieldSelector | None = None
    resource_field_ref: ResourceFieldSelector | None = None
    mode: Mode | None = None

    @model_validator(mode="after")
    def _check_one(self) -> Self:
        if (self.field_ref is None) == (self.resource_field_ref is None):
            raise PydanticCustomError(
                "invalid_value", "exactly one of fieldRef, resourceFieldRef is required"
            )
        return self


class EmptyDirVolume(Model):
    medium: str = ""
    """`Memory`: of the node's RAM, counted against the containers' limits."""
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


class SecretProjection(Model):
    name: SubdomainName
    items: Items[KeyToPath] = ()
    optional: bool = False


class DownwardApiProjection(Model):
    items: Items[DownwardApiFile] = ()


class ClusterTrustBundleProjection(_Path):
    name: str = ""
    signer_name: str = ""
    label_selector: LabelSelector | None = None
    optional: bool = False


class VolumeProjection(Model):
    service_account_token: ServiceAccountTokenProjection | None = None
    config_map: ConfigMapProjection | None = None
    secret: SecretProjection | None = None
    downward_api: DownwardApiProjection | None = None
    cluster_trust_bundle: ClusterTrustBundleProjection | None = None

    @model_validator(mode="after")
    def _check_one(self) -> Self:
        sources = (
            self.service_account_token,
            self.config_map,
            self.secret,
            self.downward_api,
            self.cluster_trust_bundle,
        )
        if sum(source is not None for source in sources) != 1:
            raise PydanticCustomError(
                "invalid_value",
                "exactly one of serviceAccountToken, configMap, secret, downwardAPI, "
                "clusterTrustBundle is required",
            )
        return self


class ProjectedVolume(Model):
    sources: Items[VolumeProjection] = ()
    default_mode: Mode = 0o644


class HostPathVolume(Model):
    path: Annotated[str, Field(min_length=1)]
    type: str = ""


class PersistentVolumeClaimVolume(Model):
    claim_name: SubdomainName
    read_only: bool = False


class TypedLocalObjectReference(Model):
    api_group: str = ""
    kind: str
    name: str


class TypedObjectReference(TypedLocalObjectReference):
    namespace: str = ""


class PersistentVolumeClaimSpec(Model):
    access_modes: Items[str] = ()
    data_source: TypedLocalObjectReference | None = None
    data_source_ref: TypedObjectReference | None = None
    resources: ResourceRequirements = ResourceRequirements()
    selector: LabelSelector | None = None
    storage_class_name: str | None = None
    volume_attributes_class_name: str | None = None
    volume_mode: Literal["Filesystem", "Block"] = "Filesystem"
    volume_name: str = ""


class PersistentVolumeClaimTemplateMeta(Model):
    labels: Labels = Field(default_factory=dict)
    annotations: Annotations = Field(default_factory=dict)


class PersistentVolumeClaimTemplate(Model):
    metadata: PersistentVolumeClaimTemplateMeta = PersistentVolumeClaimTemplateMeta()
    spec: PersistentVolumeClaimSpec


class EphemeralVolume(Model):
    volume_claim_template: PersistentVolumeClaimTemplate


class NfsVolume(Model):
    server: str
    path: str
    read_only: bool = False


class CsiVolume(Model):
    driver: str
    fs_type: str = ""
    read_only: bool = False
    node_publish_secret_ref: LocalObjectReference | None = None
    volume_attributes: dict[str, str] = Field(default_factory=dict)


class IscsiVolume(Model):
    target_portal: str
    iqn: str
    lun: int
    portals: Items[str] = ()
    iscsi_interface: str = "default"
    fs_type: str = ""
    read_only: bool = False
    initiator_name: str = ""
    chap_auth_discovery: bool = False
    chap_auth_session: bool = False
    secret_ref: LocalObjectReference | None = None


class ImageVolume(Model):
    reference: str = ""
    pull_policy: Literal["Always", "IfNotPresent", "Never"] | None = None


_SOURCES = (
    "emptyDir",
    "configMap",
    "secret",
    "downwardAPI",
    "projected",
    "hostPath",
    "persistentVolumeClaim",
    "ephemeral",
    "nfs",
    "csi",
    "iscsi",
    "image",
)


class Volume(Model):
    """Exactly one source. In-tree sources that Kubernetes has taken out are refused by name."""

    name: LabelName
    empty_dir: EmptyDirVolume | None = None
    config_map: ConfigMapVolume | None = None
    secret: SecretVolume | None = None
    downward_api: DownwardApiVolume | None = None
    projected: ProjectedVolume | None = None
    host_path: HostPathVolume | None = None
    persistent_volume_claim: PersistentVolumeClaimVolume | None = None
    ephemeral: EphemeralVolume | None = None
    nfs: NfsVolume | None = None
    csi: CsiVolume | None = None
    iscsi: IscsiVolume | None = None
    image: ImageVolume | None = None
    aws_elastic_block_store: NotSupported = None
    azure_disk: NotSupported = None
    azure_file: NotSupported = None
    cephfs: NotSupported = None
    cinder: NotSupported = None
    fc: NotSupported = None
    flex_volume: NotSupported = None
    gce_persistent_disk: NotSupported = None
    git_repo: NotSupported = None
    glusterfs: NotSupported = None
    rbd: NotSupported = None
    vsphere_volume: NotSupported = None

    @model_validator(mode="after")
    def _check_one_source(self) -> Self:
        if len(self._given()) != 1:
            raise PydanticCustomError(
                "invalid_value", "exactly one of {known} is required", {"known": ", ".join(_SOURCES)}
            )
        return self

    def _given(self) -> list[str]:
        names = ((field.alias or name, name) for name, field in type(self).model_fields.items())
        return [alias for alias, name in names if alias in _SOURCES and getattr(self, name) is not None]

    @property
    def source(self) -> str:
        """Name of the field that is set, as on the wire."""
        return self._given()[0]
