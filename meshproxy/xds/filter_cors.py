"""CorsPolicy -> its value in the model (pure)."""

from __future__ import annotations

from google.protobuf.wrappers_pb2 import BoolValue

from control_plane.api.envoy.extensions.filters.http.cors.v3.cors_pb2 import CorsPolicy
from meshproxy.config.http_filter import ALWAYS, CorsSettings
from meshproxy.http.syntax import FIELD_VALUE
from meshproxy.routing.value_match import compile_string_match
from meshproxy.xds.filter_fraction import runtime_fraction
from meshproxy.xds.route_match import translate_string_match
from meshproxy.xds.strict import require


def translate_cors(policy: CorsPolicy, path: str, place: str) -> CorsSettings:
    """Raises ConfigError, also for a pattern that RE2 does not take."""
    origins = tuple(
        translate_string_match(match, f"{path}.allow_origin_string_match[{index}]")
        for index, match in enumerate(policy.allow_origin_string_match)
    )
    for match in origins:
        compile_string_match(match)  # here it can still be refused
    for field in ("allow_methods", "allow_headers", "expose_headers"):
        text = str(getattr(policy, field))
        is_clean = not text.encode().translate(None, FIELD_VALUE)
        require(is_clean, f"{path}.{field}", f"{text!r} has what no field value can have")
    age = policy.max_age
    is_number = age.removeprefix("-").isdecimal() and age.isascii()
    require(not age or is_number, f"{path}.max_age", f"{age!r} is not a number of seconds")
    has_enabled = policy.HasField("filter_enabled")
    enabled = runtime_fraction(policy.filter_enabled, f"{path}.filter_enabled") if has_enabled else ALWAYS
    return CorsSettings(
        allow_origins=origins,
        allow_methods=policy.allow_methods,
        allow_headers=policy.allow_headers,
        expose_headers=policy.expose_headers,
        max_age=age,
        allow_credentials=_said(policy.allow_credentials, policy.HasField("allow_credentials")),
        allow_private_network=_said(
            policy.allow_private_network_access, policy.HasField("allow_private_network_access")
        ),
        forward_not_matching_preflights=_said(
            policy.forward_not_matching_preflights, policy.HasField("forward_not_matching_preflights")
        ),
        enabled=enabled,
    )


def _said(value: BoolValue, is_said: bool) -> bool | None:
    return value.value if is_said else None
