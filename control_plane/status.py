"""Writes back to HTTPRoutes what became of them: `status.parents[].conditions`, in the Gateway API's words.

`parent_statuses` decides (pure); `StatusWriter` stores it, only where something changed. Every message begins
with the field that it is about, because that is what its reader will edit.
"""

import logging
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from control_plane.discovery import parse
from control_plane.discovery.model import HttpRoute, ObjectName, ObjectRef, PortProtocol, ServicePort
from control_plane.discovery.registry import Registry
from control_plane.resources.http_route import MAX_PARENTS, ParentReference
from control_plane.resources.http_route import HttpRoute as HttpRouteResource
from control_plane.resources.invalid import InvalidResource
from control_plane.resources.manifest import Manifest, section
from control_plane.store.api import ObjectNotFound, Store, VersionConflict
from control_plane.translate.routes import is_routed

CONTROLLER_NAME = "meshproxy.io/control-plane"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RouteCondition:
    """One condition, without the time of its last change."""

    type: str
    status: bool
    reason: str
    message: str


def parent_statuses(route: HttpRoute, registry: Registry) -> tuple[tuple[RouteCondition, ...], ...]:
    """Conditions per parent that is ours to judge (Services), in the order of `spec.parentRefs`."""
    resolved = _resolved_refs(route, registry)
    return tuple(
        (_accepted(number, ref, registry), resolved)
        for number, ref in enumerate(route.parents)
        if ref.is_service
    )


def _accepted(number: int, ref: ObjectRef, registry: Registry) -> RouteCondition:
    field = f"spec.parentRefs[{number}]"
    problem = _parent_problem(field, ref, registry)
    if problem is not None:
        return RouteCondition("Accepted", False, "NoMatchingParent", problem)
    return RouteCondition("Accepted", True, "Accepted", f"{field}: attached to Service {ref.key}")


def _parent_problem(field: str, ref: ObjectRef, registry: Registry) -> str | None:
    service = registry.service(ref.key)
    if service is None:
        return f"{field}.name: Service {ref.key} does not exist"
    ports = [port for port in service.ports if ref.port in (None, port.number)]
    if not ports:
        return f"{field}.port: Service {ref.key} has no TCP port {ref.port}; it has {_numbers(service.ports)}"
    if not any(is_routed(port) for port in ports):
        return (
            f"{field}: port {_numbers(ports)} of Service {ref.key} is opaque by its appProtocol, name or "
            "number: its requests are not looked at; declare it http"
        )
    if not service.vip and not any(port.protocol is PortProtocol.HTTP for port in ports):
        return (
            f"{field}: Service {ref.key} is headless and its port {_numbers(ports)} undeclared: its requests "
            "are not looked at; declare it http"
        )
    return None


def _resolved_refs(route: HttpRoute, registry: Registry) -> RouteCondition:
    problems = list(_backend_problems(route, registry))
    if not problems:
        return RouteCondition("ResolvedRefs", True, "ResolvedRefs", "every backendRef names an existing port")
    text = "; ".join(message for _, message in problems) + "; their share of requests answers 500"
    return RouteCondition("ResolvedRefs", False, problems[0][0], text)


def _backend_problems(route: HttpRoute, registry: Registry) -> Iterator[tuple[str, str]]:
    """(reason, message) of every backend that nothing can be sent to."""
    for rule_number, rule in enumerate(route.rules):
        for number, backend in enumerate(rule.backends):
            field = f"spec.rules[{rule_number}].backendRefs[{number}]"
            ref = backend.ref
            if not ref.is_service:
                yield "InvalidKind", f"{field}.kind: {ref.kind} {ref.key} is not supported; name a Service"
            elif (service := registry.service(ref.key)) is None:
                yield "BackendNotFound", f"{field}.name: Service {ref.key} does not exist"
            elif all(port.number != ref.port for port in service.ports):
                problem = f"Service {ref.key} has no port {ref.port}; it has {_numbers(service.ports)}"
                yield "BackendNotFound", f"{field}.port: {problem}"


def _numbers(ports: Collection[ServicePort]) -> str:
    return ", ".join(str(port.number) for port in ports) or "none"


class StatusWriter:
    """Brings the stored status of HTTPRoutes up to date with the registry."""

    def __init__(self, store: Store, now: Callable[[], float]) -> None:
        """`now`: seconds since the epoch."""
        self._store = store
        self._now = now
        self.writes = 0

    async def write(self, routes: Collection[ObjectName], registry: Registry) -> frozenset[ObjectName]:
        """Update the status of `routes`; returns those that changed meanwhile and must be tried again."""
        again = set()
        for key in sorted(routes):
            route = registry.route(key)
            if route is not None and not await self._write_one(route, registry):
                again.add(key)
        return frozenset(again)

    async def _write_one(self, route: HttpRoute, registry: Registry) -> bool:
        try:
            stored = await self._store.get("HTTPRoute", route.key.namespace, route.key.name)
            resource = HttpRouteResource.parse(stored)
            if parse.http_route(resource) != route:
                return True  # another one is on its way to the registry, and then comes here
            updated = self._with_status(stored, resource, route, registry)
            if updated is not None:
                await self._store.update_status(updated)
                self.writes += 1
        except VersionConflict:
            return False
        except ObjectNotFound:
            _log.debug("status: HTTPRoute %s is gone", route.key)
        except InvalidResource as error:
            _log.error("status: %s", error)
        return True

    def _with_status(
        self, stored: Manifest, resource: HttpRouteResource, route: HttpRoute, registry: Registry
    ) -> Manifest | None:
        """The object with its new status; None when it says the same already."""
        status = section(stored, "status")
        listed = status.get("parents")
        old = [entry for entry in listed if isinstance(entry, dict)] if isinstance(listed, list) else []
        refs = zip(resource.spec.parent_refs, route.parents, strict=True)
        judged = [ref for ref, parsed in refs if parsed.is_service]
        own: list[Manifest] = []
        for ref, conditions in zip(judged, parent_statuses(route, registry), strict=True):
            parent = _parent_reference(ref)
            before = next((entry for entry in old if _is_own(entry) and entry.get("parentRef") == parent), {})
            own.append(self._parent_entry(parent, conditions, before, route.generation))
        others = [entry for entry in old if not _is_own(entry)][: MAX_PARENTS - len(own)]
        parents = others + own
        return None if parents == old else {**stored, "status": {**status, "parents": parents}}

    def _parent_entry(
        self, parent: Manifest, conditions: tuple[RouteCondition, ...], before: Manifest, generation: int
    ) -> Manifest:
        listed = before.get("conditions")
        known = {one["type"]: one for one in listed} if isinstance(listed, list) else {}
        entries = [self._condition(one, known.get(one.type, {}), generation) for one in conditions]
        return {"parentRef": parent, "controllerName": CONTROLLER_NAME, "conditions": entries}

    def _condition(self, condition: RouteCondition, before: Manifest, generation: int) -> Manifest:
        status = str(condition.status)
        since = before.get("lastTransitionTime") if before.get("status") == status else None
        return {
            "type": condition.type,
            "status": status,
            "observedGeneration": generation,
            "lastTransitionTime": since or _timestamp(self._now()),
            "reason": condition.reason,
            "message": condition.message,
        }


def _is_own(entry: Manifest) -> bool:
    return entry.get("controllerName") == CONTROLLER_NAME


def _parent_reference(ref: ParentReference) -> Manifest:
    """The parentRef as the user wrote it, with kind and group said aloud."""
    given = ref.model_dump(by_alias=True, exclude_none=True)
    return {**given, "group": ref.group, "kind": ref.kind}


def _timestamp(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
