"""The scheduler: Pods get their node, by `pods/binding`, and the topology labels of it."""

import asyncio
from collections.abc import Callable, Iterable, Mapping

from control_plane.resources.manifest import Manifest, ObjectKey, labels_of, metadata, objects, section
from control_plane.resources.node import Node
from control_plane.resources.pod import Pod
from lab.controllers.action import Action, Bind, Patch, Record, UpdateStatus
from lab.controllers.cache import Change
from lab.controllers.condition import condition, with_condition
from lab.controllers.ownership import controller_uid
from lab.controllers.placement import Crowd, choose, topology_of, waits_for_node
from lab.controllers.reconciler import Workplace

COMPONENT = "default-scheduler"


class Scheduler:
    """Pod → node."""

    name = "scheduler"

    def __init__(self, place: Workplace) -> None:
        self._place = place
        self._turn = asyncio.Lock()

    def affected(self, change: Change) -> Iterable[ObjectKey]:
        if change.key.kind == "Pod" and change.new is not None:
            if not section(change.new, "spec").get("nodeName"):
                yield change.key
        elif change.key.kind == "Node" and _standing(change.old) != _standing(change.new):
            yield from self._place.cache.unbound()

    async def reconcile(self, key: ObjectKey) -> float | None:
        """One Pod at a time: the next is placed knowing where the last one went, or siblings share a node."""
        async with self._turn:
            await self._place_pod(key)
        return None

    async def _place_pod(self, key: ObjectKey) -> None:
        cache = self._place.cache
        pod, manifest = cache.typed(Pod, key), cache.manifest(key)
        if pod is None or manifest is None or not waits_for_node(pod):
            return
        nodes = [node for node, _ in cache.both(Node, cache.all_of("Node"))]
        chosen, why = choose(pod, nodes, self._crowd(pod, nodes))
        actions = _bind(manifest, chosen) if chosen is not None else self._refuse(manifest, why)
        await self._place.writer.perform(actions)

    def _crowd(self, pod: Pod, nodes: Iterable[Node]) -> Crowd:
        names, owner, count = (
            [node.metadata.name for node in nodes],
            controller_uid(pod),
            _counted(self._place),
        )
        return Crowd(
            {name: count(name, "") for name in names},
            {name: count(name, owner) for name in names} if owner else {},
        )

    def _refuse(self, manifest: Manifest, why: str) -> list[Action]:
        """Say in the Pod's status why it is not started."""
        status = section(manifest, "status")
        found = condition("PodScheduled", "False", "Unschedulable", why)
        told = [one for one in objects(status, "conditions") if one.get("type") == "PodScheduled"]
        if told and told[0].get("message") == why:
            return []
        conditions = with_condition(status, "PodScheduled", found, self._place.moment()[1], refresh=True)
        return [
            UpdateStatus({**manifest, "status": {**status, "conditions": conditions}}),
            Record(manifest, "Warning", "FailedScheduling", why, COMPONENT),
        ]


def _counted(place: Workplace) -> Callable[[str, str], int]:
    return place.cache.count_on_node


def _bind(manifest: Manifest, node: Node) -> list[Action]:
    """Its labels first: whoever starts the Pod reads them."""
    meta, topology = metadata(manifest), topology_of(node)
    actions: list[Action] = []
    if not topology.items() <= labels_of(manifest).items():
        pinned = {field: meta[field] for field in ("uid", "resourceVersion")}
        key = ObjectKey("Pod", str(meta["namespace"]), str(meta["name"]))
        actions.append(Patch(key, {"metadata": {**pinned, "labels": topology}}))
    name = node.metadata.name
    text = f"Successfully assigned {meta['namespace']}/{meta['name']} to {name}"
    return [*actions, Bind(manifest, name), Record(manifest, "Normal", "Scheduled", text, COMPONENT)]


def _standing(node: Manifest | None) -> Mapping[str, object] | None:
    """What of a Node decides who may run there: not its heartbeat."""
    if node is None:
        return None
    conditions = objects(section(node, "status"), "conditions")
    ready = [one.get("status") for one in conditions if one.get("type") == "Ready"]
    going = metadata(node).get("deletionTimestamp")
    return {"labels": labels_of(node), "spec": section(node, "spec"), "ready": ready, "going": going}
