"""Time for tasks that sleep: it passes when a test says so."""

from __future__ import annotations

import asyncio


class Sleeper:
    """`sleep` is `UpstreamServices.sleep`."""

    def __init__(self) -> None:
        self._sleeping: list[tuple[float, asyncio.Future[None]]] = []

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            return
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sleeping.append((seconds, done))
        await done

    async def asleep(self, count: int) -> list[float]:
        """Wait until so many sleep; for how long they want to."""
        async with asyncio.timeout(30):
            while len(self._awake()) < count:  # noqa: ASYNC110  (they do real input and output before)
                await asyncio.sleep(0.002)
        return [seconds for seconds, _ in self._sleeping]

    def wake(self) -> None:
        """Everybody's time is over."""
        sleeping, self._sleeping = self._sleeping, []
        for _, done in sleeping:
            if not done.done():
                done.set_result(None)

    async def next_round(self, count: int) -> list[float]:
        """Wake everybody, and wait until so many sleep again."""
        self.wake()
        return await self.asleep(count)

    def _awake(self) -> list[tuple[float, asyncio.Future[None]]]:
        self._sleeping = [one for one in self._sleeping if not one[1].done()]
        return self._sleeping
