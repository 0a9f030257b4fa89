"""Durations that must not be 0 (pure); the others are `gateway_field.Duration`."""

from typing import Annotated, TypeAlias

from pydantic import AfterValidator

from control_plane.resources.gateway_field import Duration, invalid, milliseconds


def _positive(value: str) -> str:
    if milliseconds(value) == 0:
        raise invalid("must be longer than 0")
    return value


PositiveDuration: TypeAlias = Annotated[Duration, AfterValidator(_positive)]
