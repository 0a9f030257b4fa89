"""A lab from `up` to `down`, with plain apps: addresses, names, probes, restarts, and nothing left behind."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lab import lifecycle
from lab.paths import LabPaths
from lab.state import read_state
from tests.e2e.lab_host import (
    HostState,
    assert_nothing_is_left,
    container_pid,
    host_state,
    meshctl,
    namespaces_of,
)

pytestmark = pytest.mark.privileged

SERVER = """
import http.server, os
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = os.environ["POD"].encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
print("serving as", os.getuid(), flush=True)
http.server.ThreadingHTTPServer(("0.0.0.0", 8080), Handler).serve_forever()
"""
MANIFESTS = f"""
apiVersion: v1
kind: Namespace
metadata: {{name: plain}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: echo, namespace: plain}}
spec:
  replicas: 2
  selector: {{matchLabels: {{app: echo}}}}
  template:
    metadata: {{labels: {{app: echo}}}}
    spec:
      terminationGracePeriodSeconds: 2
      containers:
        - name: app
          command: [python, -c, {json.dumps(SERVER)}]
          env: [{{name: POD, valueFrom: {{fieldRef: {{fieldPath: metadata.name}}}}}}]
          ports: [{{name: web, containerPort: 8080}}]
          readinessProbe: {{httpGet: {{port: web}}, periodSeconds: 1}}
---
apiVersion: v1
kind: Service
metadata: {{name: echo, namespace: plain}}
spec:
  selector: {{app: echo}}
  ports: [{{name: http, port: 80, targetPort: web}}]
---
apiVersion: v1
kind: Pod
metadata: {{name: client, namespace: plain}}
spec:
  terminationGracePeriodSeconds: 1
  containers:
    - {{name: app, command: [sleep, infinity]}}
"""
FETCH = "import sys, urllib.request as r; print(r.urlopen(sys.argv[1], timeout=30).read().decode())"
NAME = f"e2e-{os.getpid()}"
PATHS = LabPaths.of(NAME)


@pytest.fixture
def before() -> HostState:
    return host_state()


@pytest.fixture(scope="module")
def manifests(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("manifests") / "plain.yaml"
    path.write_text(MANIFESTS)
    return path


@pytest.fixture
def lab(manifests: Path) -> Iterator[str]:
    """A lab that is up, and down again whatever happens."""
    try:
        yield meshctl("up", "--name", NAME, "-f", str(manifests), "--timeout", "240")
    finally:
        lifecycle.stop(PATHS)


def eventually(condition: Callable[[], object], what: str, seconds: float = 60.0) -> None:
    """Wait for another process's doing; the time is a bound, not a measurement."""
    give_up_at = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up_at, f"not in time: {what}\n{meshctl('status', '--name', NAME)}"
        time.sleep(0.05)


def execute(pod: str, *command: str, status: int = 0) -> str:
    return meshctl("exec", "--name", NAME, pod, "--", *command, status=status)


def processes() -> dict[str, int]:
    state = read_state(PATHS.state)
    assert state is not None
    return {name: process.pid for name, process in state.processes.items()}


def kill_everything() -> None:
    """The supervisor first: it must not start anything again. The others die with it, maybe before us."""
    for pid in processes().values():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def test_a_lab_runs_pods_and_leaves_nothing_behind(before: HostState, lab: str, manifests: Path) -> None:
    assert "REST API    https://127.0.0.1:" in lab
    assert str(PATHS.kubeconfig) in lab

    # Every form of the name leads to one of the pods, through the VIP.
    for name in ("echo", "echo.plain", "echo.plain.svc", "echo.plain.svc.cluster.local"):
        assert execute("client", "python", "-c", FETCH, f"http://{name}/").startswith("echo-")

    # Processes of a pod have a uid of their own and no capabilities.
    facts = execute("client", "grep", "-E", "^(Uid|Cap|Groups)", "/proc/self/status")
    assert "Uid:\t0" not in facts
    assert "CapEff:\t0000000000000000" in facts
    assert "CapBnd:\t0000000000000000" in facts
    # They see their own processes only, and cannot write where the host would notice.
    assert "meshctl" not in execute("client", "ps", "ax")
    assert "Read-only file system" in execute("client", "touch", f"{Path(__file__).parent}/x", status=1)
    execute("client", "touch", "/tmp/written-by-a-pod")

    assert "serving as 2" in meshctl("logs", "--name", NAME, "echo")
    assert "echo-" in meshctl("status", "--name", NAME)
    assert "already up" in meshctl("up", "--name", NAME, status=1)

    namespaces = namespaces_of(PATHS)
    assert f"lab {NAME} is down" in meshctl("down", "--name", NAME)
    assert_nothing_is_left(PATHS, before, namespaces)
    assert f"there is no lab {NAME}" in meshctl("down", "--name", NAME)


