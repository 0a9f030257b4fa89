"""kubectl reads: tables, selectors, watches, describe, explain, discovery; and what each role is told."""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from control_plane.apiserver.identity import Role
from control_plane.kubeconfig import write_kubeconfig
from tests.contract.test_kubectl import MANIFESTS, Kubectl
from tests.unit.control_plane.apiserver.serving import ADMIN_TOKEN, serving

pytestmark = pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")

WORKLOADS = """---
apiVersion: apps/v1
kind: Deployment
metadata: {name: catalog, namespace: shop}
spec:
  selector: {matchLabels: {app: catalog}}
  template:
    metadata: {labels: {app: catalog}}
    spec: {containers: [{name: app, image: "shop:1", ports: [{containerPort: 8080}]}]}
---
apiVersion: v1
kind: Pod
metadata: {name: one, namespace: shop, labels: {app: catalog}}
spec: {containers: [{name: app, image: "shop:1"}]}
---
apiVersion: v1
kind: Pod
metadata: {name: two, namespace: shop, labels: {app: other}}
spec: {containers: [{name: app, image: "shop:1"}]}
"""
TOKENS = {Role.ADMIN: ADMIN_TOKEN, Role.EDITOR: "of-an-editor", Role.VIEWER: "of-a-viewer"}


@dataclass
class Shop:
    kubectl: Kubectl
    directory: Path

    async def __call__(self, *arguments: str, code: int = 0) -> str:
        found, output = await self.kubectl.run(*arguments)
        assert found == code, output
        return output

    async def rows(self, *arguments: str) -> list[list[str]]:
        """The table as words, the first row its head."""
        return [line.split() for line in (await self(*arguments)).splitlines()]


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    async with serving(tmp_path, role_tokens=TOKENS) as served:
        write_kubeconfig(tmp_path / "kubeconfig", replace(served.config, namespace="shop"))
        shop = Shop(Kubectl(tmp_path), tmp_path)
        file = tmp_path / "shop.yaml"
        file.write_text(MANIFESTS + WORKLOADS)
        assert "deployment.apps/catalog created" in await shop("apply", "-f", str(file))
        yield shop


async def test_tables(shop: Shop) -> None:
    head, one, two = await shop.rows("get", "pods")
    assert head == ["NAME", "READY", "STATUS", "RESTARTS", "AGE"]
    assert (one[:4], two[0]) == (["one", "0/1", "Pending", "0"], "two")
    assert (await shop.rows("get", "pods", "-A"))[1][:2] == ["shop", "one"]
    assert (await shop.rows("get", "deploy", "-o", "wide"))[1][-3:] == ["app", "shop:1", "app=catalog"]
    head, service = await shop.rows("get", "svc")
    assert (head[-2:], service[4]) == (["PORT(S)", "AGE"], "8080/TCP")
    assert (await shop.rows("get", "ns", "shop"))[1][:2] == ["shop", "Active"]
    assert "pod/one" in await shop("get", "all")
    assert (await shop.rows("get", "sa", "-A", "--chunk-size=1", "--no-headers"))[-1][:2] == [
        "shop",
        "default",
    ]


async def test_selectors_and_forms(shop: Shop) -> None:
    assert await shop("get", "pods", "-l", "app=catalog", "-o", "name") == "pod/one\n"
    assert await shop("get", "pods", "--field-selector", "metadata.name=two", "-o", "name") == "pod/two\n"
    assert len((await shop("get", "po", "--field-selector=status.phase=Pending", "-o", "name")).split()) == 2
    told = await shop("get", "svc", "--field-selector", "spec.nothing=1", code=1)
    assert "field label not supported: spec.nothing" in told
    assert json.loads(await shop("get", "deploy", "catalog", "-o", "json"))["spec"]["replicas"] == 1
    assert await shop("get", "deploy", "-o", "custom-columns=N:.metadata.name", "--no-headers") == "catalog\n"


async def test_a_watch_prints_what_changes(shop: Shop) -> None:
    process = await shop.kubectl.start("get", "pods", "-l", "app=catalog", "-w")
    assert process.stdout is not None
    async with asyncio.timeout(60):
        lines = [await process.stdout.readline() for _ in range(2)]
        assert lines[1].startswith(b"one")
        await shop("label", "pod", "two", "app=catalog", "--overwrite")
        assert (await process.stdout.readline()).startswith(b"two")
        process.terminate()
        await process.communicate()


async def test_describe_and_explain(shop: Shop) -> None:
    told = await shop("describe", "deployment", "catalog")
    assert "1 desired" in told
    assert "25% max unavailable, 25% max surge" in told
    assert "8080/TCP" in await shop("describe", "svc", "catalog")
    assert "shop:1" in await shop("describe", "pod", "one")
    assert "Backend Refs" in await shop("describe", "httproute", "split")
    assert "containers" in await shop("explain", "pod.spec")
    assert "backendRefs" in await shop("explain", "httproute.spec.rules")


async def test_what_is_served(shop: Shop) -> None:
    kinds = await shop("api-resources", "-o", "name")
    assert {"pods", "deployments.apps", "httproutes.gateway.networking.k8s.io"} <= set(kinds.split())
    assert "gateway.networking.k8s.io/v1beta1" in (await shop("api-versions")).split()
    assert "+meshproxy" in await shop("version")
    told = await shop("get", "httproutes.v1beta1.gateway.networking.k8s.io", "split", "-o", "yaml")
    assert "apiVersion: gateway.networking.k8s.io/v1beta1" in told


async def test_roles(shop: Shop) -> None:
    viewer = f"--token={TOKENS[Role.VIEWER]}"
    assert "one" in await shop("get", "pods", viewer)
    told = await shop("delete", "pod", "one", viewer, code=1)
    assert 'pods "one" is forbidden: User "viewer" cannot delete resource "pods" in API group ""' in told
    assert "cannot list resource" in await shop("get", "secrets", viewer, code=1)
    editor = f"--token={TOKENS[Role.EDITOR]}"
    assert "deleted" in await shop("delete", "pod", "two", "--now", editor)
    assert 'namespaces "shop" is forbidden' in await shop("delete", "ns", "shop", editor, code=1)
