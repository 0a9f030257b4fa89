"""A request header that must be there, or have a value: what policies share (pure)."""

import re
from typing import Annotated, Literal, TypeAlias

from pydantic import AfterValidator, Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from control_plane.resources.base import Model
from control_plane.resources.gateway_field import HeaderName

_VALUE = re.compile(r"[\x20-\x7e]{1,4096}")


def _header_value(value: str) -> str:
    if not _VALUE.fullmatch(value) or value != value.strip():
        raise PydanticCustomError(
            "invalid_value", "must be 1 to 4096 visible ASCII characters, without blanks at the ends"
        )
    return value


HeaderValue: TypeAlias = Annotated[str, AfterValidator(_header_value)]


class HeaderMatch(Model):
    """`type: Exact` compares the whole value; `Present` asks only whether the header is there."""

    name: HeaderName
    type: Literal["Exact", "Present"] = "Exact"
    value: Annotated[HeaderValue | None, Field(validate_default=True)] = None

    @field_validator("value")
    @classmethod
    def _check_value(cls, value: str | None, info: ValidationInfo) -> str | None:
        if info.data.get("type") == "Exact" and value is None:
            raise PydanticCustomError("invalid_value", "required for type Exact")
        if info.data.get("type") == "Present" and value is not None:
            raise PydanticCustomError("invalid_value", "not with type Present")
        return value
