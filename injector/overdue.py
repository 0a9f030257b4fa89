"""Connections that owe us the rest of a request (pure): who only holds them keeps nobody else out."""

from collections.abc import Collection, Hashable
from typing import Generic, TypeVar

PATIENCE = 10.0
"""Seconds for a whole request; the API server's come at once."""
LEAST_PATIENCE = 1.0
"""Seconds, once half of all connections are taken."""

Connection = TypeVar("Connection", bound=Hashable)


class Overdue(Generic[Connection]):
    """Looked at now and then; each time those are named that have owed for too long."""

    def __init__(self) -> None:
        self._since: dict[Connection, float] = {}

    def find(self, owing: Collection[Connection], now: float, *, is_crowded: bool) -> list[Connection]:
        """`owing`: all that owe at `now` (seconds, monotonic)."""
        self._since = {one: self._since.get(one, now) for one in owing}
        patience = LEAST_PATIENCE if is_crowded else PATIENCE
        return [one for one, since in self._since.items() if now - since >= patience]
