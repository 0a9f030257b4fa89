"""`kubectl rollout` against the API server and the controllers, with a kubelet that says at once that all is
well."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from control_plane.client import ApiClient, NotFound, WatchEvent
from control_plane.kubeconfig import write_kubeconfig
from control_plane.resources.manifest import Manifest, metadata, section, uid_of
from control_plane.resources.timestamp import rfc3339
from lab.controllers.process import Controllers
from lab.kubelet import run_until
from tests.unit.control_plane.apiserver.serving import serving

KUBECTL = Path("/usr/bin/kubectl")
pytestmark = pytest.mark.skipif(not KUBECTL.exists(), reason="kubectl is not installed")

DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
  annotations: {kubernetes.io/change-cause: first}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: app, image: "web:1"}]}
"""


class Kubelet:
    """Says of each bound Pod that it is ready, and lets go of those that are deleted."""

    def __init__(self, client: ApiClient) -> None:
        self._client = client
        self._seen: set[str] = set()

    async def on_pod(self, event: WatchEvent) -> None:
        pod, meta = event.object, metadata(event.object)
        if event.type == "DELETED" or not section(pod, "spec").get("nodeName"):
            return
        name, uid = str(meta["name"]), uid_of(pod)
        if meta.get("deletionTimestamp"):
            with contextlib.suppress(NotFound):  # told before
                await self._client.delete("Pod", name, str(meta["namespace"]), uid=uid, grace_period=0)
        elif uid not in self._seen:
            self._seen.add(uid)
            ready = {"type": "Ready", "status": "True", "lastTransitionTime": rfc3339(1.0)}
            status: Manifest = {
                "phase": "Running",
                "podIP": f"10.244.0.{len(self._seen)}",
                "conditions": [ready],
            }
            unversioned = {key: value for key, value in meta.items() if key != "resourceVersion"}
            await self._client.update_status({**pod, "metadata": unversioned, "status": status})


class Cluster:
    """What a person has at hand."""

    def __init__(self, client: ApiClient, kubeconfig: Path) -> None:
        self.client = client
        self._kubeconfig = kubeconfig

    async def kubectl(self, *arguments: str, given: str = "") -> str:
        """What it prints; fails the test when it fails."""
        process = await asyncio.create_subprocess_exec(
            str(KUBECTL),
            f"--kubeconfig={self._kubeconfig}",
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await process.communicate(given.encode())
        assert process.returncode == 0, f"kubectl {arguments}: {output.decode()}"
        return output.decode()

    async def rolled_out(self) -> str:
        return await self.kubectl("rollout", "status", "deployment/web", "--timeout=60s")

    async def images(self) -> set[str]:
        """Of the Pods that are to stay."""
        pods = json.loads(await self.kubectl("get", "pods", "-o", "json"))["items"]
        staying = [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]
        return {pod["spec"]["containers"][0]["image"] for pod in staying}


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    async with serving(tmp_path) as running:
        path = tmp_path / "kubeconfig"
        write_kubeconfig(path, running.config)
        async with ApiClient.from_kubeconfig(path) as client:
            await client.create({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node"}})
            controllers, stop = Controllers(client), asyncio.Event()
            kubelet = client.list_and_watch("Pod", Kubelet(client).on_pod)
            work = asyncio.create_task(run_until(stop, [kubelet, *controllers.loops()]))
            yield Cluster(client, path)
            stop.set()
            await work
            controllers.close()


async def test_a_rollout_is_followed_listed_undone_restarted_and_paused(cluster: Cluster) -> None:
    await cluster.kubectl("apply", "-f", "-", given=DEPLOYMENT)
    assert "successfully rolled out" in await cluster.rolled_out()
    second = DEPLOYMENT.replace("web:1", "web:2").replace("change-cause: first", "change-cause: second")
    await cluster.kubectl("apply", "-f", "-", given=second)
    assert "successfully rolled out" in await cluster.rolled_out()
    assert await cluster.images() == {"web:2"}
    history = await cluster.kubectl("rollout", "history", "deployment/web")
    assert [line.split() for line in history.splitlines()[2:4]] == [["1", "first"], ["2", "second"]]
    await cluster.kubectl("rollout", "undo", "deployment/web")
    await cluster.rolled_out()
    assert await cluster.images() == {"web:1"}
    await cluster.kubectl("rollout", "restart", "deployment/web")
    await cluster.rolled_out()
    await cluster.kubectl("rollout", "pause", "deployment/web")
    await cluster.kubectl("set", "image", "deployment/web", "app=web:3")
    await cluster.kubectl("scale", "deployment/web", "--replicas=3")
    assert await cluster.images() == {"web:1"}
    await cluster.kubectl("rollout", "resume", "deployment/web")
    await cluster.rolled_out()
    assert await cluster.images() == {"web:3"}
    described = await cluster.kubectl("describe", "deployment/web")
    assert "NewReplicaSet" in described
    assert "ScalingReplicaSet" in described


async def test_a_deployment_is_deleted_in_the_foreground(cluster: Cluster) -> None:
    await cluster.kubectl("apply", "-f", "-", given=DEPLOYMENT)
    await cluster.rolled_out()
    await cluster.kubectl("delete", "deployment/web", "--cascade=foreground", "--timeout=60s")
    assert "No resources found" in await cluster.kubectl("get", "replicasets,pods")
