"""The injector in a lab, with kubectl: pods get their sidecar by it, and wait for it when it is dead."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lab.paths import LabPaths
from lab.state import read_state
from tests.e2e.lab_host import assert_nothing_is_left, host_state, meshctl, namespaces_of

pytestmark = pytest.mark.privileged

MANIFESTS = """
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {meshproxy.io/injection: enabled}}
---
apiVersion: v1
kind: Namespace
metadata: {name: plain}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  replicas: 1
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
        - name: app
          image: web
          command: [python, -m, http.server, "8080"]
          readinessProbe: {httpGet: {port: 8080}, periodSeconds: 1}
"""
NAMES = "jsonpath={.spec.initContainers[*].name}"
INJECTED = "meshproxy-init meshproxy"


class Lab:
    """A running lab and its kubectl."""

    def __init__(self, paths: LabPaths) -> None:
        self.paths = paths

    def kubectl(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = ["kubectl", "--kubeconfig", str(self.paths.kubeconfig), *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)

    def try_pod(self, namespace: str, *flags: str) -> subprocess.CompletedProcess[str]:
        """What a pod would become; `stdout` has the names of its init containers."""
        pod = ["run", "trial", "--image=x", "--dry-run=server", "-o", NAMES]
        return self.kubectl(*pod, "-n", namespace, *flags)

    def kill(self, process: str) -> None:
        state = read_state(self.paths.state)
        assert state is not None
        os.kill(state.processes[process].pid, signal.SIGKILL)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    before = host_state()
    paths = LabPaths.of(f"injector-{os.getpid()}")
    manifests = tmp_path_factory.mktemp("injector") / "shop.yaml"
    Path(manifests).write_text(MANIFESTS)
    meshctl("up", "--name", paths.name, "-f", str(manifests), "--leaf-ttl", "40")
    namespaces = namespaces_of(paths)
    try:
        yield Lab(paths)
    finally:
        meshctl("down", "--name", paths.name)
    assert_nothing_is_left(paths, before, namespaces)


def until(condition: Callable[[], bool], seconds: float = 90.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_deployments_pods_have_their_sidecar_and_are_ready_by_its_probes(lab: Lab) -> None:
    found = lab.kubectl("get", "pods", "-n", "shop", "--no-headers").stdout
    assert "2/2" in found
    template = lab.kubectl("get", "deployment", "web", "-n", "shop", "-o", "yaml").stdout
    assert "meshproxy-init" not in template


def test_the_injector_is_seen_by_kubectl(lab: Lab) -> None:
    assert "1/1" in lab.kubectl("get", "pods", "-n", "meshproxy-system", "injector", "--no-headers").stdout
    assert "meshproxy-injector" in lab.kubectl("get", "mutatingwebhookconfigurations").stdout


def test_warnings_and_refusals_reach_the_user(lab: Lab) -> None:
    annotation = '{"metadata": {"annotations": {"traffic.meshproxy.io/excludeOutboundPort": "1"}}}'
    warned = lab.try_pod("shop", f"--overrides={annotation}")
    assert (warned.stdout, warned.returncode) == (INJECTED, 0)
    assert "Warning: annotation traffic.meshproxy.io/excludeOutboundPort" in warned.stderr
    refused = lab.try_pod("shop", "--labels=meshproxy.io/inject=yes")
    assert refused.returncode == 1
    assert 'admission webhook "namespace.injector.meshproxy.io" denied the request' in refused.stderr


def test_pods_outside_the_mesh_have_none_but_by_their_label(lab: Lab) -> None:
    assert lab.try_pod("plain").stdout == ""
    assert lab.try_pod("plain", "--labels=meshproxy.io/inject=true").stdout == INJECTED


def test_a_certificate_is_renewed_while_pods_are_made(lab: Lab) -> None:
    log = lab.paths.process_log("injector")

    def is_renewed() -> bool:
        assert lab.try_pod("shop").stdout == INJECTED
        return "certificate renewed" in log.read_text()

    until(is_renewed)
    assert lab.try_pod("shop").stdout == INJECTED


def test_a_dead_injector_holds_up_pods_of_the_mesh_only_and_comes_back(lab: Lab) -> None:
    lab.kill("injector")
    refused = lab.try_pod("shop")
    if refused.returncode:  # it may be back already
        assert 'failed calling webhook "namespace.injector.meshproxy.io"' in refused.stderr
    assert lab.try_pod("plain").returncode == 0
    until(lambda: lab.try_pod("shop").stdout == INJECTED)


def test_a_control_plane_that_was_killed_is_found_again(lab: Lab) -> None:
    lab.kill("control-plane")
    until(lambda: lab.try_pod("shop").stdout == INJECTED)
    lab.kubectl("delete", "mutatingwebhookconfiguration", "meshproxy-injector")
    until(lambda: lab.try_pod("shop").stdout == INJECTED)
