"""Writes back to Gateways, their classes, BackendTLSPolicies and Ingresses what became of them.

`attachment/gateway_listener.py` decides (pure); here it is stored, only where something changed.
"""

from collections.abc import Callable, Iterable, Mapping

from control_plane.attachment.backend_tls_condition import ancestor_conditions
from control_plane.attachment.condition import RouteCondition
from control_plane.attachment.gateway_listener import (
    ServedListener,
    gateway_conditions,
    listener_conditions,
    served_listeners,
)
from control_plane.attachment.gateway_parent import supported_kinds
from control_plane.attachment.ingress import gateway_of
from control_plane.discovery.gateway import CONTROLLER, GatewayObject
from control_plane.discovery.model import ObjectName
from control_plane.discovery.registry import Registry
from control_plane.discovery.route import GATEWAY_GROUP
from control_plane.resources.manifest import Manifest, ObjectKey, objects, section
from control_plane.resources.status_condition import dated, undated
from control_plane.resources.timestamp import rfc3339
from control_plane.status_write import write_back
from control_plane.store.api import ObjectStore

KINDS = ("Gateway", "GatewayClass", "BackendTLSPolicy", "Ingress")
_MAX_ADDRESSES = 16


async def write_gateway_status(
    key: ObjectKey, registry: Registry, store: ObjectStore, now: Callable[[], float]
) -> bool:
    """Bring the stored status of one object up to date; False when it changed meanwhile and must be tried
    again. `now`: seconds since the epoch."""
    status = _MAKERS[key.kind](ObjectName(key.namespace, key.name), registry)
    if status is None:
        return True  # not ours, or gone
    generation, wanted = status

    def judge(stored: Manifest) -> Manifest | None:
        if section(stored, "metadata").get("generation") != generation:
            return None  # another one is on its way to the registry, and then comes here
        before = section(stored, "status")
        more = wanted
        if "ancestors" in wanted:
            more = {"ancestors": _with_others(before, objects(wanted, "ancestors"))}
        found = _dated({**before, **more}, before, generation, rfc3339(now()))
        return None if found == before else {**stored, "status": found}

    return await write_back(key, store, judge)


_Status = tuple[int, Manifest] | None
"""(generation that it is of, fields of `status` whose conditions have no times yet)."""


def class_status(key: ObjectName, registry: Registry) -> _Status:
    """None when the class is another controller's."""
    found = registry.gateways.classes.get(key.name)
    if found is None or not found.is_ours:
        return None
    accepted = RouteCondition("Accepted", True, "Accepted", "Gateways of this class are served")
    if found.spec.parameters_ref is not None:
        accepted = RouteCondition(
            "Accepted", False, "InvalidParameters", "spec.parametersRef: is not supported"
        )
    return found.generation, {"conditions": _conditions((accepted,))}


def gateway_status(key: ObjectName, registry: Registry) -> _Status:
    """None when the Gateway is of no class of ours."""
    gateway = registry.gateways.gateways.get(key)
    if gateway is None or not registry.gateways.is_ours(gateway):
        return None
    served = served_listeners(gateway, registry)
    reachable = registry.gateway_addresses(key)
    return gateway.generation, {
        "addresses": [{"type": "IPAddress", "value": ip} for ip in reachable[:_MAX_ADDRESSES]],
        "conditions": _conditions(gateway_conditions(gateway, served, reachable)),
        "listeners": [_listener(one, gateway) for one in served],
    }


def backend_tls_status(key: ObjectName, registry: Registry) -> _Status:
    """None when the policy is gone."""
    policy = registry.gateways.backend_tls.get(key)
    if policy is None:
        return None
    ancestors: list[Manifest] = []
    for gateway, conditions in ancestor_conditions(policy, registry)[:_MAX_ADDRESSES]:
        ref: Manifest = {"group": GATEWAY_GROUP, "kind": "Gateway", "namespace": gateway.namespace}
        ancestors.append(
            {
                "ancestorRef": {**ref, "name": gateway.name},
                "controllerName": CONTROLLER,
                "conditions": _conditions(conditions),
            }
        )
    return policy.generation, {"ancestors": ancestors}


def ingress_status(key: ObjectName, registry: Registry) -> _Status:
    """None when it is of no class of ours."""
    ingress = registry.gateways.ingresses.get(key)
    gateway = gateway_of(ingress, registry) if ingress is not None else None
    if ingress is None or gateway is None:
        return None
    found = [{"ip": ip} for ip in registry.gateway_addresses(gateway.key)]
    return ingress.generation, {"loadBalancer": {"ingress": found}}


_MAKERS: Mapping[str, Callable[[ObjectName, Registry], _Status]] = {
    "Gateway": gateway_status,
    "GatewayClass": class_status,
    "BackendTLSPolicy": backend_tls_status,
    "Ingress": ingress_status,
}


def _with_others(before: Manifest, own: list[Manifest]) -> list[Manifest]:
    """Ancestors that other controllers report stay."""
    others = [one for one in objects(before, "ancestors") if one.get("controllerName") != CONTROLLER]
    return [*others, *own][:_MAX_ADDRESSES]


def _listener(one: ServedListener, gateway: GatewayObject) -> Manifest:
    return {
        "name": one.listener.name,
        "supportedKinds": [{"group": GATEWAY_GROUP, "kind": kind} for kind in supported_kinds(one.listener)],
        "attachedRoutes": len(one.routes),
        "conditions": _conditions(listener_conditions(one)),
    }


def _conditions(conditions: Iterable[RouteCondition]) -> list[Manifest]:
    return [undated(one.type, one.status, one.reason, one.message) for one in conditions]


def _dated(status: Manifest, before: Manifest, generation: int, now: str) -> Manifest:
    """With the times of conditions: as before where the status is the same."""
    listeners = {one["name"]: one for one in objects(before, "listeners")}
    found = dict(status)
    if "conditions" in status:
        found["conditions"] = dated(objects(status, "conditions"), before, generation, now)
    if "ancestors" in status:
        known = {str(one.get("ancestorRef")): one for one in _own(before)}
        found["ancestors"] = [
            {
                **one,
                "conditions": dated(
                    objects(one, "conditions"), known.get(str(one.get("ancestorRef")), {}), generation, now
                ),
            }
            if one.get("controllerName") == CONTROLLER
            else one
            for one in objects(status, "ancestors")
        ]
    if "listeners" in status:
        found["listeners"] = [
            {
                **one,
                "conditions": dated(
                    objects(one, "conditions"), listeners.get(one["name"], {}), generation, now
                ),
            }
            for one in objects(status, "listeners")
        ]
    return found


def _own(status: Manifest) -> list[Manifest]:
    return [one for one in objects(status, "ancestors") if one.get("controllerName") == CONTROLLER]
