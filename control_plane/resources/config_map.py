"""core/v1 ConfigMap (pure)."""

import binascii
from base64 import b64decode
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from control_plane.resources.base import Resource
from control_plane.resources.field import ConfigKey


def _base64(value: str) -> str:
    try:
        b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise PydanticCustomError("invalid_value", "must be base64") from None
    return value


class ConfigMap(Resource):
    """Settings for Pods: text by key."""

    API_VERSION = "v1"
    KIND = "ConfigMap"

    api_version: Literal["v1"]
    kind: Literal["ConfigMap"]
    data: dict[ConfigKey, str] = Field(default_factory=dict)
    binary_data: dict[ConfigKey, Annotated[str, AfterValidator(_base64)]] = Field(default_factory=dict)
    immutable: bool = False
    """Once set, neither it nor the data can change."""

    @model_validator(mode="after")
    def _check_keys(self) -> Self:
        if both := self.data.keys() & self.binary_data.keys():
            raise PydanticCustomError(
                "invalid_value", "key {key} is in both data and binaryData", {"key": min(both)}
            )
        return self
