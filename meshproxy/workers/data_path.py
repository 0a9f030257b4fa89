"""What the sidecar needs of whatever carries its traffic: a worker beside it in one process, or a pool of
processes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from meshproxy.config.snapshot import ConfigSnapshot
from meshproxy.identity.identity import Identity


class DataPath(Protocol):
    """Serves the configuration that it was given last and could put in force."""

    def start(self) -> None:
        """Begin to run in the background."""

    def use_identity(self, identity: Identity) -> None:
        """New connections prove `identity`."""

    async def apply(self, snapshot: ConfigSnapshot) -> None:
        """Put `snapshot` in force. Raises ConfigError or OSError, and then the one before is in force."""

    def not_ready(self) -> list[str]:
        """Why no traffic should come; empty: it may."""

    def set_log_level(self, level: str) -> None:
        """For every process."""

    # --- admin ---

    def flush_counters(self) -> None:
        """Count what this process has not counted yet; before every scrape."""

    async def refresh_metrics(self) -> None:
        """Bring in what other processes counted."""

    async def refresh_pages(self) -> None:
        """Bring in what `clusters` and `listeners` show of other processes."""

    def clusters(self) -> Sequence[Mapping[str, object]]:
        """`/clusters` as of the last refresh."""

    def listeners(self) -> Sequence[Mapping[str, object]]:
        """`/listeners` as of the last refresh."""

    def info(self) -> dict[str, object]:
        """What `/server_info` says of it beside the rest."""

    # --- the end ---

    def begin_drain(self, over: float) -> None:
        """From now on connections end one by one, `over` so many seconds."""

    async def open_connections(self) -> int:
        """Downstream connections that still are."""

    async def end_drain(self) -> None:
        """Stop listening, close what is idle."""

    async def close(self) -> None:
        """End everything."""
