"""The controllers against an API in memory: what they make of what a user applied."""

import random
from collections import Counter
from typing import cast

from control_plane.client import ApiClient, Invalid, NotFound, WatchEvent
from control_plane.resources.manifest import (
    Manifest,
    ObjectKey,
    key_of,
    metadata,
    name_of,
    resource_version_of,
    section,
    uid_of,
    with_metadata,
)
from control_plane.resources.namespace import Namespace
from control_plane.resources.pod import Pod
from lab.controller import Controller, ObjectCache
from lab.lab_file import DEFAULT_NODE, plan_of_zones
from tests.unit.lab.builders import deployment_manifest, pod_manifest

SERVICE: Manifest = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "web", "namespace": "shop"},
    "spec": {"selector": {"app": "web"}, "clusterIP": "10.96.0.7", "ports": [{"port": 80}]},
}


def namespace(**labels: str) -> Manifest:
    meta: Manifest = {"name": "shop", "labels": labels}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": meta}


class MemoryApi:
    """The verbs the controllers use. Nothing is told by itself: `deliver` hands the events over."""

    def __init__(self) -> None:
        self.objects: dict[ObjectKey, Manifest] = {}
        self.refused: set[str] = set()
        """Names whose creation is refused."""
        self.writes: Counter[str] = Counter()
        self._events: list[WatchEvent] = []
        self._version = 0

    def put(self, manifest: Manifest, event: str = "MODIFIED") -> Manifest:
        self._version += 1
        uid = uid_of(manifest) or f"uid-{self._version}"
        stored = with_metadata(manifest, uid=uid, resourceVersion=str(self._version))
        self.objects[key_of(stored)] = stored
        self._events.append(WatchEvent(event, stored))
        return stored

    async def create(self, manifest: Manifest) -> Manifest:
        if name_of(manifest) in self.refused:
            raise Invalid(422, "Invalid", f"{name_of(manifest)} is refused")
        self.writes["create"] += 1
        return self.put(manifest, "ADDED")

    async def update(self, manifest: Manifest) -> Manifest:
        self.writes["update"] += 1
        return self.put({**self.objects[key_of(manifest)], **manifest})

    async def update_status(self, manifest: Manifest) -> Manifest:
        self.writes["status"] += 1
        return self.put({**self.objects[key_of(manifest)], "status": manifest["status"]})

    async def get(self, kind: str, name: str, namespace: str) -> Manifest:
        return self.objects[ObjectKey(kind, namespace, name)]

    async def bind(self, name: str, namespace: str, node: str, *, uid: str, resource_version: str) -> None:
        self.writes["bind"] += 1
        pod = self.objects[ObjectKey("Pod", namespace, name)]
        assert (uid_of(pod), resource_version_of(pod)) == (uid, resource_version)
        self.put({**pod, "spec": {**section(pod, "spec"), "nodeName": node}})

    async def delete(self, kind: str, name: str, namespace: str = "") -> None:
        self.writes["delete"] += 1
        gone = self.objects.pop(ObjectKey(kind, namespace, name), None)
        if gone is None:
            raise NotFound(404, "NotFound", name)
        self._events.append(WatchEvent("DELETED", gone))

    def deliver(self, controller: Controller) -> None:
        """The watch events since the last time."""
        events, self._events = self._events, []
        for event in events:
            controller.on_event(event)

    def of(self, kind: str) -> list[Manifest]:
        return [entry for key, entry in self.objects.items() if key.kind == kind]


class World:
    """The API and the controllers."""

    def __init__(self, *applied: Manifest, zones: str = "") -> None:
        self.api = MemoryApi()
        self.controller = Controller(cast("ApiClient", self.api), random.Random(1), plan_of_zones(zones).nodes)
        for manifest in applied:
            self.api.put(manifest, "ADDED")

    async def settle(self, rounds: int = 6) -> bool:
        """Rounds with the events in between; whether the last was complete."""
        complete = False
        for _ in range(rounds):
            self.api.deliver(self.controller)
            complete = await self.controller.round()
        return complete

    def pods(self) -> list[Pod]:
        return [Pod.parse(manifest) for manifest in self.api.of("Pod")]

    def make_ready(self) -> None:
        """What a kubelet does."""
        for number, manifest in enumerate(self.api.of("Pod")):
            conditions = [{"type": "Ready", "status": "True"}]
            status = {"phase": "Running", "podIP": f"10.244.0.{number + 3}", "conditions": conditions}
            self.api.put({**manifest, "status": status})


async def test_a_deployment_becomes_pods_with_a_node_and_nothing_is_written_twice() -> None:
    world = World(namespace(), deployment_manifest(2))
    assert await world.settle()
    assert [pod.spec.node_name for pod in world.pods()] == [DEFAULT_NODE] * 2
    assert world.api.writes["create"] == 3  # two Pods and the ServiceAccount they name
    before = world.api.writes.copy()
    await world.settle()
    assert world.api.writes == before


async def test_late_events_do_not_make_the_controller_act_twice() -> None:
    world = World(namespace(), deployment_manifest(2))
    world.api.deliver(world.controller)
    for _ in range(3):  # no event of our own writes arrives in between
        await world.controller.round()
    assert len(world.pods()) == 2


