"""Events of core/v1 for what a process of the lab did or saw: each told once, then counted."""

import asyncio
import logging
import time
from collections import OrderedDict, deque
from dataclasses import dataclass, field

import httpx

from control_plane.client import ApiClient, ApiError, NotFound
from control_plane.resources.manifest import Manifest, key_of, resource_version_of, uid_of
from control_plane.resources.timestamp import rfc3339

_log = logging.getLogger(__name__)

NORMAL, WARNING = "Normal", "Warning"
_LONGEST_MESSAGE = 1024
_MAX_WAITING = 512
"""Events not written yet; more than that are dropped, the oldest first."""
_MAX_KNOWN = 2048
"""Events that are counted up when they happen again."""
_LIFETIME = 3600.0
"""Seconds after which an Event is removed, as API servers do by themselves."""


@dataclass(frozen=True, slots=True)
class _Happening:
    about: Manifest
    type: str
    reason: str
    message: str
    field_path: str

    @property
    def identity(self) -> tuple[str, ...]:
        return (uid_of(self.about), self.type, self.reason, self.message, self.field_path)


@dataclass(slots=True)
class _Known:
    name: str
    namespace: str
    count: int = 1
    written_at: float = field(default_factory=time.time)


class EventRecorder:
    """Writes Events in the order they were told; never in the way of who tells."""

    def __init__(self, client: ApiClient, component: str, host: str = "") -> None:
        """`component` such as `kubelet`; `host`: the node it runs on."""
        self._client = client
        self._component = component
        self._host = host
        self._waiting: deque[_Happening] = deque(maxlen=_MAX_WAITING)
        self._known: OrderedDict[tuple[str, ...], _Known] = OrderedDict()
        self._news = asyncio.Event()
        self._last_name = 0

    def tell(self, about: Manifest, kind: str, reason: str, message: str, *, field_path: str = "") -> None:
        """`about` happened `reason`, in words `message`; `kind` is `Normal` or `Warning`.

        `field_path` names a part of it, such as `spec.containers{app}`.
        """
        self._waiting.append(_Happening(about, kind, reason, message[:_LONGEST_MESSAGE], field_path))
        self._news.set()

    async def run(self) -> None:
        """Write what is told, for ever."""
        while True:
            if not self._waiting:
                self._news.clear()
                await self._news.wait()
            try:
                await self._write(self._waiting.popleft())
                await self._forget_old()
            except (ApiError, httpx.TransportError) as error:
                _log.warning("an Event was not written: %s", error)

    async def _write(self, happening: _Happening) -> None:
        known = self._known.get(happening.identity)
        if known is not None:
            try:
                await self._count_up(known)
                return
            except NotFound:
                del self._known[happening.identity]
        await self._create(happening)

    async def _count_up(self, known: _Known) -> None:
        known.count += 1
        known.written_at = time.time()
        patch = {"count": known.count, "lastTimestamp": rfc3339(known.written_at)}
        await self._client.patch("Event", known.name, known.namespace, patch)

    async def _create(self, happening: _Happening) -> None:
        key = key_of(happening.about)
        known = _Known(self._name(key.name), key.namespace or "default")
        await self._client.create(self._manifest(happening, known))
        self._known[happening.identity] = known
        if len(self._known) > _MAX_KNOWN:
            self._known.popitem(last=False)

    def _name(self, about: str) -> str:
        # Kubernetes' own form; the clock alone is not unique.
        self._last_name = max(self._last_name + 1, time.time_ns())
        return f"{about}.{self._last_name:x}"

    def _manifest(self, happening: _Happening, known: _Known) -> Manifest:
        about, now = happening.about, rfc3339(known.written_at)
        key = key_of(about)
        reference: Manifest = {
            "apiVersion": about.get("apiVersion"),
            "kind": key.kind,
            "name": key.name,
            "uid": uid_of(about),
            "resourceVersion": resource_version_of(about),
        }
        if key.namespace:
            reference["namespace"] = key.namespace
        if happening.field_path:
            reference["fieldPath"] = happening.field_path
        source: Manifest = {"component": self._component}
        if self._host:
            source["host"] = self._host
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": known.name, "namespace": known.namespace},
            "involvedObject": reference,
            "type": happening.type,
            "reason": happening.reason,
            "message": happening.message,
            "source": source,
            "count": 1,
            "firstTimestamp": now,
            "lastTimestamp": now,
            "reportingComponent": self._component,
            "reportingInstance": self._host,
        }

    async def _forget_old(self) -> None:
        limit = time.time() - _LIFETIME
        for identity, known in list(self._known.items())[:4]:
            if known.written_at > limit:
                return
            del self._known[identity]
            try:
                await self._client.delete("Event", known.name, known.namespace)
            except NotFound:
                continue
