"""Who controls an object, and what changes that (pure).

A controller takes objects that its selector matches and that nobody controls, and lets go of its own that
the selector matches no longer: so a person relabels a pod to take it out of service and look at it.
"""

from collections.abc import Iterable, Sequence
from typing import TypeVar

from control_plane.resources.base import Resource
from control_plane.resources.label_selector import LabelSelector
from control_plane.resources.manifest import Manifest, key_of, metadata, objects
from lab.controllers.action import Patch

Kind = TypeVar("Kind", bound=Resource)


def controller_reference(owner: Manifest) -> Manifest:
    """The entry of `ownerReferences` that says `owner` made it and keeps it."""
    meta = metadata(owner)
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": meta["name"],
        "uid": meta["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def controller_uid(resource: Resource) -> str:
    """Empty when nobody controls it."""
    return next((one.uid for one in resource.metadata.owner_references if one.controller), "")


def claim(
    owner: Manifest, selector: LabelSelector, candidates: Iterable[tuple[Kind, Manifest]]
) -> tuple[list[Kind], tuple[Patch, ...]]:
    """Those that are `owner`'s now, and the patches that take in others or let go of some.

    `candidates` are objects of its namespace that it controls or that its selector may match. An owner that
    is being deleted changes nothing, and what is being deleted is not taken in.
    """
    meta = metadata(owner)
    uid, is_going = str(meta["uid"]), bool(meta.get("deletionTimestamp"))
    owned: list[Kind] = []
    patches: list[Patch] = []
    for resource, manifest in candidates:
        holder, matches = controller_uid(resource), selector.matches(resource.metadata.labels)
        if holder == uid and (matches or is_going):
            owned.append(resource)
        elif holder == uid:
            patches.append(_patch(manifest, [o for o in _references(manifest) if o.get("uid") != uid]))
        elif not holder and matches and not is_going and not resource.metadata.deletion_timestamp:
            patches.append(_patch(manifest, [*_references(manifest), controller_reference(owner)]))
    return owned, tuple(patches)


def _references(manifest: Manifest) -> list[Manifest]:
    return objects(metadata(manifest), "ownerReferences")


def _patch(manifest: Manifest, references: Sequence[Manifest]) -> Patch:
    meta = metadata(manifest)
    pinned: Manifest = {field: meta[field] for field in ("uid", "resourceVersion") if field in meta}
    return Patch(key_of(manifest), {"metadata": {**pinned, "ownerReferences": [*references]}})
