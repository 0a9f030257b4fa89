"""Keys to look at."""

import asyncio

from control_plane.resources.manifest import ObjectKey
from lab.controllers.work_queue import WorkQueue

A, B = ObjectKey("Pod", "shop", "a"), ObjectKey("Pod", "shop", "b")


async def test_keys_come_once_and_in_order() -> None:
    queue = WorkQueue()
    for key in (A, B, A):
        queue.add(key)
    assert len(queue) == 2
    assert [queue.take(), queue.take(), queue.take()] == [A, B, None]


async def test_a_key_that_changes_while_it_is_looked_at_comes_again_afterwards() -> None:
    queue = WorkQueue()
    queue.add(A)
    assert queue.take() == A
    queue.add(A)
    assert queue.take() is None
    queue.done(A)
    assert queue.take() == A
    queue.done(A)
    assert queue.take() is None


async def test_who_waits_gets_the_next_key() -> None:
    queue = WorkQueue()
    waiter = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    queue.add(A)
    assert await waiter == A


async def test_of_two_times_the_sooner_counts() -> None:
    queue = WorkQueue()
    queue.add_after(A, 100.0)
    queue.add_after(A, 0.0)
    queue.add_after(A, 100.0)
    assert await asyncio.wait_for(queue.get(), 30) == A
    queue.add_after(B, 100.0)
    queue.close()
    assert len(queue) == 0


async def test_failures_in_a_row_are_waited_for_longer_until_one_succeeds() -> None:
    waits: list[float] = []
    loop = asyncio.get_running_loop()

    def later(seconds: float, *call: object) -> asyncio.TimerHandle:
        waits.append(seconds)
        handle = loop.call_later(1000.0, lambda: None)
        handle.cancel()  # as if its time had come
        return handle

    queue = WorkQueue(later)
    for _ in range(12):
        queue.failed(A)
    assert waits[:3] == [0.02, 0.04, 0.08]
    assert waits[-1] == 10.0
    queue.succeeded(A)
    queue.failed(A)
    assert waits[-1] == 0.02
