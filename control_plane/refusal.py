"""Objects that an API server has let in and that cannot be understood: their status says why.

The embedded API server refuses them. One whose CustomResourceDefinitions are older, or looser than our
models, does not; then what was understood last goes on being served, and a condition `Accepted: False` of
reason `Invalid` names the fields, where the kind has a place for it. The condition goes as it came: whoever
writes the status of an object that is understood again replaces it.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from pydantic import ValidationError

from control_plane.discovery.gateway import CONTROLLER
from control_plane.discovery.model import ObjectName
from control_plane.discovery.registry import Registry
from control_plane.policy.attachment import POLICY_KINDS
from control_plane.policy_status import CONTROLLER_NAME
from control_plane.resources.invalid import InvalidResource
from control_plane.resources.manifest import Manifest, ObjectKey, key_of, objects, section
from control_plane.resources.route_reference import MAX_PARENTS, ParentReference
from control_plane.resources.status_condition import dated, undated
from control_plane.resources.target_ref import MAX_TARGETS
from control_plane.resources.timestamp import rfc3339
from control_plane.status_write import write_back
from control_plane.store.api import ObjectStore

_LONGEST_MESSAGE = 1024
_OF_PARENTS = ("HTTPRoute", "GRPCRoute", "TCPRoute", "TLSRoute")
_OF_ANCESTORS = (*POLICY_KINDS, "BackendTLSPolicy")
_OF_THEMSELVES = ("ServiceEntry", "PeerAuthentication", "Gateway", "GatewayClass")
KINDS = (*_OF_PARENTS, *_OF_ANCESTORS, *_OF_THEMSELVES)
"""That have a place for the condition."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """One version of an object that was not understood."""

    key: ObjectKey
    generation: int
    message: str
    """The fields, and what is wrong with each."""


def refusal_of(manifest: Manifest, error: InvalidResource) -> Refusal:
    """Of an object as it was read."""
    found = (f"{cause.field}: {cause.message}" if cause.field else cause.message for cause in error.causes)
    return Refusal(key_of(manifest), _generation(manifest), "; ".join(found)[:_LONGEST_MESSAGE])


async def write_refusal(
    refusal: Refusal, registry: Registry, store: ObjectStore, now: Callable[[], float]
) -> bool:
    """Tell it in the object's status; False when the object changed meanwhile and must be tried again. `now`:
    seconds since the epoch."""
    return await write_back(
        refusal.key, store, lambda stored: with_refusal(stored, refusal, registry, rfc3339(now()))
    )


def with_refusal(stored: Manifest, refusal: Refusal, registry: Registry, now: str) -> Manifest | None:
    """The object with its new status (pure); None when it says the same already, is another version, or is
    none of ours. `now`: RFC 3339."""
    if _generation(stored) != refusal.generation:
        return None  # a newer one is on its way, and is judged for itself
    before = section(stored, "status")
    status = {**before, **_told(stored, before, refusal, registry, now)}
    return None if status == before else {**stored, "status": status}


def _told(stored: Manifest, before: Manifest, refusal: Refusal, registry: Registry, now: str) -> Manifest:
    """The fields of the status that change."""
    spec = section(stored, "spec")
    if refusal.key.kind in _OF_PARENTS:
        refs = list(_own_parents(spec, refusal.key.namespace, registry))
        return _by_reference("parents", "parentRef", refs, MAX_PARENTS, before, refusal, now)
    if refusal.key.kind in _OF_ANCESTORS:
        refs = objects(spec, "targetRefs")
        return _by_reference("ancestors", "ancestorRef", refs, MAX_TARGETS, before, refusal, now)
    if not _is_ours(refusal.key.kind, spec, registry):
        return {}
    others = [one for one in objects(before, "conditions") if one.get("type") != "Accepted"]
    return {"conditions": [*_conditions(refusal, before, now), *others]}


def _by_reference(
    field: str, name: str, refs: list[Manifest], most: int, before: Manifest, refusal: Refusal, now: str
) -> Manifest:
    """One entry for each reference; those of other controllers stay."""
    known = objects(before, field)
    own = []
    for ref in refs[:most]:
        mine = (one for one in known if _is_own(one) and one.get(name) == ref)
        conditions = _conditions(refusal, next(mine, {}), now)
        own.append({name: ref, "controllerName": CONTROLLER_NAME, "conditions": conditions})
    others = [one for one in known if not _is_own(one)][: most - len(own)]
    return {field: others + own} if own else {}


def _conditions(refusal: Refusal, before: Manifest, now: str) -> list[Manifest]:
    refused = undated("Accepted", False, "Invalid", refusal.message)
    return dated([refused], before, refusal.generation, now)


def _own_parents(spec: Manifest, namespace: str, registry: Registry) -> Iterator[Manifest]:
    """References that can be read, to Services and to Gateways of our classes."""
    for raw in objects(spec, "parentRefs"):
        try:
            ref = ParentReference.model_validate(raw)
        except ValidationError:
            continue
        whole = {**ref.model_dump(by_alias=True, exclude_none=True), "group": ref.group, "kind": ref.kind}
        gateway = registry.gateways.gateways.get(ObjectName(ref.namespace or namespace, ref.name))
        is_gateway = ref.kind == "Gateway" and gateway is not None and registry.gateways.is_ours(gateway)
        if (ref.group, ref.kind) == ("", "Service") or is_gateway:
            yield whole


def _is_ours(kind: str, spec: Manifest, registry: Registry) -> bool:
    if kind == "GatewayClass":
        return spec.get("controllerName") == CONTROLLER
    if kind == "Gateway":
        found = registry.gateways.classes.get(str(spec.get("gatewayClassName")))
        return found is not None and found.is_ours
    return True


def _is_own(entry: Manifest) -> bool:
    return entry.get("controllerName") == CONTROLLER_NAME


def _generation(manifest: Manifest) -> int:
    found = section(manifest, "metadata").get("generation")
    return found if isinstance(found, int) else 0
