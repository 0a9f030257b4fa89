"""How an object is taken away: at once, or marked first and taken away when nothing holds it any more (pure).

Mirrors Kubernetes (`rest.BeforeDelete`, the registry's `Delete`): a finalizer holds an object until its owner
removes it; a Pod on a node is held for its grace period, and the kubelet asks again with grace 0 when its
processes have ended. What holds a Namespace, besides finalizers, is its content; the store looks at that.
"""

from dataclasses import dataclass
from datetime import UTC, datetime

from control_plane.resources.manifest import Manifest, metadata, section, with_metadata
from control_plane.resources.timestamp import rfc3339

DEFAULT_POD_GRACE = 30
"""Seconds; of a Pod that names no `terminationGracePeriodSeconds`."""
LONGEST_GRACE = 2**31 - 1
"""Seconds. What asks for more gets this: a time beyond what can be written would keep a Pod for ever."""
FOREGROUND = "foregroundDeletion"
ORPHAN = "orphan"
"""Finalizers that the garbage collector removes when it has seen to the dependents."""
_PROPAGATION_FINALIZERS = {"Foreground": FOREGROUND, "Orphan": ORPHAN}
_OVER = ("Succeeded", "Failed")


@dataclass(frozen=True, slots=True)
class DeletionRequest:
    """`DeleteOptions`, without what concerns HTTP."""

    uid: str = ""
    resource_version: str = ""
    """Both, when given, must be the object's."""
    grace: int | None = None
    """Seconds; None: as the object itself says."""
    propagation: str = ""
    """`Background`, `Foreground`, `Orphan`, or empty: background, leaving finalizers as they are."""


AS_IT_SAYS = DeletionRequest()
"""Whatever it is, with the grace period it names itself."""


def is_deleting(manifest: Manifest) -> bool:
    """`metadata.deletionTimestamp` is set."""
    return bool(metadata(manifest).get("deletionTimestamp"))


def finalizers_of(manifest: Manifest) -> list[str]:
    """`metadata.finalizers`; empty when absent. A copy."""
    value = metadata(manifest).get("finalizers")
    return [str(one) for one in value] if isinstance(value, list) else []


def is_free(manifest: Manifest) -> bool:
    """Nothing in the object itself holds it back: it is being deleted, without finalizer and grace period."""
    waits = metadata(manifest).get("deletionGracePeriodSeconds") or finalizers_of(manifest)
    return is_deleting(manifest) and not waits


def marked(current: Manifest, request: DeletionRequest, *, now: float) -> Manifest:
    """`current` as it is once its deletion was asked for; itself when that changes nothing."""
    result = _with_finalizers(current, request.propagation)
    if is_deleting(current):
        return _shortened(result, request.grace)
    grace = _grace(current, request.grace)
    generation = metadata(current).get("generation")
    grown = {"generation": generation + 1} if isinstance(generation, int) else {}
    return with_metadata(
        _terminating(result),
        deletionTimestamp=rfc3339(now + grace),
        deletionGracePeriodSeconds=grace,
        **grown,
    )


def _with_finalizers(current: Manifest, propagation: str) -> Manifest:
    if not propagation:
        return current
    before = finalizers_of(current)
    wanted = [one for one in before if one not in (FOREGROUND, ORPHAN)]
    if propagation in _PROPAGATION_FINALIZERS:
        wanted.append(_PROPAGATION_FINALIZERS[propagation])
    return current if sorted(wanted) == sorted(before) else with_metadata(current, finalizers=wanted)


def _terminating(manifest: Manifest) -> Manifest:
    if manifest.get("kind") != "Namespace":
        return manifest
    return {**manifest, "status": {**section(manifest, "status"), "phase": "Terminating"}}


def _grace(pod: Manifest, asked: int | None) -> int:
    """Seconds for an object whose deletion begins; only a Pod that may have processes has any."""
    spec, status = section(pod, "spec"), section(pod, "status")
    if pod.get("kind") != "Pod" or not spec.get("nodeName") or status.get("phase") in _OVER:
        return 0
    own = spec.get("terminationGracePeriodSeconds", DEFAULT_POD_GRACE)
    grace = own if asked is None else asked
    # Kubernetes: a negative period means the shortest that is still graceful.
    return 1 if not isinstance(grace, int) or grace < 0 else min(grace, LONGEST_GRACE)


def _shortened(current: Manifest, asked: int | None) -> Manifest:
    """A deletion that is under way may only become faster."""
    meta = metadata(current)
    before = meta.get("deletionGracePeriodSeconds")
    if asked is None or not isinstance(before, int) or not 0 <= asked < before:
        return current
    ends_at = datetime.strptime(str(meta["deletionTimestamp"]), "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    sooner = rfc3339(ends_at.timestamp() - before + asked)
    return with_metadata(current, deletionTimestamp=sooner, deletionGracePeriodSeconds=asked)
