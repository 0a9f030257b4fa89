"""A lab from a lab file: a routed and a bridge node joined by VXLAN, both families, a kubelet each."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from ipaddress import ip_address

import pytest

from lab import lifecycle, netns
from lab.fabric import FABRIC_FILE
from lab.paths import LabPaths
from lab.state import read_state
from tests.e2e.lab_host import assert_nothing_is_left, host_state, meshctl, namespaces_of

pytestmark = pytest.mark.privileged

LAB_FILE = """
apiVersion: lab.meshproxy.io/v1alpha1
kind: Lab
network: {join: vxlan, families: [IPv4, IPv6]}
nodes:
  - {name: one, zone: a}
  - {name: two, zone: b, kind: bridge}
"""
SERVER = """
import http.server, os, socket
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = os.environ["POD"].encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
class Server(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6
Server(("::", 8080), Handler).serve_forever()
"""


def _pod(namespace: str, name: str, zone: str, command: str) -> str:
    return f"""
---
apiVersion: v1
kind: Pod
metadata: {{name: {name}, namespace: {namespace}, labels: {{app: {name.partition("-")[0]}}}}}
spec:
  nodeSelector: {{topology.kubernetes.io/zone: {zone}}}
  terminationGracePeriodSeconds: 1
  containers:
    - name: app
      image: python:3
      command: {command}
      env: [{{name: POD, valueFrom: {{fieldRef: {{fieldPath: metadata.name}}}}}}]
"""


def _service(namespace: str, node_port: int) -> str:
    return f"""
---
apiVersion: v1
kind: Service
metadata: {{name: echo, namespace: {namespace}}}
spec:
  type: NodePort
  ipFamilyPolicy: RequireDualStack
  selector: {{app: echo}}
  ports:
    - {{name: http, port: 80, targetPort: 8080, nodePort: {node_port}}}
    - {{name: tcp, port: 81, targetPort: 8080}}
    - {{name: any, port: 82, targetPort: 8080}}
"""


SERVE, SLEEP = f"[python, -c, {json.dumps(SERVER)}]", "[sleep, infinity]"
MANIFESTS = "\n".join(
    [
        "apiVersion: v1\nkind: Namespace\nmetadata: {name: plain}\n---",
        "apiVersion: v1\nkind: Namespace\nmetadata: {name: mesh, labels: {meshproxy.io/injection: enabled}}",
        *(_service(namespace, port) for namespace, port in (("plain", 30080), ("mesh", 30081))),
        *(_pod(namespace, f"echo-{zone}", zone, SERVE) for namespace in ("plain", "mesh") for zone in "ab"),
        *(_pod(namespace, f"client-{namespace}", "a", SLEEP) for namespace in ("plain", "mesh")),
    ]
)
FETCH = """
import sys, urllib.request
for _ in range(int(sys.argv[2])):
    print(urllib.request.urlopen(sys.argv[1], timeout=30).read().decode())
"""
NAME = f"e2e-cluster-{os.getpid()}"
PATHS = LabPaths.of(NAME)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    folder = tmp_path_factory.mktemp("lab")
    (folder / "lab.yaml").write_text(LAB_FILE)
    (folder / "manifests.yaml").write_text(MANIFESTS)
    before = host_state()
    try:
        files = ("--topology", str(folder / "lab.yaml"), "-f", str(folder / "manifests.yaml"))
        meshctl("up", "--name", NAME, *files, "--timeout", "240")
        namespaces = namespaces_of(PATHS)
        yield
    finally:
        lifecycle.stop(PATHS)
    assert_nothing_is_left(PATHS, before, namespaces)


def _fetch(client: str, url: str, number: int = 30) -> set[str]:
    """Which pods answered."""
    return set(meshctl("exec", "--name", NAME, client, "--", "python", "-c", FETCH, url, str(number)).split())


def _get(*arguments: str) -> dict[str, object]:
    command = [sys.executable, "-m", "meshctl", "get", *arguments, "-o", "json"]
    done = subprocess.run(
        [*command, "--kubeconfig", str(PATHS.kubeconfig)], capture_output=True, text=True, check=True
    )
    found = json.loads(done.stdout)
    assert isinstance(found, dict)
    return found


def _addresses(service: str, namespace: str = "plain") -> list[str]:
    spec = _get("service", service, "-n", namespace)["spec"]
    assert isinstance(spec, dict)
    return [str(address) for address in spec["clusterIPs"]]


def test_pods_without_sidecar_reach_a_service_across_nodes_by_each_of_its_addresses(lab: None) -> None:
    first, second = map(ip_address, _addresses("echo"))
    assert (first.version, second.version) == (4, 6)
    # Out of 30 fair draws one of two pods is left out twice in a milliard runs.
    for url in (f"http://{first}/", f"http://[{second}]/", "http://echo/"):
        assert _fetch("client-plain", url) == {"echo-a", "echo-b"}


def test_pods_of_the_mesh_reach_each_other_across_nodes_by_each_address_and_protocol(lab: None) -> None:
    first, second = _addresses("echo", "mesh")
    for host in ("echo", first, f"[{second}]"):
        for port in (80, 81, 82):  # declared HTTP, declared TCP, undeclared
            assert _fetch("client-mesh", f"http://{host}:{port}/") == {"echo-a", "echo-b"}


@pytest.mark.parametrize("node", ["172.30.0.1", "172.30.0.2", "[fd00:172:30::2]"])
def test_a_node_port_is_open_on_every_node_for_who_stands_outside(lab: None, node: str) -> None:
    command = [sys.executable, "-c", FETCH, f"http://{node}:30080/", "30"]
    assert set(netns.run(PATHS.root / "netns" / FABRIC_FILE, command).split()) == {"echo-a", "echo-b"}


def test_a_killed_kubelet_is_started_again_and_its_node_converges(lab: None) -> None:
    old = _pid("kubelet-two")
    os.kill(old, signal.SIGKILL)
    _eventually(lambda: _pid("kubelet-two") != old, "another kubelet")
    _eventually(_served_by_both, "pods of node two serve again")


def _pid(process: str) -> int:
    state = read_state(PATHS.state)
    assert state is not None
    return state.processes[process].pid


def _served_by_both() -> bool:
    command = [sys.executable, "-m", "meshctl", "lab", "exec", "--name", NAME, "client-plain", "--"]
    line = [*command, "python", "-c", FETCH, "http://echo/", "20"]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    return done.returncode == 0 and set(done.stdout.split()) == {"echo-a", "echo-b"}


def _eventually(condition: Callable[[], object], what: str) -> None:
    """Wait for another process's doing; the time is a bound, not a measurement."""
    give_up_at = time.monotonic() + 90
    while not condition():
        assert time.monotonic() < give_up_at, f"not in time: {what}\n{meshctl('status', '--name', NAME)}"
        time.sleep(0.1)
