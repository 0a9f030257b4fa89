"""What every controller is: told of changes, it names objects to look at; looked at one by one, it acts."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from control_plane.resources.manifest import Manifest, ObjectKey, metadata, namespace_of, objects
from control_plane.resources.timestamp import rfc3339
from lab.controllers.action import Plan
from lab.controllers.cache import Change, ObjectCache
from lab.controllers.writer import Writer


@dataclass(frozen=True, slots=True)
class Workplace:
    """What controllers share."""

    cache: ObjectCache
    writer: Writer
    clock: Callable[[], float] = time.time
    """Seconds since the epoch."""

    def moment(self) -> tuple[float, str]:
        """Now, as seconds and as text."""
        now = self.clock()
        return now, rfc3339(now)

    async def carry_out(self, plan: Plan) -> float | None:
        """Perform it; when to look again."""
        await self.writer.perform(plan.actions)
        return plan.again_in


class Reconciler(Protocol):
    """One controller."""

    name: str

    def affected(self, change: Change) -> Iterable[ObjectKey]:
        """Objects to look at because of a change; cheap, it sees every change there is."""

    async def reconcile(self, key: ObjectKey) -> float | None:
        """Do what is due for one object; seconds until time alone makes something due. Raises ApiError,
        httpx.TransportError: then it is called again."""


def owners_of(manifest: Manifest, kind: str, *, controllers: bool = True) -> list[ObjectKey]:
    """The owners of a kind that an object names, of its own namespace."""
    return [
        ObjectKey(kind, namespace_of(manifest), str(one.get("name")))
        for one in objects(metadata(manifest), "ownerReferences")
        if one.get("kind") == kind and (one.get("controller") or not controllers)
    ]


def has_controller(manifest: Manifest) -> bool:
    """Somebody keeps it."""
    return any(one.get("controller") for one in objects(metadata(manifest), "ownerReferences"))
