"""Deployments, ReplicaSets and Jobs with a real API server: what becomes of what a user applied."""

from collections import Counter
from pathlib import Path

from control_plane.resources.manifest import Manifest, metadata, section
from tests.unit.lab.builders import deployment_manifest, pod_manifest
from tests.unit.lab.controllers.world import node_manifest, world


async def test_a_deployment_becomes_a_replica_set_and_pods_with_a_node(tmp_path: Path) -> None:
    async with world(tmp_path, deployment_manifest(2)) as lab:
        [made] = (await lab.sets()).values()
        assert made.metadata.annotations["deployment.kubernetes.io/revision"] == "1"
        assert [pod.spec.node_name for pod in await lab.pods()] == ["node"] * 2
        names = {pod.metadata.name.rpartition("-")[0] for pod in await lab.pods()}
        assert names == {made.metadata.name}
        await lab.report()
        status = (await lab.deployment()).status
        assert (status.replicas, status.updated_replicas, status.available_replicas) == (2, 2, 2)
        said = {one.type: (one.status, one.reason) for one in status.conditions}
        assert said == {
            "Available": ("True", "MinimumReplicasAvailable"),
            "Progressing": ("True", "NewReplicaSetAvailable"),
        }


async def test_pods_that_are_placed_at_the_same_time_spread_over_the_nodes(tmp_path: Path) -> None:
    nodes = [node_manifest(name) for name in ("a", "b", "c")]
    async with world(tmp_path, *nodes, deployment_manifest(6)) as lab:
        assert Counter(pod.spec.node_name for pod in await lab.pods()) == {"a": 2, "b": 2, "c": 2}


async def test_a_new_template_rolls_within_its_limits(tmp_path: Path) -> None:
    rolling = {"strategy": {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}}
    async with world(tmp_path, deployment_manifest(3, **rolling)) as lab:
        await lab.report()
        old = {pod.metadata.name for pod in await lab.pods()}
        await lab.change("Deployment", "web", template={"metadata": {"annotations": {"note": "new"}}})
        seen = await lab.roll_out()
        assert max(count for count, _ in seen) == 4
        assert min(ready for _, ready in seen) == 3
        assert old.isdisjoint(pod.metadata.name for pod in await lab.pods())
        sizes = {one.spec.replicas for one in (await lab.sets()).values()}
        assert sizes == {0, 3}
        assert (await lab.deployment()).metadata.annotations["deployment.kubernetes.io/revision"] == "2"


async def test_a_rollback_uses_the_old_replica_set_again(tmp_path: Path) -> None:
    async with world(tmp_path, deployment_manifest(2)) as lab:
        await lab.report()
        [first] = await lab.sets()
        await lab.change("Deployment", "web", template={"metadata": {"annotations": {"note": "new"}}})
        await lab.roll_out()
        await lab.change("Deployment", "web", template={"metadata": {"annotations": {"note": "kept"}}})
        await lab.roll_out()
        sets = await lab.sets()
        assert len(sets) == 2
        annotations = sets[first].metadata.annotations
        assert annotations["deployment.kubernetes.io/revision"] == "3"
        assert annotations["deployment.kubernetes.io/revision-history"] == "1"
        assert sets[first].spec.replicas == 2


async def test_recreate_waits_until_the_last_old_pod_is_gone(tmp_path: Path) -> None:
    async with world(tmp_path, deployment_manifest(2, strategy={"type": "Recreate"})) as lab:
        await lab.report()
        old = {pod.metadata.name for pod in await lab.pods()}
        await lab.change("Deployment", "web", template={"metadata": {"annotations": {"note": "new"}}})
        assert {pod.metadata.name for pod in await lab.pods()} == old  # they are ending
        await lab.end_pods()
        assert len(await lab.pods()) == 2
        assert old.isdisjoint(pod.metadata.name for pod in await lab.pods())


async def test_a_paused_deployment_is_scaled_but_not_rolled(tmp_path: Path) -> None:
    async with world(tmp_path, deployment_manifest(2, paused=False)) as lab:
        await lab.report()
        await lab.change("Deployment", "web", paused=True)
        await lab.change("Deployment", "web", template={"metadata": {"annotations": {"note": "new"}}})
        assert len(await lab.sets()) == 1
        await lab.change("Deployment", "web", replicas=3)
        assert len(await lab.pods()) == 3
        said = {one.type: one.reason for one in (await lab.deployment()).status.conditions}
        assert said["Progressing"] == "DeploymentPaused"
        await lab.change("Deployment", "web", paused=False)
        await lab.roll_out()
        assert len(await lab.sets()) == 2


