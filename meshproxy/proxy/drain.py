"""How long a drain lasts. [2]"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from meshproxy.clock import Clock

POLL: Final = 0.05
"""Seconds between looks at whether connections are open."""
QUIET_LOOKS: Final = 5
"""Looks in a row that must find none. Peers that have not heard yet that we leave come with a connection for
each request: between two of them there is none, and closing the listener there would refuse the next."""


async def until_quiet(open_connections: Callable[[], Awaitable[int]], clock: Clock, at_most: float) -> None:
    """Wait until nobody comes any more, `at_most` so many seconds."""
    deadline = clock.monotonic() + at_most
    quiet = 0
    while quiet < QUIET_LOOKS and clock.monotonic() < deadline:
        quiet = 0 if await open_connections() else quiet + 1
        await asyncio.sleep(POLL)
