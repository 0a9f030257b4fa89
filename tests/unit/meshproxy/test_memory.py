"""What the collector looks at: only what is new, which needs that nothing of ours waits for it."""

import gc

import pytest

from meshproxy.memory import collect_only_what_is_new


class Node:
    """Something that is in a cycle with itself."""

    def __init__(self) -> None:
        self.me = self


@pytest.fixture
def collecting():
    gc.unfreeze()
    callbacks = list(gc.callbacks)
    yield
    gc.callbacks[:] = callbacks
    gc.unfreeze()


@pytest.mark.usefixtures("collecting")
def test_what_survives_a_full_collection_is_not_looked_at_again() -> None:
    collect_only_what_is_new()
    kept = [Node() for _ in range(1000)]
    gc.collect(1)
    assert gc.get_freeze_count() == 0
    gc.collect()
    assert gc.get_freeze_count() >= len(kept)
    assert len(gc.get_objects(generation=2)) < len(kept)


@pytest.mark.usefixtures("collecting")
def test_garbage_is_still_found() -> None:
    collect_only_what_is_new()
    gc.collect()
    gc.disable()
    for _ in range(1000):
        Node()
    gc.enable()
    assert gc.collect() >= 1000
