"""DataSource -> bytes (pure). What lies in a file of the sender's choice is not read."""

from __future__ import annotations

from control_plane.api.envoy.config.core.v3.base_pb2 import DataSource
from meshproxy.xds.strict import require


def inline(source: DataSource, path: str) -> bytes:
    """Empty when nothing is given. Raises ConfigError for a file."""
    require(not source.filename, f"{path}.filename", "is not read; give inline_bytes or inline_string")
    return source.inline_bytes or source.inline_string.encode()
