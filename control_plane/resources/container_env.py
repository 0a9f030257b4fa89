"""Where the variables of a container come from: values, ConfigMaps, Secrets, the pod itself (pure)."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from control_plane.resources.base import Model
from control_plane.resources.field import ConfigKey, LabelName, Quantity, SubdomainName


class ObjectFieldSelector(Model):
    field_path: Annotated[str, Field(min_length=1)]
    """E.g. `status.podIP` or `metadata.labels['app']`."""
    api_version: Literal["v1"] = "v1"


class ResourceFieldSelector(Model):
    resource: Annotated[str, Field(min_length=1)]
    """E.g. `limits.cpu` or `requests.memory`."""
    container_name: str = ""
    """Needed in volumes; in a variable it is the container's own when empty."""
    divisor: Quantity = "0"
    """Unit of the output; 0 stands for 1."""


class ConfigMapKeySelector(Model):
    name: SubdomainName
    key: ConfigKey
    optional: bool = False


class SecretKeySelector(Model):
    name: SubdomainName
    key: ConfigKey
    optional: bool = False


class FileKeySelector(Model):
    volume_name: LabelName
    path: str
    key: ConfigKey
    optional: bool = False


class EnvVarSource(Model):
    field_ref: ObjectFieldSelector | None = None
    config_map_key_ref: ConfigMapKeySelector | None = None
    secret_key_ref: SecretKeySelector | None = None
    resource_field_ref: ResourceFieldSelector | None = None
    file_key_ref: FileKeySelector | None = None

    @model_validator(mode="after")
    def _check_one(self) -> Self:
        sources = (
            self.field_ref,
            self.config_map_key_ref,
            self.secret_key_ref,
            self.resource_field_ref,
            self.file_key_ref,
        )
        if sum(source is not None for source in sources) != 1:
            raise PydanticCustomError(
                "invalid_value",
                "exactly one of fieldRef, configMapKeyRef, secretKeyRef, resourceFieldRef, "
                "fileKeyRef is required",
            )
        return self


class EnvVar(Model):
    name: Annotated[str, Field(min_length=1, pattern=r"^[^=\x00]+$")]
    value: str = ""
    value_from: EnvVarSource | None = None

    @model_validator(mode="after")
    def _check_one(self) -> Self:
        if self.value and self.value_from is not None:
            raise PydanticCustomError("invalid_value", "value and valueFrom exclude each other")
        return self


class ConfigMapEnvSource(Model):
    name: SubdomainName
    optional: bool = False


class SecretEnvSource(Model):
    name: SubdomainName
    optional: bool = False


class EnvFromSource(Model):
    """Every key of a ConfigMap or Secret as a variable of its own."""

    prefix: Annotated[str, Field(pattern=r"^[^=\x00]*$")] = ""
    config_map_ref: ConfigMapEnvSource | None = None
    secret_ref: SecretEnvSource | None = None

    @model_validator(mode="after")
    def _check_one(self) -> Self:
        if (self.config_map_ref is None) == (self.secret_ref is None):
            raise PydanticCustomError("invalid_value", "exactly one of configMapRef, secretRef is required")
        return self