@pytest.mark.usefixtures("lab")
def test_a_killed_container_is_started_again() -> None:
    killed = container_pid(PATHS, "client")
    os.kill(killed, signal.SIGKILL)
    eventually(lambda: "1" in _restarts("client"), "client restarted")
    assert container_pid(PATHS, "client") != killed


def _restarts(pod: str) -> list[str]:
    rows = [line.split() for line in meshctl("status", "--name", NAME).splitlines() if f" {pod}" in line]
    return [row[4] for row in rows]


@pytest.mark.usefixtures("lab")
def test_a_pod_all_of_whose_processes_were_killed_starts_again_at_its_address() -> None:
    address = execute("client", "hostname", "-I").split()
    namespace = os.readlink(f"/proc/{container_pid(PATHS, 'client')}/ns/net")
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            if os.readlink(f"/proc/{name}/ns/net") == namespace:
                os.kill(int(name), signal.SIGKILL)
        except OSError:
            continue
    eventually(lambda: "1" in _restarts("client"), "client started again")
    assert execute("client", "hostname", "-I").split() == address


@pytest.mark.usefixtures("lab")
def test_killed_processes_of_the_lab_are_started_again_and_nothing_is_lost() -> None:
    old = processes()
    for name in ("control-plane", "injector", "kubelet", "controller"):
        os.kill(old[name], signal.SIGKILL)
    eventually(
        lambda: all(new != old[name] for name, new in processes().items() if name != "supervisor"), "new"
    )
    eventually(lambda: "echo" in _fetch_or_empty("http://echo/"), "pods run again")
    eventually(lambda: meshctl("status", "--name", NAME).count("1/1") == 4, "all pods ready")


def _fetch_or_empty(url: str) -> str:
    command = [sys.executable, "-m", "meshctl", "lab", "exec", "--name", NAME, "client", "--", "python", "-c"]
    return subprocess.run([*command, FETCH, url], capture_output=True, text=True, check=False).stdout


def test_down_after_everything_was_killed_leaves_nothing_behind(before: HostState, lab: str) -> None:
    namespaces = namespaces_of(PATHS)
    kill_everything()
    assert "the lab was killed" in meshctl("status", "--name", NAME, status=1)
    meshctl("down", "--name", NAME)
    assert_nothing_is_left(PATHS, before, namespaces)


def test_remains_of_a_killed_lab_are_removed_by_the_next_up(lab: str, manifests: Path) -> None:
    kill_everything()
    assert f"lab {NAME} is up" in meshctl("up", "--name", NAME, "-f", str(manifests))


def test_a_pod_that_does_not_become_ready_is_explained(tmp_path: Path) -> None:
    broken = tmp_path / "broken.yaml"
    broken.write_text(
        "apiVersion: v1\nkind: Pod\nmetadata: {name: broken}\nspec:\n  containers:\n"
        "  - {name: app, command: [sh, -c, 'echo it is broken; exit 3']}\n"
    )
    try:
        said = meshctl("up", "--name", NAME, "-f", str(broken), "--timeout", "30", status=1)
    finally:
        lifecycle.stop(PATHS)
    assert "Pod default/broken" in said
    assert "it is broken" in said


_WITHOUT_RIGHTS = """
import os, sys
import meshctl.__main__ as cli  # while it can still be read: the clone may lie in a closed directory
os.setgroups([])
os.setresuid(65534, 65534, 65534)
sys.argv = ["meshctl", "lab", "up"]
cli.main()
"""


def test_a_user_without_rights_is_told_what_is_needed() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _WITHOUT_RIGHTS], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1, done.stderr
    assert "needs root" in done.stderr
