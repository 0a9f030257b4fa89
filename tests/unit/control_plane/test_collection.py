"""What the collector looks at: not what is stored, which needs that cycles among it are found some day."""

import asyncio
import gc
import weakref
from collections.abc import Iterator

import pytest

from control_plane.collection import collect_only_what_is_new, collect_thoroughly, without_collections


class Node:
    """Something that is in a cycle with itself."""

    def __init__(self) -> None:
        self.me = self


@pytest.fixture(autouse=True)
def collecting() -> Iterator[None]:
    callbacks = list(gc.callbacks)
    yield
    gc.callbacks[:] = callbacks
    gc.unfreeze()


def test_what_is_made_without_collections_is_exempt_from_later_ones() -> None:
    with without_collections():
        assert not gc.isenabled()
        kept = [Node() for _ in range(1000)]
    assert gc.isenabled()
    assert gc.get_freeze_count() >= len(kept)


def test_collections_go_on_after_a_failure() -> None:
    with pytest.raises(ValueError, match="damaged"), without_collections():
        raise ValueError("damaged")
    assert gc.isenabled()


def test_what_survives_a_full_collection_is_not_looked_at_again() -> None:
    collect_only_what_is_new()
    collect_only_what_is_new()
    assert len({id(one) for one in gc.callbacks}) == len(gc.callbacks)
    kept = [Node() for _ in range(1000)]
    gc.collect()
    assert gc.get_freeze_count() >= len(kept)
    assert len(gc.get_objects(generation=2)) < len(kept)


async def test_a_thorough_collection_finds_what_became_garbage_since() -> None:
    collect_only_what_is_new()
    node = Node()
    alive = weakref.ref(node)
    gc.collect()
    del node
    gc.collect()
    assert alive() is not None
    task = asyncio.create_task(collect_thoroughly(interval=0.0))
    for _ in range(4):  # of the loop's turns
        await asyncio.sleep(0)
    task.cancel()
    assert alive() is None
