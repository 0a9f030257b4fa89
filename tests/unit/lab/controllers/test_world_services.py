"""Scheduling, EndpointSlices, ServiceAccounts and garbage collection with a real API server."""

from pathlib import Path

from control_plane.resources.endpoint_slice import EndpointSlice
from control_plane.resources.manifest import Manifest, metadata, name_of, section
from tests.unit.lab.builders import deployment_manifest, pod_manifest
from tests.unit.lab.controllers.world import World, node_manifest, world

SERVICE: Manifest = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "web", "namespace": "shop"},
    "spec": {"selector": {"app": "web"}, "ports": [{"port": 80}]},
}
ZONE, REGION = "topology.kubernetes.io/zone", "topology.kubernetes.io/region"


async def slices(lab: World) -> list[EndpointSlice]:
    return [EndpointSlice.parse(one) for one in await lab.of("EndpointSlice")]


async def test_pods_are_spread_over_nodes_and_carry_the_labels_of_their_place(tmp_path: Path) -> None:
    nodes = [node_manifest("a", **{ZONE: "a"}), node_manifest("b", **{ZONE: "b", REGION: "eu"})]
    async with world(tmp_path, *nodes, deployment_manifest(4)) as lab:
        placed = sorted((pod.spec.node_name, pod.metadata.labels.get(ZONE)) for pod in await lab.pods())
        assert placed == [("a", "a")] * 2 + [("b", "b")] * 2
        assert {pod.metadata.labels.get(REGION, "") for pod in await lab.pods()} == {"", "eu"}


async def test_a_pod_waits_for_a_node_that_fits(tmp_path: Path) -> None:
    async with world(tmp_path, pod_manifest("one", nodeSelector={"disk": "ssd"})) as lab:
        [pod] = await lab.pods()
        [said] = [one for one in pod.status.conditions if one.type == "PodScheduled"]
        assert (said.status, said.reason) == ("False", "Unschedulable")
        assert said.message == "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector."
        version = pod.metadata.resource_version
        await lab.again("Pod", "one")
        assert (await lab.pods())[0].metadata.resource_version == version
        await lab.client.create(node_manifest("fast", disk="ssd"))
        await lab.settle()
        assert (await lab.pods())[0].spec.node_name == "fast"


async def test_heartbeats_of_nodes_are_no_reason_to_look_at_pods(tmp_path: Path) -> None:
    async with world(tmp_path, pod_manifest("one", nodeSelector={"disk": "ssd"})) as lab:
        for beat in ("1", "2"):
            ready = {"type": "Ready", "status": "True", "lastHeartbeatTime": beat}
            patch = {"status": {"conditions": [ready]}}
            self_reported = await lab.client.patch("Node", "node", "", patch, "status")
            lab.controllers.cache.put(self_reported)
            queued = [len(worker.queue) for worker in lab.controllers.workers if worker.name == "scheduler"]
            assert queued == ([1] if beat == "1" else [0])
            await lab.controllers.settle()


async def test_a_service_has_slices_that_follow_its_pods_and_go_with_it(tmp_path: Path) -> None:
    async with world(tmp_path, SERVICE, deployment_manifest(2)) as lab:
        assert [one.endpoints for one in await slices(lab)] == [()]
        await lab.report()
        [found] = await slices(lab)
        assert [one.is_ready for one in found.endpoints] == [True, True]
        await lab.change("Deployment", "web", replicas=1)
        [found] = await slices(lab)
        conditions = sorted((one.is_ready, one.is_leaving) for one in found.endpoints)
        assert conditions == [(False, True), (True, False)]
        await lab.end_pods()
        [found] = await slices(lab)
        assert len(found.endpoints) == 1
        await lab.client.delete("Service", "web", "shop")
        await lab.settle()
        assert await slices(lab) == []


async def test_a_slice_that_somebody_breaks_is_mended_and_those_of_others_are_left_alone(
    tmp_path: Path,
) -> None:
    theirs: Manifest = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": "theirs", "namespace": "shop", "labels": {"kubernetes.io/service-name": "web"}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": ["10.9.9.9"]}],
    }
    async with world(tmp_path, SERVICE, deployment_manifest(1), theirs) as lab:
        await lab.report()
        [ours] = [one for one in await slices(lab) if one.metadata.name != "theirs"]
        await lab.client.patch("EndpointSlice", ours.metadata.name, "shop", {"endpoints": []})
        await lab.settle()
        counts = {one.metadata.name: len(one.endpoints) for one in await slices(lab)}
        assert counts == {"theirs": 1, ours.metadata.name: 1}
        await lab.client.delete("EndpointSlice", ours.metadata.name, "shop")
        await lab.settle()
        assert len(await slices(lab)) == 2


