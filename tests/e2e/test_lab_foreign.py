"""Nodes, kubelets and controllers for an API server that is not the lab's own."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import lifecycle
from lab.paths import LabPaths
from lab.state import read_state
from tests.contract.control_plane_process import ControlPlaneProcess
from tests.e2e.lab_host import assert_nothing_is_left, host_state, meshctl, namespaces_of

pytestmark = pytest.mark.privileged

NAME = f"e2e-foreign-{os.getpid()}"
PATHS = LabPaths.of(NAME)
SERVER = (
    "import http.server as h; h.ThreadingHTTPServer(('', 8080), h.SimpleHTTPRequestHandler).serve_forever()"
)
MANIFESTS = f"""
apiVersion: apps/v1
kind: Deployment
metadata: {{name: echo}}
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
metadata: {{name: echo}}
spec: {{selector: {{app: echo}}, ports: [{{port: 80, targetPort: 8080}}]}}
---
apiVersion: v1
kind: Pod
metadata: {{name: client}}
spec:
  terminationGracePeriodSeconds: 1
  containers: [{{name: app, image: python:3, command: [sleep, infinity]}}]
"""
FETCH = "import urllib.request as r; print(r.urlopen('http://echo/', timeout=5).status)"


@pytest.fixture
def kubeconfig(tmp_path: Path) -> Iterator[Path]:
    """Of an API server that knows nothing of labs."""
    server = ControlPlaneProcess(tmp_path / "api")
    try:
        server.ready()
        yield server.data_dir / "kubeconfig"
    finally:
        server.stop()


def test_its_pods_run_on_the_labs_nodes(kubeconfig: Path, tmp_path: Path) -> None:
    (tmp_path / "manifests.yaml").write_text(MANIFESTS)
    before = host_state()
    try:
        given = ("--zones", "a,b", "--kubeconfig", str(kubeconfig), "-f", str(tmp_path / "manifests.yaml"))
        meshctl("up", "--name", NAME, *given, "--timeout", "30")
        state = read_state(PATHS.state)
        assert state is not None
        assert sorted(state.processes) == ["controller", "kubelet-node-a", "kubelet-node-b", "supervisor"]
        assert meshctl("exec", "--name", NAME, "client", "--", "python", "-c", FETCH).strip() == "200"
        namespaces = namespaces_of(PATHS)
    finally:
        lifecycle.stop(PATHS)
    assert_nothing_is_left(PATHS, before, namespaces)
