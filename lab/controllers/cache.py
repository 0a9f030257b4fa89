"""The last known state of the objects that controllers look at, with indexes: who is whose, who selects whom.

Our own writes are put in when they are answered, before their events arrive, so that nothing is done twice.
Every question is answered from an index: work for one object must not grow with the number of all.
"""

import logging
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from typing import NamedTuple, TypeVar

from control_plane.resources.base import Resource
from control_plane.resources.invalid import InvalidResource
from control_plane.resources.manifest import (
    Manifest,
    ObjectKey,
    key_of,
    kind_of,
    labels_of,
    metadata,
    namespace_of,
    objects,
    resource_version_of,
    section,
    uid_of,
)

_log = logging.getLogger(__name__)

Kind = TypeVar("Kind", bound=Resource)
_LABELLED = ("Pod", "ReplicaSet")
"""Kinds that are looked for by labels."""
_SELECTORS: dict[str, Callable[[Manifest], Mapping[str, object]]] = {
    "Service": lambda spec: section(spec, "selector"),
    "ReplicaSet": lambda spec: section(section(spec, "selector"), "matchLabels"),
    "Deployment": lambda spec: section(section(spec, "selector"), "matchLabels"),
}
_MOST_GONE = 10_000
"""Objects whose end is remembered: far more than go while one answer is on its way."""
_OF_SERVICE = "kubernetes.io/service-name"


class Change(NamedTuple):
    """An object came (`old` is None), went (`new` is None) or changed."""

    key: ObjectKey
    old: Manifest | None
    new: Manifest | None

    @property
    def sides(self) -> tuple[Manifest, ...]:
        """What there is of old and new."""
        return tuple(one for one in (self.old, self.new) if one is not None)


class ObjectCache:
    """Objects by key. `on_change` is told of each change as it becomes known."""

    def __init__(self, on_change: Callable[[Change], None] = lambda change: None) -> None:
        self._objects: dict[ObjectKey, Manifest] = {}
        self._parsed: dict[ObjectKey, Resource | None] = {}
        self._index: defaultdict[Hashable, dict[ObjectKey, None]] = defaultdict(dict)
        self._gone: dict[str, None] = {}
        """uids of objects that are gone: neither a late event nor a late answer may bring them back."""
        self.on_change = on_change

    # --- changing -------------------------------------------------------------------------------------------

    def put(self, manifest: Manifest) -> None:
        """Remember unless something newer is known."""
        known = self._objects.get(key_of(manifest))
        if uid_of(manifest) in self._gone:
            return
        if known is not None and int(resource_version_of(known)) >= int(resource_version_of(manifest)):
            return
        self._replace(key_of(manifest), manifest)

    def assume(self, manifest: Manifest) -> None:
        """Remember what we know to be so now, until the API tells the version that says it."""
        self._replace(key_of(manifest), manifest)

    def drop(self, manifest: Manifest) -> None:
        """It is gone; another one of its name may have come since."""
        self.forget(key_of(manifest), uid_of(manifest))

    def forget(self, key: ObjectKey, uid: str) -> None:
        """Nothing of it is left."""
        self._gone[uid] = None
        if len(self._gone) > _MOST_GONE:
            del self._gone[next(iter(self._gone))]
        known = self._objects.get(key)
        if known is not None and uid_of(known) == uid:
            self._replace(key, None)

    def _replace(self, key: ObjectKey, new: Manifest | None) -> None:
        old = self._objects.pop(key, None)
        self._parsed.pop(key, None)
        for entry in _entries(old):
            found = self._index[entry]
            found.pop(key, None)
            if not found:
                del self._index[entry]
        if new is not None:
            self._objects[key] = new
        for entry in _entries(new):
            self._index[entry][key] = None
        self.on_change(Change(key, old, new))

    # --- asking ---------------------------------------------------------------------------------------------

    def manifest(self, key: ObjectKey) -> Manifest | None:
        """None when it is not known."""
        return self._objects.get(key)

    def typed(self, model: type[Kind], key: ObjectKey) -> Kind | None:
        """None when it is not known, or is not valid, which is logged once."""
        if key not in self._parsed:
            self._parsed[key] = self._parse(model, key)
        found = self._parsed[key]
        return found if isinstance(found, model) else None

    def _parse(self, model: type[Resource], key: ObjectKey) -> Resource | None:
        manifest = self._objects.get(key)
        if manifest is None:
            return None
        try:
            return model.read(manifest)
        except InvalidResource as error:
            _log.warning("%s is left alone: %s", key, error)
            return None

    def both(self, model: type[Kind], keys: Iterable[ObjectKey]) -> Iterator[tuple[Kind, Manifest]]:
        """Those of the kind that are known and valid."""
        for key in keys:
            if key.kind == model.KIND and (found := self.typed(model, key)) is not None:
                yield found, self._objects[key]

    def all_of(self, kind: str, namespace: str | None = None) -> list[ObjectKey]:
        """Keys of a kind, of one namespace or of all."""
        return self._find("in", kind, namespace)

    def owned_by(self, uid: str) -> list[ObjectKey]:
        """Whose `ownerReferences` name it, as controller or not."""
        return self._find("owner", uid)

    def by_uid(self, uid: str) -> ObjectKey | None:
        return next(iter(self._find("uid", uid)), None)

    def labelled(self, kind: str, namespace: str, labels: Mapping[str, str]) -> list[ObjectKey]:
        """Objects with all these labels; with none, every one of the namespace."""
        if not labels:
            return self.all_of(kind, namespace)
        sets = sorted(
            (self._index.get(("label", kind, namespace, *pair), {}) for pair in labels.items()), key=len
        )
        return [key for key in sets[0] if all(key in other for other in sets[1:])]

    def selecting(self, kind: str, namespace: str, labels: Mapping[str, str]) -> list[ObjectKey]:
        """Objects of a kind whose `matchLabels`, or Service selector, these labels may satisfy: at least one
        of the pairs is there."""
        found: dict[ObjectKey, None] = dict.fromkeys(self._find("any", kind, namespace))
        for pair in labels.items():
            found |= dict.fromkeys(self._find("selector", kind, namespace, *pair))
        return list(found)

    def on_node(self, node: str) -> list[ObjectKey]:
        """Pods bound to it."""
        return self._find("node", node)

    def count_on_node(self, node: str, controller: str = "") -> int:
        """Pods bound to it: all, or those of one controller."""
        return len(self._index.get(("siblings", controller, node) if controller else ("node", node), ()))

    def unbound(self) -> list[ObjectKey]:
        """Pods without a node."""
        return self._find("node", "")

    def slices_of(self, namespace: str, service: str) -> list[ObjectKey]:
        """EndpointSlices with the label of a Service."""
        return self._find("slice", namespace, service)

    def _find(self, *entry: Hashable) -> list[ObjectKey]:
        return list(self._index.get(entry, ()))


