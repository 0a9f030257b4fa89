"""FractionalPercent -> fractions of the model (pure)."""

from __future__ import annotations

from typing import Final

from control_plane.api.envoy.config.core.v3.base_pb2 import RuntimeFractionalPercent
from control_plane.api.envoy.type.v3.percent_pb2 import FractionalPercent
from meshproxy.config.http_filter import Fraction
from meshproxy.xds.strict import require

_DENOMINATORS: Final = {
    FractionalPercent.HUNDRED: 100,
    FractionalPercent.TEN_THOUSAND: 10_000,
    FractionalPercent.MILLION: 1_000_000,
}


def fraction(percent: FractionalPercent, path: str) -> Fraction:
    """Of a message that has passed the strict check. Raises ConfigError."""
    denominator = _DENOMINATORS[percent.denominator]
    require(percent.numerator <= denominator, path, "is above 100 %")
    return Fraction(percent.numerator, denominator)


def runtime_fraction(percent: RuntimeFractionalPercent, path: str) -> Fraction:
    """The default of a runtime value; there is no runtime. Raises ConfigError."""
    return fraction(percent.default_value, f"{path}.default_value")
