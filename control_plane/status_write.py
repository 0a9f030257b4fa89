"""Storing a status: only where it says something new, and never over somebody else's change."""

import logging
from collections.abc import Callable

from control_plane.resources.invalid import InvalidResource
from control_plane.resources.manifest import Manifest, ObjectKey
from control_plane.store.api import ObjectNotFound, ObjectStore, VersionConflict, WriteRefused

_log = logging.getLogger(__name__)


async def write_back(
    key: ObjectKey, store: ObjectStore, judge: Callable[[Manifest], Manifest | None]
) -> bool:
    """Store what `judge` makes of the stored object; None: nothing to say, which is also meant by its raising
    InvalidResource. False when the object changed meanwhile and must be tried again."""
    try:
        updated = judge(await store.get(*key))
        if updated is not None:
            await store.update_status(updated)
    except VersionConflict:
        return False
    except ObjectNotFound:
        _log.debug("status: %s is gone", key)
    except (InvalidResource, WriteRefused) as error:
        _log.error("status: %s", error)
    return True
