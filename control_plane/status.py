"""Writes back to routes what became of them: `status.parents[].conditions`, in the Gateway API's words.

`attachment/condition.py` decides (pure); `StatusWriter` stores it, only where something changed.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping

from control_plane import gateway_status
from control_plane.attachment.condition import Conditions, service_parent_conditions
from control_plane.attachment.gateway_listener import gateway_parent_conditions
from control_plane.discovery.parse_route import parse_route
from control_plane.discovery.registry import Registry
from control_plane.discovery.route import ObjectRef, Route
from control_plane.entry_status import write_entry_status
from control_plane.peer_authentication_status import write_peer_authentication_status
from control_plane.policy.attachment import POLICY_KINDS
from control_plane.policy_status import CONTROLLER_NAME, write_policy_status
from control_plane.refusal import Refusal, write_refusal
from control_plane.resources.manifest import Manifest, ObjectKey, objects, section
from control_plane.resources.peer_authentication import PeerAuthentication
from control_plane.resources.route_reference import MAX_PARENTS, ParentReference
from control_plane.resources.service import Service
from control_plane.resources.service_entry import ServiceEntry
from control_plane.resources.status_condition import dated, undated
from control_plane.resources.timestamp import rfc3339
from control_plane.service_status import write_service_status
from control_plane.status_write import write_back
from control_plane.store.api import ObjectStore

WRITERS: Mapping[str, Callable[[ObjectKey, Registry, ObjectStore, Callable[[], float]], Awaitable[bool]]] = {
    **dict.fromkeys(POLICY_KINDS, write_policy_status),
    **dict.fromkeys(gateway_status.KINDS, gateway_status.write_gateway_status),
    Service.KIND: write_service_status,
    ServiceEntry.KIND: write_entry_status,
    PeerAuthentication.KIND: write_peer_authentication_status,
}
"""By kind; every other one is a route's."""


def parent_statuses(route: Route, registry: Registry) -> tuple[Conditions, ...]:
    """Conditions per parent that is ours to judge, in the order of `spec.parentRefs`."""
    return tuple(
        service_parent_conditions(route, number, registry)
        if ref.is_service
        else gateway_parent_conditions(route, number, registry)
        for number, ref in enumerate(route.parents)
        if is_judged(ref, registry)
    )


def is_judged(ref: ObjectRef, registry: Registry) -> bool:
    """Services, and Gateways of our classes."""
    gateway = registry.gateways.gateways.get(ref.key) if ref.is_gateway else None
    return ref.is_service or (gateway is not None and registry.gateways.is_ours(gateway))


class StatusWriter:
    """Brings the stored status of routes and policies up to date with the registry."""

    def __init__(self, store: ObjectStore, now: Callable[[], float]) -> None:
        """`now`: seconds since the epoch."""
        self._store = store
        self._now = now
        self.writes = 0

    async def write(self, routes: Collection[ObjectKey], registry: Registry) -> frozenset[ObjectKey]:
        """Update the status of `routes`; returns those that changed meanwhile and must be tried again."""
        return frozenset({key for key in sorted(routes) if not await self._write_one(key, registry)})

    async def refuse(self, refusals: Collection[Refusal], registry: Registry) -> frozenset[ObjectKey]:
        """Tell those whose objects were not understood; returns what `write` does."""
        told = {one.key: await write_refusal(one, registry, self._store, self._now) for one in refusals}
        return frozenset(key for key, is_done in told.items() if not is_done)

    async def _write_one(self, key: ObjectKey, registry: Registry) -> bool:
        """False when it must be tried again."""
        write = WRITERS.get(key.kind)
        if write is not None:
            return await write(key, registry, self._store, self._now)
        route = registry.routes.get(key)
        if route is None:
            return True

        def judge(stored: Manifest) -> Manifest | None:
            parsed, refs = parse_route(stored)
            if parsed != route:
                return None  # another one is on its way to the registry, and then comes here
            updated = self._with_status(stored, refs, route, registry)
            self.writes += updated is not None
            return updated

        return await write_back(key, self._store, judge)

    def _with_status(
        self, stored: Manifest, refs: tuple[ParentReference, ...], route: Route, registry: Registry
    ) -> Manifest | None:
        """The object with its new status; None when it says the same already."""
        status = section(stored, "status")
        old = objects(status, "parents")
        judged = [ref for ref, parsed in zip(refs, route.parents, strict=True) if is_judged(parsed, registry)]
        own: list[Manifest] = []
        for ref, conditions in zip(judged, parent_statuses(route, registry), strict=True):
            parent = _parent_reference(ref)
            before = next((entry for entry in old if _is_own(entry) and entry.get("parentRef") == parent), {})
            own.append(self._parent_entry(parent, conditions, before, route.generation))
        others = [entry for entry in old if not _is_own(entry)][: MAX_PARENTS - len(own)]
        parents = others + own
        return None if parents == old else {**stored, "status": {**status, "parents": parents}}

    def _parent_entry(
        self, parent: Manifest, conditions: Conditions, before: Manifest, generation: int
    ) -> Manifest:
        found = [undated(one.type, one.status, one.reason, one.message) for one in conditions]
        entries = dated(found, before, generation, rfc3339(self._now()))
        return {"parentRef": parent, "controllerName": CONTROLLER_NAME, "conditions": entries}


def _is_own(entry: Manifest) -> bool:
    return entry.get("controllerName") == CONTROLLER_NAME


def _parent_reference(ref: ParentReference) -> Manifest:
    """The parentRef as the user wrote it, with kind and group said aloud."""
    given = ref.model_dump(by_alias=True, exclude_none=True)
    return {**given, "group": ref.group, "kind": ref.kind}
