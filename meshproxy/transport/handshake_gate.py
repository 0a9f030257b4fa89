"""How many TLS handshakes are under way, and how much of them one turn of the event loop does. [2]

A full handshake costs each side about 0.6 ms of CPU in two steps that cannot be interrupted. Without this
gate every peer whose bytes lie ready is served in one turn: 2,000 at once stop every other exchange of this
worker for a second. Steps wait in one queue, first come first served, and a turn does a few of them. Servers
also need a place before they allocate anything, so that memory is bounded too; those who wait are few, too.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

AT_ONCE: Final = 128
"""Server handshakes under way. OpenSSL holds about 50 KB for each; one core finishes about 1,000 a second, so
that more would only wait inside: at 128 the peers' round trip may take 100 ms before places run short."""
MAX_WAITING: Final = 4096
"""Connections waiting for a place; as many as the kernel keeps for us (the backlog)."""
STEPS_PER_TURN: Final = 8
"""Handshake steps in one turn of the loop: about 5 ms at most."""
PATIENCE: Final = 5.0
"""Seconds a peer may dawdle in a place while others wait for one. An honest peer that is itself flooded may
need some; one that says nothing more must not keep others out for the whole time that a handshake has."""

Step = Callable[[], None]


class Admission:
    """A place, or a wait for one. `leave` must be called once it is over; again does nothing."""

    __slots__ = ("_begin", "_cut", "_gate", "is_inside", "since")

    def __init__(self, gate: HandshakeGate, begin: Step, cut: Step) -> None:
        self._gate = gate
        self._begin: Step | None = begin
        self._cut: Step | None = cut
        self.is_inside = False
        self.since = 0.0
        """Loop time when the place was taken."""

    def enter(self, now: float) -> Step:
        """Take the place; the caller runs what is returned."""
        begin, self._begin = self._begin, None
        assert begin is not None
        self.is_inside, self.since = True, now
        return begin

    def cut(self) -> None:
        """End the connection that dawdles; its end calls `leave`."""
        if self._cut is not None:
            self._cut()

    def leave(self) -> None:
        if self._cut is not None:  # neither callable outlives the handshake: they hold the connection
            self._begin = self._cut = None
            self._gate.on_left(self)


class HandshakeGate:
    """One for each event loop."""

    def __init__(self, at_once: int = AT_ONCE, max_waiting: int = MAX_WAITING) -> None:
        self._at_once = at_once
        self._max_waiting = max_waiting
        self._inside: dict[Admission, None] = {}
        """In the order in which they entered."""
        self._waiting: dict[Admission, None] = {}
        self._steps: deque[Step] = deque()
        self._is_turn_due = False
        self._dawdlers_timer: asyncio.TimerHandle | None = None

    @property
    def under_way(self) -> int:
        return len(self._inside)

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    # --- places ---

    def admit(self, begin: Step, cut: Step) -> Admission | None:
        """Run `begin` as soon as there is a place. None when too many wait already.

        `cut` ends the connection when it keeps its place for too long while others wait.
        """
        admission = Admission(self, begin, cut)
        if len(self._inside) < self._at_once and not self._waiting:
            self._let_in(admission)
        elif len(self._waiting) < self._max_waiting:
            self._waiting[admission] = None
            self._watch()
        else:
            return None
        return admission

    def _let_in(self, admission: Admission) -> None:
        self._inside[admission] = None
        self.run(admission.enter(asyncio.get_running_loop().time()))

    def on_left(self, admission: Admission) -> None:
        self._waiting.pop(admission, None)
        self._inside.pop(admission, None)
        while self._waiting and len(self._inside) < self._at_once:
            following = next(iter(self._waiting))
            del self._waiting[following]
            self._let_in(following)

    def _watch(self) -> None:
        if self._dawdlers_timer is None:
            self._dawdlers_timer = asyncio.get_running_loop().call_later(PATIENCE, self._cut_dawdlers)

    def _cut_dawdlers(self) -> None:
        self._dawdlers_timer = None
        if not self._waiting:
            return
        before = asyncio.get_running_loop().time() - PATIENCE
        for admission in [inside for inside in self._inside if inside.since <= before]:
            admission.cut()
        if self._waiting:
            self._watch()

    # --- steps ---

    def run(self, step: Step) -> None:
        """Do `step` in this turn or a later one, after those that came before it."""
        self._steps.append(step)
        if not self._is_turn_due:
            self._is_turn_due = True
            asyncio.get_running_loop().call_soon(self._turn)

    def _turn(self) -> None:
        steps = self._steps
        try:
            for _ in range(min(STEPS_PER_TURN, len(steps))):
                steps.popleft()()
        finally:  # one step's bug must not stop all others
            self._is_turn_due = bool(steps)
            if steps:
                asyncio.get_running_loop().call_soon(self._turn)