async def test_a_zone_that_a_node_gets_later_reaches_the_slices(tmp_path: Path) -> None:
    async with world(tmp_path, SERVICE, deployment_manifest(1)) as lab:
        await lab.report()
        await lab.client.patch("Node", "node", "", {"metadata": {"labels": {ZONE: "z"}}})
        await lab.settle()
        [found] = await slices(lab)
        assert [one.zone for one in found.endpoints] == ["z"]


async def test_each_namespace_has_an_account_and_so_have_pods_that_name_one(tmp_path: Path) -> None:
    async with world(tmp_path, pod_manifest("one", serviceAccountName="catalog")) as lab:
        assert {name_of(one) for one in await lab.of("ServiceAccount")} == {"default", "catalog"}
        await lab.client.delete("ServiceAccount", "default", "shop")
        await lab.client.delete("ServiceAccount", "catalog", "shop")
        await lab.settle()
        assert {name_of(one) for one in await lab.of("ServiceAccount")} == {"default", "catalog"}


def owned_by(name: str, *owners: Manifest) -> Manifest:
    references = [
        {
            "apiVersion": one["apiVersion"],
            "kind": one["kind"],
            "name": name_of(one),
            "uid": metadata(one)["uid"],
        }
        for one in owners
    ]
    meta: Manifest = {"name": name, "namespace": "shop", "ownerReferences": references}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta}


def config_map(name: str) -> Manifest:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "shop"}}


async def test_what_the_last_of_its_owners_leaves_behind_goes(tmp_path: Path) -> None:
    async with world(tmp_path) as lab:
        first, second = [await lab.client.create(config_map(name)) for name in ("first", "second")]
        await lab.client.create(owned_by("both", first, second))
        await lab.settle()
        await lab.client.delete("ConfigMap", "first", "shop")
        await lab.settle()
        left = metadata(await lab.client.get("ConfigMap", "both", "shop"))["ownerReferences"]
        assert [one["name"] for one in left] == ["second"]  # type: ignore[attr-defined]
        await lab.client.delete("ConfigMap", "second", "shop")
        await lab.settle()
        assert "both" not in {name_of(one) for one in await lab.of("ConfigMap")}


async def test_an_owner_that_never_was_is_asked_for_and_one_of_unknown_kind_trusted(tmp_path: Path) -> None:
    async with world(tmp_path) as lab:
        ghost: Manifest = {
            "apiVersion": "gateway.networking.k8s.io/v1",
            "kind": "Gateway",
            "metadata": {"name": "g", "uid": "u"},
        }
        other: Manifest = {
            "apiVersion": "example.org/v1",
            "kind": "Thing",
            "metadata": {"name": "t", "uid": "v"},
        }
        await lab.client.create(owned_by("lost", ghost))
        await lab.client.create(owned_by("kept", other))
        await lab.settle()
        names = {name_of(one) for one in await lab.of("ConfigMap")}
        assert "kept" in names
        assert "lost" not in names


async def test_an_owner_deleted_in_the_foreground_goes_last(tmp_path: Path) -> None:
    async with world(tmp_path, deployment_manifest(1)) as lab:
        await lab.report()
        await lab.client.delete("Deployment", "web", "shop", propagation="Foreground")
        await lab.settle()
        waiting = metadata(await lab.client.get("Deployment", "web", "shop"))
        assert waiting["finalizers"] == ["foregroundDeletion"]
        await lab.end_pods()
        assert await lab.of("Deployment") == await lab.of("ReplicaSet") == await lab.of("Pod") == []


async def test_orphans_are_left_and_taken_in_by_the_next_owner(tmp_path: Path) -> None:
    async with world(tmp_path, deployment_manifest(1)) as lab:
        await lab.report()
        [before] = await lab.pods()
        await lab.client.delete("Deployment", "web", "shop", propagation="Orphan")
        await lab.settle()
        assert await lab.of("Deployment") == []
        [kept] = await lab.of("ReplicaSet")
        assert not metadata(kept).get("ownerReferences")
        again = deployment_manifest(1)
        section(again, "metadata").pop("uid")
        await lab.client.create(again)
        await lab.settle()
        assert [name_of(one) for one in await lab.of("ReplicaSet")] == [name_of(kept)]
        assert [pod.metadata.name for pod in await lab.pods()] == [before.metadata.name]
