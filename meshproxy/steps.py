"""Work that can be interrupted (pure): a generator that pauses, and in the end returns its result.

What is big translates, checks and compiles this way; `slicing` runs it on the event loop.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TypeVar

T = TypeVar("T")

Steps = Generator[None, None, T]
"""Pauses often: after much less than a request may wait."""


def finished(steps: Steps[T]) -> T:
    """The result of `steps`, done at once."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: T = end.value
            return result
