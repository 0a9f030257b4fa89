"""kubectl, the client everybody has, against our API server: plain verbs do what they say."""

import asyncio
import json
import os
import shutil
from pathlib import Path

import pytest

from control_plane.kubeconfig import write_kubeconfig
from tests.unit.control_plane.apiserver.serving import serving

pytestmark = pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")

MANIFESTS = """
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: v1
kind: Service
metadata: {name: catalog, namespace: shop}
spec: {selector: {app: catalog}, ports: [{name: http, port: 8080}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: split, namespace: shop}
spec:
  parentRefs: [{group: "", kind: Service, name: catalog, port: 8080}]
  rules: [{backendRefs: [{name: catalog, port: 8080, weight: 90}]}]
"""


class Kubectl:
    """Runs kubectl with its caches in the test's own directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    async def start(self, *arguments: str) -> asyncio.subprocess.Process:
        """A process whose output is read as it comes; its standard error with it."""
        command = ["kubectl", "--kubeconfig", str(self._directory / "kubeconfig"), *arguments]
        return await asyncio.create_subprocess_exec(
            *command,
            env={"PATH": os.environ["PATH"], "HOME": str(self._directory)},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )

    async def run(self, *arguments: str, stdin: str = "") -> tuple[int, str]:
        """Exit code, and standard output together with standard error."""
        process = await self.start(*arguments)
        output, _ = await process.communicate(stdin.encode())
        assert process.returncode is not None
        return process.returncode, output.decode()


async def test_plain_verbs(tmp_path: Path) -> None:
    async with serving(tmp_path) as serve:
        write_kubeconfig(tmp_path / "kubeconfig", serve.config)
        file = tmp_path / "shop.yaml"
        file.write_text(MANIFESTS)
        kubectl = Kubectl(tmp_path)

        assert json.loads((await kubectl.run("get", "pods", "-A", "-o", "json"))[1])["items"] == []
        assert await kubectl.run("create", "-f", str(file)) == (
            0,
            "namespace/shop created\n"
            "service/catalog created\n"
            "httproute.gateway.networking.k8s.io/split created\n",
        )
        code, found = await kubectl.run("-n", "shop", "get", "svc/catalog", "-o", "json")
        assert (code, json.loads(found)["spec"]["clusterIP"]) == (0, "10.96.0.11")

        file.write_text(MANIFESTS.replace("weight: 90", "weight: -1"))
        code, refusal = await kubectl.run("replace", "-f", str(file))
        assert code == 1
        assert "spec.rules[0].backendRefs[0].weight" in refusal

        patch = '{"spec": {"rules": [{"backendRefs": [{"name": "catalog", "port": 8080, "weight": 5}]}]}}'
        assert (await kubectl.run("-n", "shop", "patch", "httproute", "split", "--type=merge", "-p", patch))[
            0
        ] == 0
        weight = "jsonpath={.spec.rules[0].backendRefs[0].weight}"
        assert await kubectl.run("-n", "shop", "get", "httproute", "split", "-o", weight) == (0, "5")
        assert (await kubectl.run("delete", "ns", "shop"))[0] == 0
        code, refusal = await kubectl.run("-n", "shop", "get", "svc", "catalog")
        assert code == 1
        assert "NotFound" in refusal
        code, refusal = await kubectl.run("--token=wrong", "get", "ns")
        assert code == 1
        assert "must be logged in" in refusal