async def test_a_pod_of_an_injected_namespace_gets_its_sidecar_before_its_node() -> None:
    world = World(namespace(**{"meshproxy.io/injection": "enabled"}), pod_manifest("bare"))
    await world.settle()
    [pod] = world.pods()
    assert [container.name for container in pod.spec.init_containers] == ["meshproxy-init", "meshproxy"]
    assert pod.spec.node_name == DEFAULT_NODE


async def test_a_pod_without_its_namespace_waits() -> None:
    world = World(pod_manifest("bare"))
    await world.settle()
    assert world.pods()[0].spec.node_name == ""


async def test_a_pod_that_cannot_be_injected_says_why_and_holds_up_nobody() -> None:
    wrong = pod_manifest("wrong", securityContext={"runAsUser": 1337})
    world = World(namespace(**{"meshproxy.io/injection": "enabled"}), wrong, pod_manifest("right"))
    assert await world.settle()
    refused, admitted = world.pods()
    assert "1337" in refused.status.conditions[0].message
    assert (refused.spec.node_name, admitted.spec.node_name) == ("", DEFAULT_NODE)
    assert world.api.writes["status"] == 1


async def test_a_service_has_a_slice_that_follows_its_pods() -> None:
    world = World(namespace(), SERVICE, deployment_manifest(1))
    await world.settle()
    world.make_ready()
    await world.settle()
    [made] = world.api.of("EndpointSlice")
    assert "10.244.0.3" in str(made["endpoints"])
    await world.api.delete("Service", "web", "shop")
    await world.settle()
    assert world.api.of("EndpointSlice") == []


async def test_slices_of_others_are_left_alone() -> None:
    theirs: Manifest = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": "theirs", "namespace": "shop"},
        "addressType": "IPv4",
    }
    world = World(namespace(), theirs)
    await world.settle()
    assert [name_of(entry) for entry in world.api.of("EndpointSlice")] == ["theirs"]


async def test_a_deleted_deployment_takes_its_pods_with_it() -> None:
    world = World(namespace(), deployment_manifest(2), pod_manifest("bare"))
    await world.settle()
    await world.api.delete("Deployment", "web", "shop")
    await world.settle()
    assert [pod.metadata.name for pod in world.pods()] == ["bare"]


async def test_a_new_template_rolls_the_pods_and_the_status_follows() -> None:
    world = World(namespace(), deployment_manifest(2))
    await world.settle()
    world.make_ready()
    old = {pod.metadata.name for pod in world.pods()}
    changed = deployment_manifest(2)
    section(section(section(changed, "spec"), "template"), "metadata")["annotations"] = {"note": "new"}
    world.api.put(changed)
    for _ in range(6):
        await world.settle(2)
        world.make_ready()
    assert old.isdisjoint(pod.metadata.name for pod in world.pods())
    [made] = world.api.of("Deployment")
    assert section(made, "status")["readyReplicas"] == 2


async def test_an_object_that_is_refused_holds_up_nobody_and_the_round_is_repeated() -> None:
    world = World(namespace(), pod_manifest("one", serviceAccountName="bad"), pod_manifest("two"))
    world.api.refused.add("bad")
    assert not await world.settle()
    assert [pod.spec.node_name for pod in world.pods()] == [DEFAULT_NODE] * 2
    world.api.refused.clear()
    assert await world.settle()


def versioned(version: int, uid: str = "u", **labels: str) -> Manifest:
    return with_metadata(namespace(**labels), uid=uid, resourceVersion=str(version))


def test_the_cache_ignores_what_is_older_than_what_it_knows() -> None:
    cache = ObjectCache()
    cache.put(versioned(2, app="new"))
    cache.put(versioned(1, app="old"))
    assert metadata(cache.manifest(cache.all(Namespace)[0]))["labels"] == {"app": "new"}


def test_the_cache_does_not_bring_back_what_was_deleted() -> None:
    cache = ObjectCache()
    cache.put(versioned(1))
    cache.forget(versioned(1))
    cache.put(versioned(2))
    assert cache.all(Namespace) == []
    cache.drop(versioned(3))
    cache.put(versioned(4, uid="another"))
    cache.drop(versioned(3))
    assert len(cache.all(Namespace)) == 1


async def test_pods_are_spread_over_the_zones_and_carry_their_labels() -> None:
    world = World(namespace(), deployment_manifest(4), zones="a,eu/b")
    assert await world.settle()
    zone, region = "topology.kubernetes.io/zone", "topology.kubernetes.io/region"
    placed = sorted((pod.spec.node_name, pod.metadata.labels.get(zone)) for pod in world.pods())
    assert placed == [("node-a", "a")] * 2 + [("node-eu-b", "b")] * 2
    assert {pod.metadata.labels.get(region, "") for pod in world.pods()} == {"", "eu"}
    assert sorted(key.name for key in world.api.objects if key.kind == "Node") == ["node-a", "node-eu-b"]


async def test_a_pod_may_ask_for_its_zone() -> None:
    selector = {"topology.kubernetes.io/zone": "b"}
    chosen, lost = (
        pod_manifest("one", nodeSelector=selector),
        pod_manifest("two", nodeSelector={"disk": "ssd"}),
    )
    world = World(namespace(), chosen, lost, zones="a,b")
    await world.settle()
    nodes = {pod.metadata.name: pod.spec.node_name for pod in world.pods()}
    assert nodes == {"one": "node-b", "two": ""}
    refused = next(pod for pod in world.pods() if pod.metadata.name == "two")
    assert "no node has these labels; there is node-a, node-b" in refused.status.conditions[0].message
