"""Durations, counts and percentages as protobuf values (pure)."""

from google.protobuf.duration_pb2 import Duration
from google.protobuf.wrappers_pb2 import BoolValue, UInt32Value

from control_plane.api.envoy.config.core.v3.base_pb2 import RuntimeFractionalPercent
from control_plane.api.envoy.type.v3.percent_pb2 import FractionalPercent
from control_plane.resources.gateway_field import milliseconds

_MILLIONTHS_PER_PERCENT = 10_000


def duration(text: str) -> Duration:
    """GEP-2257 text as a Duration."""
    seconds, rest = divmod(milliseconds(text), 1000)
    return Duration(seconds=seconds, nanos=rest * 1_000_000)


def count(value: int) -> UInt32Value:
    return UInt32Value(value=value)


def flag(value: bool) -> BoolValue:
    return BoolValue(value=value)


def fraction(percent: float) -> FractionalPercent:
    """To a ten-thousandth of a percent."""
    numerator = round(percent * _MILLIONTHS_PER_PERCENT)
    return FractionalPercent(numerator=numerator, denominator=FractionalPercent.MILLION)


def runtime_fraction(percent: float) -> RuntimeFractionalPercent:
    return RuntimeFractionalPercent(default_value=fraction(percent))
