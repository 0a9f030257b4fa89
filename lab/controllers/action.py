"""What a controller wants done to the API's objects (pure values); `writer.py` does it."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from control_plane.resources.manifest import Manifest, ObjectKey

Propagation: TypeAlias = Literal["Background", "Foreground", "Orphan"]


@dataclass(frozen=True, slots=True)
class Create:
    """A new object; its name may be left to the server by `generateName`."""

    manifest: Manifest


@dataclass(frozen=True, slots=True)
class Update:
    """The object as it shall be, with the resourceVersion on which that was decided."""

    manifest: Manifest


@dataclass(frozen=True, slots=True)
class UpdateStatus:
    """The object with the status that it shall have, and the resourceVersion of before."""

    manifest: Manifest


@dataclass(frozen=True, slots=True)
class Patch:
    """A merge patch. A uid in its metadata keeps it from another object of the same name."""

    key: ObjectKey
    patch: Manifest


@dataclass(frozen=True, slots=True)
class Delete:
    """The object of this uid, and no other of its name."""

    key: ObjectKey
    uid: str
    propagation: Propagation = "Background"


@dataclass(frozen=True, slots=True)
class Bind:
    """A Pod gets its node."""

    pod: Manifest
    node: str


@dataclass(frozen=True, slots=True)
class Record:
    """An Event about an object: for people, so that nothing waits for it or fails with it."""

    about: Manifest
    type: Literal["Normal", "Warning"]
    reason: str
    message: str
    component: str


Action: TypeAlias = Create | Update | UpdateStatus | Patch | Delete | Bind | Record


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do now, in this order."""

    actions: tuple[Action, ...] = ()
    again_in: float | None = None
    """Seconds after which the passing of time alone will change the answer; None: it will not."""


NOTHING = Plan()


def soonest(*waits: float | None) -> float | None:
    """The first of several times to look again."""
    return min((wait for wait in waits if wait is not None), default=None)
