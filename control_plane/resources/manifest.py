"""Reading the envelope of an object as it travels: a plain dict of JSON values (pure).

A `Manifest` is never changed after it was handed to a store, a watcher or a client: who wants another copies.
"""

from collections.abc import Mapping
from typing import NamedTuple, TypeAlias

Manifest: TypeAlias = dict[str, object]
"""One object as JSON: `{"apiVersion": …, "kind": …, "metadata": {…}, …}`."""


class ObjectKey(NamedTuple):
    """What names one object. `namespace` is empty for cluster-wide kinds."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"


def section(manifest: Mapping[str, object], field: str) -> dict[str, object]:
    """The object under `field`; empty when it is absent or not an object. Not a copy."""
    value = manifest.get(field)
    return value if isinstance(value, dict) else {}


def objects(manifest: Mapping[str, object], field: str) -> list[Manifest]:
    """The objects of the list under `field`; empty when it is absent or not a list."""
    value = manifest.get(field)
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def metadata(manifest: Mapping[str, object]) -> dict[str, object]:
    """`metadata`; empty when absent."""
    return section(manifest, "metadata")


def _text(values: Mapping[str, object], field: str) -> str:
    value = values.get(field)
    return value if isinstance(value, str) else ""


def kind_of(manifest: Mapping[str, object]) -> str:
    """`kind`, else an empty string."""
    return _text(manifest, "kind")


def name_of(manifest: Mapping[str, object]) -> str:
    """`metadata.name`, else an empty string."""
    return _text(metadata(manifest), "name")


def namespace_of(manifest: Mapping[str, object]) -> str:
    """`metadata.namespace`, else an empty string."""
    return _text(metadata(manifest), "namespace")


def uid_of(manifest: Mapping[str, object]) -> str:
    """`metadata.uid`, else an empty string."""
    return _text(metadata(manifest), "uid")


def resource_version_of(manifest: Mapping[str, object]) -> str:
    """`metadata.resourceVersion` as it travels (a decimal string), else an empty string."""
    return _text(metadata(manifest), "resourceVersion")


def key_of(manifest: Mapping[str, object]) -> ObjectKey:
    """Kind, namespace and name of the object."""
    return ObjectKey(kind_of(manifest), namespace_of(manifest), name_of(manifest))


def labels_of(manifest: Mapping[str, object]) -> dict[str, str]:
    """`metadata.labels`; empty when absent. Not a copy."""
    labels = metadata(manifest).get("labels")
    return labels if isinstance(labels, dict) else {}


def with_metadata(manifest: Manifest, **fields: object) -> Manifest:
    """A copy with the given metadata fields set (names as on the wire, e.g. `resourceVersion`)."""
    return {**manifest, "metadata": {**metadata(manifest), **fields}}
