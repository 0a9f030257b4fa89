"""core/v1 Secret (pure). Its values are never in a message."""

import binascii
from base64 import b64decode
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from control_plane.resources.base import Resource
from control_plane.resources.field import ConfigKey
from control_plane.resources.gateway_field import invalid

TLS_TYPE = "kubernetes.io/tls"
TLS_KEYS = ("tls.crt", "tls.key")


def _base64(value: str) -> str:
    try:
        b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise invalid("must be base64") from None
    return value


class Secret(Resource):
    """What only Pods that need it should know: bytes by key."""

    API_VERSION = "v1"
    KIND = "Secret"
    SECRET_FIELDS = frozenset({"data", "stringData"})

    api_version: Literal["v1"]
    kind: Literal["Secret"]
    type: Annotated[str, Field(min_length=1)] = "Opaque"
    data: dict[ConfigKey, Annotated[str, AfterValidator(_base64)]] = Field(default_factory=dict, repr=False)
    string_data: dict[ConfigKey, str] = Field(default_factory=dict, repr=False)
    """Values as text; they go before those of `data`."""
    immutable: bool = False
    """Once set, neither it nor the data can change."""

    @model_validator(mode="after")
    def _check_tls(self) -> Self:
        missing = [key for key in TLS_KEYS if key not in self.data and key not in self.string_data]
        if self.type == TLS_TYPE and missing:
            raise invalid(f"data: type {TLS_TYPE} needs {' and '.join(missing)}")
        return self

    def decoded(self) -> dict[str, bytes]:
        """Every value, decoded."""
        decoded = {key: b64decode(value) for key, value in self.data.items()}
        return decoded | {key: value.encode() for key, value in self.string_data.items()}
