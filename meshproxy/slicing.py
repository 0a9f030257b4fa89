"""Long work in slices, between which the event loop serves requests.

A thread would not do: it keeps the interpreter for 5 ms at a time, and the loop waits for it anew after every
system call.
"""

from __future__ import annotations

import asyncio
from typing import Final, TypeVar

from meshproxy.clock import Clock
from meshproxy.memory import keep_out_of_collections
from meshproxy.steps import Steps

T = TypeVar("T")

SLICE_SECONDS: Final = 0.002
"""How long requests wait for such work; a step may exceed it by its own length."""

_SLICES_TO_KEEP: Final = 8
"""After so many, what they made is exempt from collections: some thousands of objects."""


async def in_slices(steps: Steps[T], clock: Clock) -> T:
    """The result of `steps`; requests have their turn after each slice. Whoever calls sees to it that what
    the steps read does not change meanwhile.

    What long work makes is configuration, so it is exempt from garbage collections as it is made: a full one
    in the middle of a big update would look through all of it.
    """
    until = clock.monotonic() + SLICE_SECONDS
    slices = 0
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: T = end.value
            if slices:  # what the caller does with a big result takes its time too
                await asyncio.sleep(0)
            return result
        if clock.monotonic() >= until:
            slices += 1
            if slices % _SLICES_TO_KEEP == 0:
                keep_out_of_collections()
            await asyncio.sleep(0)
            until = clock.monotonic() + SLICE_SECONDS
