"""What every cluster of a worker is given. [6]"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from meshproxy.clock import Clock
from meshproxy.http.codec import Codec
from meshproxy.http.h2.message import Messages
from meshproxy.policy.outlier import OutlierEvent
from meshproxy.tasks import TaskGroupRegistry
from meshproxy.upstream.connector import ConnectFailed, Connector
from meshproxy.upstream.lookup import look_up
from meshproxy.upstream.pool import PoolSettings


def _uncounted(*what: str) -> None:
    """For those who do not count."""


@dataclass(frozen=True, slots=True)
class UpstreamServices:
    """What every cluster of a worker shares."""

    connector: Connector
    clock: Clock
    tasks: TaskGroupRegistry
    codec: Codec
    """Reads what upstreams answer."""
    messages: Messages
    """The same for HTTP/2."""
    rng: random.Random
    pool: PoolSettings
    on_connect_failed: Callable[[str, ConnectFailed], None]
    """(cluster, error): for counting; policies hear of it through the waiter."""
    on_outlier: Callable[[str, OutlierEvent, int], None]
    """(cluster, event, endpoints ejected now): for counting."""
    on_overflow: Callable[[str, str], None] = _uncounted
    """(cluster, limit): for counting."""
    on_breaker_opened: Callable[[str], None] = _uncounted
    """(cluster): for counting."""
    on_health_check: Callable[[str, str], None] = _uncounted
    """(cluster, result): for counting."""
    on_lookup: Callable[[str, str], None] = _uncounted
    """(cluster, result): for counting."""
    look_up: Callable[[str], Awaitable[list[str]]] = look_up
    """Addresses of a name. Raises OSError."""
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    """For so many seconds."""
