"""The controllers of EndpointSlices and of ServiceAccounts."""

from collections.abc import Iterable, Iterator

from control_plane.resources.manifest import Manifest, ObjectKey, labels_of, section
from control_plane.resources.node import ZONE_LABEL
from control_plane.resources.pod import Pod
from control_plane.resources.service import Service
from lab.controllers.action import Create
from lab.controllers.cache import Change
from lab.controllers.endpoint_slices import is_ours, plan_slices
from lab.controllers.reconciler import Workplace

DEFAULT_ACCOUNT = "default"
_OF_SERVICE = "kubernetes.io/service-name"


class EndpointSlices:
    """Service and the Pods it selects → EndpointSlices."""

    name = "endpointslice"

    def __init__(self, place: Workplace) -> None:
        self._place = place

    def affected(self, change: Change) -> Iterable[ObjectKey]:
        match change.key.kind:
            case "Service":
                yield change.key
            case "Pod":
                for manifest in change.sides:
                    yield from self._selecting(change.key.namespace, manifest)
            case "EndpointSlice":
                for manifest in filter(is_ours, change.sides):
                    name = labels_of(manifest).get(_OF_SERVICE, "")
                    yield ObjectKey("Service", change.key.namespace, name)
            case "Node" if len({labels_of(one).get(ZONE_LABEL) for one in change.sides}) > 1:
                for key in self._place.cache.on_node(change.key.name):
                    yield from self._selecting(key.namespace, self._place.cache.manifest(key) or {})

    def _selecting(self, namespace: str, pod: Manifest) -> Iterator[ObjectKey]:
        yield from self._place.cache.selecting("Service", namespace, labels_of(pod))

    async def reconcile(self, key: ObjectKey) -> float | None:
        cache = self._place.cache
        service, manifest = cache.typed(Service, key), cache.manifest(key)
        if service is None or manifest is None:
            return None
        pods = cache.labelled("Pod", key.namespace, service.spec.selector) if service.spec.selector else []
        known = (cache.manifest(one) for one in cache.slices_of(key.namespace, key.name))
        slices = [one for one in known if one is not None and is_ours(one)]
        found = [pod for pod, _ in cache.both(Pod, pods)]
        zones = self._zones({pod.spec.node_name for pod in found})
        await self._place.writer.perform(plan_slices(service, manifest, found, slices, zones))
        return None

    def _zones(self, nodes: Iterable[str]) -> dict[str, str]:
        manifests = {name: self._place.cache.manifest(ObjectKey("Node", "", name)) for name in nodes}
        found = {name: labels_of(one).get(ZONE_LABEL, "") for name, one in manifests.items() if one}
        return {name: zone for name, zone in found.items() if zone}


class ServiceAccounts:
    """Each Namespace has the account `default`, and those its Pods name: manifests may leave them out."""

    name = "serviceaccount"

    def __init__(self, place: Workplace) -> None:
        self._place = place

    def affected(self, change: Change) -> Iterable[ObjectKey]:
        key, new = change.key, change.new
        match key.kind:
            case "Namespace" if new is not None:
                yield ObjectKey("ServiceAccount", key.name, DEFAULT_ACCOUNT)
            case "Pod" if change.old is None and change.new is not None:
                spec = section(change.new, "spec")
                name = str(spec.get("serviceAccountName") or DEFAULT_ACCOUNT)
                yield ObjectKey("ServiceAccount", key.namespace, name)
            case "ServiceAccount" if change.new is None:
                yield key

    async def reconcile(self, key: ObjectKey) -> float | None:
        namespace = self._place.cache.manifest(ObjectKey("Namespace", "", key.namespace))
        if namespace is None or section(namespace, "metadata").get("deletionTimestamp"):
            return None
        if self._place.cache.manifest(key) is None and self._is_wanted(key):
            meta = {"name": key.name, "namespace": key.namespace}
            account: Manifest = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta}
            await self._place.writer.perform([Create(account)])
        return None

    def _is_wanted(self, key: ObjectKey) -> bool:
        if key.name == DEFAULT_ACCOUNT:
            return True
        pods = self._place.cache.both(Pod, self._place.cache.all_of("Pod", key.namespace))
        return any(pod.spec.service_account_name == key.name for pod, _ in pods)
