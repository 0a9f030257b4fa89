"""When a process that leaves ends which connection, and how long it waits for them. [2]

Clients must not all come back to the others at one moment, so the ends are spread over the first part of the
drain time. A response ends its connection with a probability that grows from 0 to 1 meanwhile (Envoy's
gradual drain strategy). A connection that gets no response is ended at a time drawn for it, once it has
rested for a while: a request may be on its way to one that was in use just now, and would be lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from meshproxy.clock import Clock

POLL: Final = 0.05
"""Seconds between looks at whether connections are open."""
QUIET_LOOKS: Final = 5
"""Looks in a row that must find none. Peers that have not heard yet that we leave come with a connection for
each request: between two of them there is none, and closing the listener there would refuse the next."""
SPREAD_SHARE: Final = 0.6
"""Of the drain time: in the rest of it every response ends its connection, so that nobody is cut."""
REST: Final = 0.5
"""Seconds without an exchange after which a connection may be ended without a response that says so: many
round trips."""


def spread(drain_timeout: float) -> float:
    """Seconds over which to spread the ends of connections in a drain of `drain_timeout` seconds."""
    return drain_timeout * SPREAD_SHARE


@dataclass(frozen=True, slots=True)
class DrainSchedule:
    """The decisions of one drain (pure). `draw` is a random number from 0 up to 1."""

    started_at: float
    over: float
    """Seconds from the start until every response ends its connection; 0: all do from the start."""

    def closes(self, now: float, draw: float) -> bool:
        """Whether a response that begins now says `connection: close`."""
        return draw * self.over <= now - self.started_at

    def idle_ends_at(self, draw: float) -> float:
        """When to end a connection that has no exchange, at the earliest."""
        return self.started_at + REST + max(0.0, self.over - REST) * draw


async def until_quiet(open_connections: Callable[[], Awaitable[int]], clock: Clock, at_most: float) -> None:
    """Wait until nobody comes any more, `at_most` so many seconds."""
    deadline = clock.monotonic() + at_most
    quiet = 0
    while quiet < QUIET_LOOKS and clock.monotonic() < deadline:
        quiet = 0 if await open_connections() else quiet + 1
        await asyncio.sleep(POLL)
