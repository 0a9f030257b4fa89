"""Writes the objects into a data directory, as the API server would: checked, defaulted, with their managers.

In one process and many at a time, past HTTP: what is measured is what a control plane does with them.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Final

from bench import dataset
from bench.scale.objects import Size, namespaces, objects
from certs.store import make_private_directory
from control_plane.apiserver.operations import Operations
from control_plane.apiserver.service_address import ServiceAllocator
from control_plane.apiserver.write_request import Write
from control_plane.resources.manifest import Manifest, kind_of, name_of, namespace_of
from control_plane.resources.registry import BY_KIND
from control_plane.store.sqlite import SqliteStore

_AT_ONCE: Final = 256
_WRITE: Final = Write(manager="bench")


async def fill(data_dir: Path, size: Size) -> int:
    """The state of that cluster, with the bench's own Pods; returns the number of objects."""
    make_private_directory(data_dir)
    store = await SqliteStore.open(data_dir / "state.db")
    try:
        operations = Operations(store, services=ServiceAllocator(), rng=random.Random(1))
        first = [*dataset.foundation(meshed=True), *namespaces(size)]
        for manifest in first:
            await _create(operations, manifest)
        return len(first) + await _create_all(operations, objects(size))
    finally:
        await store.close()


async def _create_all(operations: Operations, manifests: Iterable[Manifest]) -> int:
    count, waiting = 0, iter(manifests)
    while some := list(islice(waiting, _AT_ONCE)):
        await asyncio.gather(*(_create(operations, manifest) for manifest in some))
        count += len(some)
    return count


async def _create(operations: Operations, manifest: Manifest) -> None:
    kind, namespace, name = BY_KIND[kind_of(manifest)], namespace_of(manifest), name_of(manifest)
    new = {field: value for field, value in manifest.items() if field != "status"}
    created = await operations.create(kind, namespace, new, _WRITE)
    if "status" in manifest:
        wanted = {**created, "status": manifest["status"]}
        await operations.update_status(kind, namespace, name, wanted, _WRITE)