async def test_a_rollout_that_stands_still_is_said_to_have_failed(tmp_path: Path) -> None:
    async with world(tmp_path, deployment_manifest(1, progressDeadlineSeconds=5)) as lab:
        await lab.again("Deployment", "web", later=6.0)
        said = {one.type: (one.status, one.reason) for one in (await lab.deployment()).status.conditions}
        assert said["Progressing"] == ("False", "ProgressDeadlineExceeded")
        await lab.report()
        said = {one.type: (one.status, one.reason) for one in (await lab.deployment()).status.conditions}
        assert said["Progressing"] == ("True", "NewReplicaSetAvailable")


async def test_old_revisions_are_forgotten_beyond_the_limit(tmp_path: Path) -> None:
    async with world(tmp_path, deployment_manifest(1, revisionHistoryLimit=1)) as lab:
        await lab.report()
        for number in range(3):
            annotations = {"note": f"version {number}"}
            await lab.change("Deployment", "web", template={"metadata": {"annotations": annotations}})
            await lab.roll_out()
        revisions = {
            one.metadata.annotations["deployment.kubernetes.io/revision"]
            for one in (await lab.sets()).values()
        }
        assert revisions == {"3", "4"}


async def test_scaling_in_the_middle_of_a_rollout_is_shared(tmp_path: Path) -> None:
    rolling = {"strategy": {"rollingUpdate": {"maxSurge": 2, "maxUnavailable": 2}}}
    async with world(tmp_path, deployment_manifest(10, **rolling)) as lab:
        await lab.report()
        await lab.change("Deployment", "web", template={"metadata": {"annotations": {"note": "new"}}})
        before = sorted(one.spec.replicas for one in (await lab.sets()).values())
        assert before == [4, 8]
        await lab.change("Deployment", "web", replicas=20)
        after = sorted(one.spec.replicas for one in (await lab.sets()).values())
        assert sum(after) == 22
        assert after[0] > 4
        assert after[1] > 8


async def test_a_pod_that_vanishes_is_replaced_and_one_that_is_relabelled_let_go(tmp_path: Path) -> None:
    async with world(tmp_path, deployment_manifest(2)) as lab:
        await lab.report()
        gone, kept = await lab.pods()
        await lab.client.delete("Pod", gone.metadata.name, "shop", grace_period=0)
        await lab.settle()
        assert len(await lab.pods()) == 2
        await lab.client.patch("Pod", kept.metadata.name, "shop", {"metadata": {"labels": {"app": "other"}}})
        await lab.settle()
        assert len(await lab.pods()) == 3
        freed = await lab.client.get("Pod", kept.metadata.name, "shop")
        assert not metadata(freed).get("ownerReferences")
        await lab.client.patch("Pod", kept.metadata.name, "shop", {"metadata": {"labels": {"app": "web"}}})
        await lab.settle()
        assert len([pod for pod in await lab.pods() if not pod.metadata.deletion_timestamp]) == 2


async def test_a_replica_set_that_may_not_make_pods_says_so(tmp_path: Path) -> None:
    async with world(tmp_path) as lab:
        lab.refused.add("web")
        await lab.client.create(deployment_manifest(1))
        await lab.settle()
        assert await lab.pods() == []
        said = {one.type: one for one in (await lab.deployment()).status.conditions}
        assert said["ReplicaFailure"].reason == "FailedCreate"
        assert "web is refused here" in said["ReplicaFailure"].message
        lab.refused.clear()
        [name] = await lab.sets()
        await lab.again("ReplicaSet", name)
        assert len(await lab.pods()) == 1
        assert "ReplicaFailure" not in {one.type for one in (await lab.deployment()).status.conditions}


JOB: Manifest = {
    "apiVersion": "batch/v1",
    "kind": "Job",
    "metadata": {"name": "load", "namespace": "shop"},
    "spec": {
        "completions": 2,
        "template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "app", "image": "app"}]}},
    },
}


async def test_a_job_runs_pods_until_enough_have_succeeded(tmp_path: Path) -> None:
    async with world(tmp_path, JOB) as lab:
        [first] = await lab.pods()
        assert first.metadata.labels["job-name"] == "load"
        await lab.report(ready=False, phase="Succeeded")
        assert len(await lab.pods()) == 2
        await lab.report(ready=False, phase="Succeeded")
        status = section(await lab.client.get("Job", "load", "shop"), "status")
        assert (status["succeeded"], status["active"]) == (2, 0)
        assert "'Complete'" in str(status["conditions"])
        assert status["completionTime"]
        assert len(await lab.pods()) == 2


async def test_a_deleted_deployment_takes_everything_with_it_and_bare_pods_stay(tmp_path: Path) -> None:
    async with world(tmp_path, deployment_manifest(2), pod_manifest("bare")) as lab:
        bare = [pod for pod in await lab.pods() if pod.metadata.name == "bare"]
        assert bare
        await lab.client.patch("Pod", "bare", "shop", {"metadata": {"labels": {"app": "other"}}})
        await lab.client.delete("Deployment", "web", "shop")
        await lab.settle()
        await lab.end_pods()
        assert await lab.sets() == {}
        assert [pod.metadata.name for pod in await lab.pods()] == ["bare"]
