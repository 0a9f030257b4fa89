"""JSON objects as they come: read without trust in their shape (pure)."""

from collections.abc import Mapping
from typing import cast

Manifest = dict[str, object]
"""One object as JSON."""


def section(holder: Mapping[str, object], field: str) -> dict[str, object]:
    """An object inside another; empty when it is missing or something else."""
    value = holder.get(field)
    return value if isinstance(value, dict) else {}


def texts(holder: Mapping[str, object], field: str) -> dict[str, str]:
    """Labels or annotations."""
    return cast("dict[str, str]", section(holder, field))


def objects(holder: Mapping[str, object], field: str) -> list[dict[str, object]]:
    """A list of objects; empty when it is missing or something else."""
    value = holder.get(field)
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def containers(spec: Mapping[str, object]) -> list[dict[str, object]]:
    """All of a pod, in the order they start."""
    return [*objects(spec, "initContainers"), *objects(spec, "containers")]


def pod_name(pod: Mapping[str, object]) -> str:
    """`namespace/name`; pods of a controller may have but a prefix of a name yet."""
    metadata = section(pod, "metadata")
    name = metadata.get("name") or metadata.get("generateName", "")
    return f"{metadata.get('namespace') or 'default'}/{name}"
