"""`typed_per_filter_config`: what a route says to an HTTP filter (pure).

`PER_ROUTE` names every message that may stand there and how it becomes a value of the model; each filter
has its own entered. Anything else is refused by name. The value must be frozen, and of a module of
`meshproxy.config`, as all configuration that workers are sent.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import Final

from google.protobuf.any_pb2 import Any as AnyMessage

from meshproxy.config.route import FilterConfigs
from meshproxy.errors import ConfigError
from meshproxy.xds.strict import M, type_name, unpack

_Translation = Callable[[AnyMessage, str], Hashable]

PER_ROUTE: Final[dict[str, _Translation]] = {}
"""Full message name -> its translation from the Any, given the field path. Filled with `per_route`."""


def per_route(message_type: type[M], translate: Callable[[M, str], Hashable]) -> None:
    """Let `message_type` stand in `typed_per_filter_config`; `translate` may raise ConfigError."""
    PER_ROUTE[message_type.DESCRIPTOR.full_name] = lambda packed, path: translate(
        unpack(packed, message_type, path), path
    )


def translate_filter_configs(configs: Mapping[str, AnyMessage], path: str) -> FilterConfigs:
    """Raises ConfigError for a message nobody entered."""
    translated = []
    for name in sorted(configs):
        where = f"{path}.typed_per_filter_config[{name!r}]"
        translate = PER_ROUTE.get(type_name(configs[name]))
        if translate is None:
            raise ConfigError(f"{where}: {type_name(configs[name])!r} is not supported in a route")
        translated.append((name, translate(configs[name], where)))
    return tuple(translated)
