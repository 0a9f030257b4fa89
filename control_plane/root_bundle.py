"""Publishes the trust bundle: ConfigMap `meshproxy-root-bundle` in every Namespace, kept right.

A new pod learns from it whom to believe before it has an identity of its own. Whoever changes or deletes a
copy gets it back; the store is followed by its events, and listed again after `HistoryGone`.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from control_plane.resources.manifest import Manifest, ObjectKey, name_of, section
from control_plane.store.api import (
    EventType,
    HistoryGone,
    NamespaceTerminating,
    ObjectExists,
    ObjectNotFound,
    ObjectStore,
    StoreClosed,
    StoreEvent,
    VersionConflict,
    WriteRefused,
)

CONFIG_MAP: Final = "meshproxy-root-bundle"
KEY: Final = "root-cert.pem"

_RELIST_DELAY: Final = 1.0
"""Seconds before listing again after the history was gone, so that a busy store is not listed without pause.
"""

_log = logging.getLogger(__name__)


class RootBundlePublisher:
    """Follows Namespaces and the published copies. `run()` ends with the store, or by cancellation."""

    def __init__(self, store: ObjectStore, root_pem: bytes) -> None:
        self._store = store
        self._data: Final = {KEY: root_pem.decode()}

    async def run(self) -> None:
        """Publish everywhere, then keep it so."""
        while True:
            try:
                namespaces = await self._store.list("Namespace")
                await self.publish_everywhere(namespaces.items)
                await self._follow(namespaces.resource_version)
                return
            except StoreClosed:
                return
            except HistoryGone as exc:
                _log.warning("root bundle: %s; listing again", exc)
                await asyncio.sleep(_RELIST_DELAY)

    async def publish_everywhere(self, namespaces: list[Manifest]) -> None:
        """One copy into each of `namespaces`."""
        for namespace in namespaces:
            await self.publish(name_of(namespace))

    async def publish(self, namespace: str) -> None:
        """Create or correct the copy of one namespace; nothing when that namespace is gone or the copy is
        right.
        """
        wanted = self._manifest(namespace)
        try:
            current = await self._store.get("ConfigMap", namespace, CONFIG_MAP)
            if section(current, "data") != self._data:
                await self._store.update(wanted)
        except ObjectNotFound:
            await self._create(wanted)
        except WriteRefused as exc:
            _log.error("root bundle: %s", exc)
        except VersionConflict:  # somebody else writes too: their event brings us back
            _log.debug("root bundle of %s changed meanwhile", namespace)

    async def _create(self, wanted: Manifest) -> None:
        try:
            await self._store.create(wanted)
        except (ObjectExists, ObjectNotFound, NamespaceTerminating) as exc:
            _log.debug("root bundle: %s", exc)  # raced with another writer, or the namespace goes
        except WriteRefused as exc:
            _log.error("root bundle: %s", exc)

    async def _follow(self, since: int) -> None:
        stream = self._store.events(since, {"Namespace", "ConfigMap"})
        try:
            async for event in stream:
                if (namespace := _namespace_to_mend(event)) is not None:
                    await self.publish(namespace)
        finally:
            stream.close()

    def _manifest(self, namespace: str) -> Manifest:
        return {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": CONFIG_MAP, "namespace": namespace},
            "data": dict(self._data),
        }


def _namespace_to_mend(event: StoreEvent) -> str | None:
    match event.type, event.key:
        case EventType.ADDED, ObjectKey(kind="Namespace", name=name):
            return name
        case EventType.MODIFIED | EventType.DELETED, ObjectKey("ConfigMap", namespace, name) if (
            name == CONFIG_MAP
        ):
            return namespace
        case _:
            return None
