"""What Namespaces need from controllers where the API server leaves it to them, as Kubernetes' does.

Each one has the ConfigMap `kube-root-ca.crt`, by which its Pods know the API server; and one that is being
deleted (finalizer `kubernetes` in its spec) is emptied of the kinds known here, then let go.
"""

from collections.abc import Iterable

from control_plane.client import ApiClient, NotFound
from control_plane.resources.manifest import Manifest, ObjectKey, key_of, metadata, section, uid_of
from control_plane.resources.registry import KINDS, ResourceKind
from lab.controllers.action import Create, Delete, Patch
from lab.controllers.cache import Change
from lab.controllers.reconciler import Workplace

ROOT_CONFIG_MAP = "kube-root-ca.crt"
_KEY = "ca.crt"
_FINALIZER = "kubernetes"
_AGAIN = 0.5
"""Seconds before it is looked whether a Namespace has become empty."""


class Namespaces:
    """Their beginning and their end."""

    name = "namespace"

    def __init__(self, place: Workplace, client: ApiClient, ca_pem: str) -> None:
        """`ca_pem`: by which the API server is verified; empty: nothing is published."""
        self._place = place
        self._client = client
        self._data = {_KEY: ca_pem} if ca_pem else {}

    def affected(self, change: Change) -> Iterable[ObjectKey]:
        if change.key.kind == "Namespace" and change.new is not None:
            yield change.key
        elif change.key.kind == "ConfigMap" and change.key.name == ROOT_CONFIG_MAP:
            yield ObjectKey("Namespace", "", change.key.namespace)

    async def reconcile(self, key: ObjectKey) -> float | None:
        namespace = self._place.cache.manifest(key)
        if namespace is None:
            return None
        if metadata(namespace).get("deletionTimestamp"):
            return await self._end(namespace) if _waits_for_controllers(namespace) else None
        if self._data:
            await self._publish(key.name)
        return None

    async def _publish(self, namespace: str) -> None:
        key = ObjectKey("ConfigMap", namespace, ROOT_CONFIG_MAP)
        known = self._place.cache.manifest(key)
        if known is None:
            meta = {"name": ROOT_CONFIG_MAP, "namespace": namespace}
            made: Manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": self._data}
            await self._place.writer.perform([Create(made)])
        elif section(known, "data") != self._data:
            others = dict.fromkeys(section(known, "data"))
            await self._place.writer.perform([Patch(key, {"data": {**others, **self._data}})])

    async def _end(self, namespace: Manifest) -> float | None:
        name = str(metadata(namespace)["name"])
        left = [one for kind in KINDS if kind.namespaced for one in await self._content(kind, name)]
        going = [one for one in left if not metadata(one).get("deletionTimestamp")]
        await self._place.writer.perform(Delete(key_of(one), uid_of(one)) for one in going)
        if left:
            return _AGAIN
        spec = {**section(namespace, "spec"), "finalizers": []}
        await self._client.finalize({**namespace, "spec": spec})
        return None

    async def _content(self, kind: ResourceKind, namespace: str) -> list[Manifest]:
        """Of a kind that the server may not have."""
        try:
            return (await self._client.list(kind.kind, namespace)).items
        except NotFound:
            return []


def _waits_for_controllers(namespace: Manifest) -> bool:
    found = section(namespace, "spec").get("finalizers")
    return isinstance(found, list) and _FINALIZER in found
