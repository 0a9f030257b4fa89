"""JSON merge patch, RFC 7396 (pure)."""

from collections.abc import Mapping

from control_plane.resources.manifest import Manifest


def merge(target: Mapping[str, object], patch: Mapping[str, object]) -> Manifest:
    """`target` with `patch` applied: objects merge, null removes, anything else replaces. Changes neither."""
    result = dict(target)
    for field, value in patch.items():
        if value is None:
            result.pop(field, None)
        elif isinstance(value, dict):
            current = result.get(field)
            result[field] = merge(current if isinstance(current, dict) else {}, value)
        else:
            result[field] = value
    return result
