"""A whole mesh for an API server that is not the lab's own."""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from control_plane.client import ApiClient
from control_plane.resources.manifest import key_of
from control_plane.resources.pod import Pod
from lab import lifecycle
from lab.paths import LabPaths
from lab.state import read_state
from tests.contract.control_plane_process import START_TIMEOUT
from tests.e2e.bare_api_server import KUBECONFIG
from tests.e2e.lab_host import assert_nothing_is_left, host_state, meshctl, namespaces_of

pytestmark = pytest.mark.privileged

NAME = f"e2e-foreign-{os.getpid()}"
PATHS = LabPaths.of(NAME)
SERVER = (
    "import http.server as h; h.ThreadingHTTPServer(('', 8080), h.SimpleHTTPRequestHandler).serve_forever()"
)
MANIFESTS = f"""
apiVersion: v1
kind: Namespace
metadata: {{name: shop, labels: {{meshproxy.io/injection: enabled}}}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: echo, namespace: shop}}
spec:
  replicas: 2
  selector: {{matchLabels: {{app: echo}}}}
  template:
    metadata: {{labels: {{app: echo}}}}
    spec:
      terminationGracePeriodSeconds: 1
      containers: [{{name: app, image: python:3, command: [python, -c, {json.dumps(SERVER)}]}}]
---
apiVersion: v1
kind: Service
metadata: {{name: echo, namespace: shop}}
spec: {{selector: {{app: echo}}, ports: [{{port: 80, targetPort: 8080}}]}}
---
apiVersion: v1
kind: Pod
metadata: {{name: client, namespace: shop}}
spec:
  terminationGracePeriodSeconds: 1
  containers: [{{name: app, image: python:3, command: [sleep, infinity]}}]
"""
METRICS = """
import urllib.request as r
page = r.urlopen("http://127.0.0.1:15020/stats/prometheus", timeout=30).read().decode()
print([line for line in page.splitlines() if "istio_requests_total" in line and 'sa/default"' in line])
"""
FETCH = "import urllib.request as r; print(r.urlopen('http://echo/', timeout=30).status)"


@pytest.fixture
def kubeconfig(tmp_path: Path) -> Iterator[Path]:
    """Of an API server that knows nothing of meshes."""
    path = tmp_path / "api" / KUBECONFIG
    path.parent.mkdir(mode=0o700)
    process = subprocess.Popen([sys.executable, "-m", "tests.e2e.bare_api_server", str(path.parent)])
    try:
        give_up_at = time.monotonic() + START_TIMEOUT
        while not path.exists():
            assert process.poll() is None, "the API server ended"
            assert time.monotonic() < give_up_at, "the API server did not start"
            time.sleep(0.02)
        yield path
    finally:
        process.terminate()
        assert process.wait(timeout=60) == 0


def test_its_pods_run_on_the_labs_nodes(kubeconfig: Path, tmp_path: Path) -> None:
    (tmp_path / "manifests.yaml").write_text(MANIFESTS)
    before = host_state()
    try:
        given = ("--zones", "a,b", "--kubeconfig", str(kubeconfig), "-f", str(tmp_path / "manifests.yaml"))
        meshctl("up", "--name", NAME, *given, "--timeout", "240")
        state = read_state(PATHS.state)
        assert state is not None
        kubelets = ["kubelet-node-a", "kubelet-node-b"]
        assert sorted(state.processes) == ["control-plane", "controller", "injector", *kubelets, "supervisor"]
        assert meshctl("exec", "--name", NAME, "client", "--", "python", "-c", FETCH).strip() == "200"
        assert {len(pod.spec.init_containers) for pod in asyncio.run(pods_of(kubeconfig))} == {2}
        seen = meshctl("exec", "--name", NAME, "client", "--", "python", "-c", METRICS)
        assert 'destination_principal="spiffe://cluster.local/ns/shop/sa/default"' in seen
        namespaces = namespaces_of(PATHS)
    finally:
        lifecycle.stop(PATHS)
    assert_nothing_is_left(PATHS, before, namespaces)
    assert asyncio.run(left_of(kubeconfig)) == []


async def pods_of(kubeconfig: Path) -> list[Pod]:
    async with ApiClient.from_kubeconfig(kubeconfig) as client:
        return [Pod.read(item) for item in (await client.list("Pod", "shop")).items]


async def left_of(kubeconfig: Path) -> list[str]:
    """Of what the lab has made in the API server."""
    kinds = ("Node", "Pod", "MutatingWebhookConfiguration")
    async with ApiClient.from_kubeconfig(kubeconfig) as client:
        return [str(key_of(item)) for kind in kinds for item in (await client.list(kind)).items]
