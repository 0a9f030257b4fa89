"""kubectl logs and exec, through the API server to a kubelet."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from control_plane.client import ApiClient
from control_plane.kubeconfig import write_kubeconfig
from tests.contract.fake_kubelet import NODE, FakeKubelet, fake_kubelet
from tests.contract.test_kubectl import Kubectl
from tests.unit.control_plane.apiserver.serving import Serving, serving

pytestmark = pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")


@dataclass
class Cluster:
    kubectl: Kubectl
    kubelet: FakeKubelet
    serving: Serving


def pod(name: str, **spec: object) -> dict[str, object]:
    containers = [{"name": "app", "image": "x"}]
    meta = {"name": name, "namespace": "default"}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": {"containers": containers, **spec}}


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    async with (
        fake_kubelet(tmp_path / "lab") as kubelet,
        serving(tmp_path, kubelet_files=kubelet.files) as served,
    ):
        write_kubeconfig(tmp_path / "kubeconfig", served.config)
        async with ApiClient.from_kubeconfig(tmp_path / "kubeconfig") as client:
            await client.create(kubelet.node())
            await client.update_status({**kubelet.node(), "status": kubelet.status()})
            await client.create(pod("web", nodeName=NODE))
            await client.create(pod("waiting"))
        yield Cluster(Kubectl(tmp_path), kubelet, served)


async def test_logs(cluster: Cluster) -> None:
    run = cluster.kubectl.run
    options = ["--tail=5", "--timestamps", "--since=10s", "--limit-bytes=100"]
    assert await run("logs", "web", *options) == (0, "first\n")
    asked = {"tailLines": "5", "timestamps": "true", "sinceSeconds": "10", "limitBytes": "100"}
    assert cluster.kubelet.asked == [asked]
    assert await run("logs", "waiting") == (0, "")
    code, told = await run("logs", "web", "--previous")
    assert (code, 'previous terminated container "app" not found' in told) == (1, True)
    code, told = await run("logs", "web", "-c", "other")
    assert (code, "container other is not valid for pod web" in told) == (1, True)
    code, told = await run("logs", "nobody")
    assert (code, 'pods "nobody" not found' in told) == (1, True)


async def test_a_log_that_is_followed_comes_as_it_is_written(cluster: Cluster) -> None:
    process = await cluster.kubectl.start("logs", "-f", "web")
    assert process.stdout is not None
    async with asyncio.timeout(60):
        assert await process.stdout.readline() == b"first\n"
        cluster.kubelet.more.set()
        assert await process.stdout.readline() == b"second\n"
        assert await process.wait() == 0


async def test_stopping_the_server_ends_what_is_followed(cluster: Cluster) -> None:
    process = await cluster.kubectl.start("logs", "-f", "web")
    assert process.stdout is not None
    async with asyncio.timeout(60):
        assert await process.stdout.readline() == b"first\n"
        await cluster.serving.server.stop()
        await process.communicate()


async def test_exec(cluster: Cluster) -> None:
    run = cluster.kubectl.run
    assert await run("exec", "web", "--", "echo", "hello", "world") == (0, "hello world\n")
    assert await run("exec", "web", "--", "echo", "-n", "") == (0, "")  # the last argument is empty
    code, told = await run("exec", "web", "--", "echo", "x" * 20_000)
    assert (code, len(told)) == (0, 20_001)
    code, told = await run("exec", "web", "--", "sh", "-c", "echo oops >&2; exit 3")
    assert (code, "oops" in told) == (3, True)
    process = await cluster.kubectl.start("exec", "-i", "web", "--", "cat")
    async with asyncio.timeout(60):
        output, _ = await process.communicate(b"through and back\n")
    assert output == b"through and back\n"


async def test_exec_where_nothing_runs(cluster: Cluster) -> None:
    code, told = await cluster.kubectl.run("exec", "waiting", "--", "ls")
    assert (code, "does not have a host assigned" in told) == (1, True)
    code, _ = await cluster.kubectl.run("--token=wrong", "exec", "web", "--", "ls")
    assert code == 1


async def test_what_is_not_served_says_so(cluster: Cluster) -> None:
    code, told = await cluster.kubectl.run("debug", "web", "--image=x", "--profile=general")
    assert code == 1
    assert "ephemeral containers are disabled for this cluster" in told
    assert "pods/ephemeralcontainers is not served: `kubectl exec`" in told


async def test_nobody_is_taken_for_somebody_else(cluster: Cluster) -> None:
    code, told = await cluster.kubectl.run("delete", "pod", "web", "--as=viewer")
    assert code == 1
    assert "cannot impersonate anybody" in told
    assert (await cluster.kubectl.run("get", "pod", "web"))[0] == 0