def _entries(manifest: Manifest | None) -> Iterator[tuple[Hashable, ...]]:
    """Under which an object is found."""
    if manifest is None:
        return
    kind, namespace, uid = kind_of(manifest), namespace_of(manifest), uid_of(manifest)
    yield ("in", kind, namespace)
    yield ("in", kind, None)
    yield ("uid", uid)
    for owner in objects(metadata(manifest), "ownerReferences"):
        yield ("owner", owner.get("uid"))
    if kind in _LABELLED:
        yield from (("label", kind, namespace, *pair) for pair in labels_of(manifest).items())
    if kind in _SELECTORS:
        yield _selector_entry(kind, namespace, section(manifest, "spec"))
    if kind == "Pod":
        yield from _pod_entries(manifest)
    if kind == "EndpointSlice":
        yield ("slice", namespace, labels_of(manifest).get(_OF_SERVICE, ""))


def _selector_entry(kind: str, namespace: str, spec: Manifest) -> tuple[Hashable, ...]:
    """One pair of the selector is enough to find it. A Service without a selector selects nothing, others
    without pairs may select anything."""
    pairs = sorted(_SELECTORS[kind](spec).items())
    if pairs:
        return ("selector", kind, namespace, *map(str, pairs[0]))
    return ("none", kind, namespace) if kind == "Service" else ("any", kind, namespace)


def _pod_entries(manifest: Manifest) -> Iterator[tuple[Hashable, ...]]:
    """Those that have ended take up no place."""
    if section(manifest, "status").get("phase") in ("Succeeded", "Failed"):
        return
    node = str(section(manifest, "spec").get("nodeName") or "")
    yield ("node", node)
    if node and not metadata(manifest).get("deletionTimestamp"):  # its successor may come where it was
        owners = objects(metadata(manifest), "ownerReferences")
        yield from (("siblings", one.get("uid"), node) for one in owners if one.get("controller"))
