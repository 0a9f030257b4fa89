"""Long work in slices: requests have their turn, errors and results pass through."""

import asyncio
import gc

import pytest

from meshproxy.errors import ConfigError
from meshproxy.slicing import SLICE_SECONDS, in_slices
from meshproxy.steps import Steps, finished


class StepClock:
    """Each step takes a quarter of a slice."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> float:
        return self.now


def counting(count: int, clock: StepClock, turns: list[str]) -> Steps[int]:
    for _ in range(count):
        clock.now += SLICE_SECONDS / 4
        turns.append("work")
        yield
    return count


async def test_others_have_their_turn_after_each_slice() -> None:
    clock, turns = StepClock(), list[str]()

    async def other() -> None:
        while len(turns) < 20:
            turns.append("request")
            await asyncio.sleep(0)

    beside = asyncio.create_task(other())
    assert await in_slices(counting(10, clock, turns), clock) == 10
    await beside
    assert turns[:13] == [*["work"] * 4, "request", *["work"] * 4, "request", *["work"] * 2, "request"]


async def test_what_long_work_makes_is_exempt_from_collections() -> None:
    clock = StepClock()
    gc.unfreeze()
    try:
        await in_slices(counting(20, clock, []), clock)
        assert gc.get_freeze_count() == 0
        await in_slices(counting(40, clock, []), clock)
        assert gc.get_freeze_count() > 0
    finally:
        gc.unfreeze()


async def test_what_is_short_is_done_in_one_go() -> None:
    clock, turns = StepClock(), list[str]()
    beside = asyncio.create_task(asyncio.sleep(0))
    assert await in_slices(counting(3, clock, turns), clock) == 3
    assert not beside.done()
    await beside


def refusing() -> Steps[int]:
    yield
    raise ConfigError("no")


async def test_errors_pass_through() -> None:
    with pytest.raises(ConfigError, match="no"):
        await in_slices(refusing(), StepClock())
    with pytest.raises(ConfigError, match="no"):
        finished(refusing())


def test_at_once() -> None:
    assert finished(counting(3, StepClock(), [])) == 3
