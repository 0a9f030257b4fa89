"""YAML manifests as an ordered list of objects to apply (pure): what is declared, where, and what is wrong.

Every object is checked against its model before anything is applied, and errors name the file, the number of
the document in it, the object and the field.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePath

import yaml

from control_plane.resources.invalid import InvalidResource
from control_plane.resources.manifest import Manifest, ObjectKey, key_of, kind_of, name_of, with_metadata
from control_plane.resources.registry import BY_KIND, parse

DEFAULT_NAMESPACE = "default"
_FIRST = ("Namespace", "Node", "ServiceAccount", "ConfigMap", "Secret", "Service", "EndpointSlice")
_LAST = ("Deployment", "Pod")
"""What others refer to comes first, so that Pods start into a world that is complete."""


class TopologyError(ValueError):
    """A manifest that cannot be applied."""


@dataclass(frozen=True, slots=True)
class Source:
    """One file, already read."""

    path: PurePath
    text: str


@dataclass(frozen=True, slots=True)
class Declared:
    """One object and where it was declared."""

    manifest: Manifest
    place: str
    """E.g. `shop.yaml, document 2`."""


def read_topology(sources: Iterable[Source]) -> list[Declared]:
    """All objects in the order to apply them. Raises TopologyError."""
    declared = [entry for source in sources for entry in _documents(source)]
    _check_unique(declared)
    return sorted(declared, key=lambda entry: _rank(kind_of(entry.manifest)))


def _rank(kind: str) -> int:
    """Everything else, routes and policies, stands between."""
    if kind in _FIRST:
        return _FIRST.index(kind)
    return len(_FIRST) + (1 + _LAST.index(kind) if kind in _LAST else 0)


def _documents(source: Source) -> list[Declared]:
    try:
        documents = list(yaml.safe_load_all(source.text))
    except yaml.YAMLError as error:
        raise TopologyError(f"{source.path}: not YAML: {error}") from error
    found = []
    for number, document in enumerate(documents, start=1):
        if document is not None:  # an empty document, e.g. after a last `---`
            place = f"{source.path}, document {number}"
            found += [_declared(item, where) for item, where in _items(document, place)]
    return found


def _items(document: object, place: str) -> list[tuple[object, str]]:
    """The objects of a `List`, as `get -o yaml` prints them; of anything else itself."""
    if not isinstance(document, dict) or document.get("kind") != "List":
        return [(document, place)]
    items = document.get("items", [])
    if not isinstance(items, list):
        raise TopologyError(f"{place}: List: items: must be a list, not {items!r:.80}")
    return [(item, f"{place}, items[{number}]") for number, item in enumerate(items)]


def _declared(document: object, place: str) -> Declared:
    if not isinstance(document, dict):
        raise TopologyError(f"{place}: must be an object with apiVersion and kind, not {document!r:.80}")
    entry = BY_KIND.get(kind_of(document))
    if entry is None:
        raise TopologyError(
            f"{place}: kind {document.get('kind')!r} is not served; served are {', '.join(sorted(BY_KIND))}"
        )
    if not name_of(document):
        raise TopologyError(f"{place}: {entry.kind}: metadata.name: required")
    if entry.namespaced and not key_of(document).namespace:
        document = with_metadata(document, namespace=DEFAULT_NAMESPACE)
    try:
        parse(document)
    except InvalidResource as error:
        raise TopologyError(f"{place}: {error}") from error
    return Declared(document, place)


def _check_unique(declared: Sequence[Declared]) -> None:
    seen: dict[ObjectKey, str] = {}
    for entry in declared:
        key = key_of(entry.manifest)
        if key in seen:
            raise TopologyError(f"{entry.place}: {key} is declared already in {seen[key]}")
        seen[key] = entry.place
