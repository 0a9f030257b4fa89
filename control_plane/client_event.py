"""What a watch of a Kubernetes-shaped API server tells."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from control_plane.client_error import error_of
from control_plane.resources.manifest import (
    Manifest,
    ObjectKey,
    key_of,
    metadata,
    resource_version_of,
    section,
)

BOOKMARK = "BOOKMARK"
"""The type of a watch event that tells no change, only how far the watch is."""


@dataclass(frozen=True, slots=True)
class WatchEvent:
    """One change. `type` is `"ADDED"`, `"MODIFIED"` or `"DELETED"` (then `object` is the last state), or
    `BOOKMARK`."""

    type: str
    object: Manifest


def watch_event(line: object) -> WatchEvent:
    """Raises the error an ERROR event carries."""
    event = line if isinstance(line, dict) else {}
    content = section(event, "object")
    if event.get("type") == "ERROR":
        code = content.get("code")
        raise error_of(code if isinstance(code, int) else 500, json.dumps(content).encode())
    return WatchEvent(str(event.get("type")), content)


def differences(known: Mapping[ObjectKey, Manifest], items: Sequence[Manifest]) -> Sequence[WatchEvent]:
    """What turns `known` into `items`. An object that was replaced by another of its name is told as both."""
    events = []
    present = {key_of(item): item for item in items}
    for key, old in known.items():
        new = present.get(key)
        if new is None or metadata(new).get("uid") != metadata(old).get("uid"):
            events.append(WatchEvent("DELETED", old))
    for key, item in present.items():
        before = known.get(key)
        if before is None or metadata(item).get("uid") != metadata(before).get("uid"):
            events.append(WatchEvent("ADDED", item))
        elif resource_version_of(item) != resource_version_of(before):
            events.append(WatchEvent("MODIFIED", item))
    return events
