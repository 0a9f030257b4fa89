"""Does what plans say, and lets the cache know what came of it."""

from collections.abc import Callable, Iterable

from control_plane.client import ApiClient, NotFound
from control_plane.resources.manifest import (
    Manifest,
    key_of,
    kind_of,
    metadata,
    name_of,
    namespace_of,
    resource_version_of,
    section,
    uid_of,
    with_metadata,
)
from lab.controllers.action import (
    Action,
    Bind,
    Create,
    Delete,
    Patch,
    Record,
    Update,
    UpdateStatus,
)
from lab.controllers.cache import ObjectCache


class Writer:
    """One for all controllers."""

    def __init__(self, client: ApiClient, cache: ObjectCache, tell: Callable[[Record], None]) -> None:
        """`tell` takes Events; it does not wait for them to be written."""
        self._client = client
        self._cache = cache
        self._tell = tell

    async def perform(self, actions: Iterable[Action]) -> list[Manifest]:
        """In order; returns the objects that were created. Raises ApiError, httpx.TransportError: what comes
        after has then not been done."""
        created: list[Manifest] = []
        versions: dict[str, str] = {}
        for action in actions:
            await self._perform(action, versions, created)
        return created

    async def _perform(self, action: Action, versions: dict[str, str], created: list[Manifest]) -> None:
        match action:
            case Create():
                created.append(self._note(await self._client.create(action.manifest), versions))
            case Update():
                self._note(await self._client.update(_current(action.manifest, versions)), versions)
            case UpdateStatus():
                self._note(await self._client.update_status(self._newest(action, versions)), versions)
            case Patch():
                key = action.key
                self._note(
                    await self._client.patch(key.kind, key.name, key.namespace, action.patch), versions
                )
            case Delete():
                await self._delete(action)
            case Bind():
                await self._bind(action, versions)
            case Record():
                self._tell(action)

    def _newest(self, action: UpdateStatus, versions: dict[str, str]) -> Manifest:
        """On what our own writes have made of the object: Kubernetes takes annotations from here too."""
        known = self._cache.manifest(key_of(action.manifest))
        if known is None or uid_of(known) not in versions:
            return action.manifest
        return {**known, "status": action.manifest["status"]}

    def _note(self, manifest: Manifest, versions: dict[str, str]) -> Manifest:
        versions[uid_of(manifest)] = resource_version_of(manifest)
        self._cache.put(manifest)
        return manifest

    async def _delete(self, action: Delete) -> None:
        """One that only begins to go stays known as such: it is there until the API says otherwise."""
        key = action.key
        try:
            answer = await self._client.delete(
                key.kind, key.name, key.namespace, uid=action.uid, propagation=action.propagation
            )
        except NotFound:
            answer = {}
        if kind_of(answer) == key.kind and metadata(answer).get("deletionTimestamp"):
            self._cache.put(answer)
        else:
            self._cache.forget(key, action.uid)

    async def _bind(self, action: Bind, versions: dict[str, str]) -> None:
        pod = _current(action.pod, versions)
        await self._client.bind(
            name_of(pod),
            namespace_of(pod),
            action.node,
            uid=uid_of(pod),
            resource_version=resource_version_of(pod),
        )
        known = self._cache.manifest(key_of(pod))
        if known is None or uid_of(known) != uid_of(pod) or section(known, "spec").get("nodeName"):
            return
        # The next of its siblings may be placed before the API has told of this one.
        self._cache.assume({**known, "spec": {**section(known, "spec"), "nodeName": action.node}})


def _current(manifest: Manifest, versions: dict[str, str]) -> Manifest:
    """On the version that our own writes of the same plan have made."""
    newer = versions.get(uid_of(manifest))
    return manifest if newer is None else with_metadata(manifest, resourceVersion=newer)
