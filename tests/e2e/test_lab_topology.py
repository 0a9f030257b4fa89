"""A mesh in the lab with zones, a headless Service and another name for a Service: real DNS and redirects."""

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import lifecycle
from lab.paths import LabPaths
from tests.e2e.lab_host import host_state, meshctl

pytestmark = pytest.mark.privileged

HTTP = """
import http.server, os
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        body = os.environ["POD"].encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass
http.server.ThreadingHTTPServer(("0.0.0.0", 8080), Handler).serve_forever()
"""
TCP = """
import os, socket
listener = socket.create_server(("0.0.0.0", 7000))
while True:
    connection, _ = listener.accept()
    connection.sendall(os.environ["POD"].encode())
    connection.close()
"""
SERVE = f"import threading; threading.Thread(target=exec, args=({TCP!r}, {{}})).start(); exec({HTTP!r}, {{}})"


def _pod(number: int, zone: str) -> str:
    return f"""
---
apiVersion: v1
kind: Pod
metadata: {{name: db-{number}, namespace: mesh, labels: {{app: db}}}}
spec:
  hostname: db-{number}
  subdomain: db
  nodeSelector: {{topology.kubernetes.io/zone: {zone}}}
  terminationGracePeriodSeconds: 1
  containers:
    - name: app
      command: [python, -c, {json.dumps(SERVE)}]
      env: [{{name: POD, valueFrom: {{fieldRef: {{fieldPath: metadata.name}}}}}}]
      readinessProbe: {{tcpSocket: {{port: 8080}}, periodSeconds: 1}}
"""


PORTS = "ports: [{name: http, port: 8080}, {name: tcp, port: 7000}]"
MANIFESTS = f"""
apiVersion: v1
kind: Namespace
metadata: {{name: mesh, labels: {{meshproxy.io/injection: enabled}}}}
---
apiVersion: v1
kind: Service
metadata: {{name: db, namespace: mesh}}
spec: {{clusterIP: None, selector: {{app: db}}, {PORTS}}}
---
apiVersion: v1
kind: Service
metadata: {{name: near, namespace: mesh}}
spec: {{selector: {{app: db}}, {PORTS}}}
---
apiVersion: v1
kind: Service
metadata: {{name: alias, namespace: mesh}}
spec: {{type: ExternalName, externalName: near.mesh.svc.cluster.local, {PORTS}}}
---
apiVersion: meshproxy.io/v1alpha1
kind: TrafficPolicy
metadata: {{name: near, namespace: mesh}}
spec:
  targetRefs: [{{group: "", kind: Service, name: near}}]
  loadBalancer: {{locality: {{failover: {{}}}}}}
---
apiVersion: v1
kind: Pod
metadata: {{name: client, namespace: mesh}}
spec:
  nodeSelector: {{topology.kubernetes.io/zone: b}}
  terminationGracePeriodSeconds: 1
  containers:
    - {{name: app, command: [sleep, infinity]}}
{_pod(0, "a")}{_pod(1, "b")}
"""
FETCH = """
import socket, sys, urllib.request
for _ in range(int(sys.argv[2])):
    if sys.argv[1].startswith("http"):
        print(urllib.request.urlopen(sys.argv[1], timeout=30).read().decode())
    else:
        with socket.create_connection((sys.argv[1], 7000), 5) as connection:
            print(connection.recv(100).decode())
"""
NAME = f"e2e-zones-{os.getpid()}"
PATHS = LabPaths.of(NAME)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    before = host_state()
    manifests: Path = tmp_path_factory.mktemp("lab") / "manifests.yaml"
    manifests.write_text(MANIFESTS)
    try:
        meshctl("up", "--name", NAME, "--zones", "a,b", "-f", str(manifests))
        yield
    finally:
        lifecycle.stop(PATHS)
    assert host_state() == before


def _answers(target: str, number: int = 8) -> Counter[str]:
    """Which pods answered the client."""
    words = ("exec", "--name", NAME, "client", "--", "python", "-c", FETCH, target, str(number))
    return Counter(meshctl(*words).split())


def test_a_headless_service_is_all_of_its_pods(lab: None) -> None:
    assert set(_answers("http://db:8080/", 40)) == {"db-0", "db-1"}
    assert _answers("http://db-1.db:8080/") == {"db-1": 8}, "a pod's own name is that pod"
    assert _answers("db-0.db") == {"db-0": 8}, "opaque bytes too, with mutual TLS: peers are strict"
    assert set(_answers("db", 2)) <= {"db-0", "db-1"}


def test_requests_stay_in_the_clients_zone_until_it_has_nobody(lab: None) -> None:
    assert _answers("http://near:8080/", 20) == {"db-1": 20}
    subprocess.run(
        [
            sys.executable,
            "-m",
            "meshctl",
            "delete",
            "pod",
            "db-1",
            "-n",
            "mesh",
            "--kubeconfig",
            str(PATHS.kubeconfig),
        ],
        check=True,
    )
    deadline = time.monotonic() + 90
    while _answers("http://near:8080/", 4) != {"db-0": 4}:
        assert time.monotonic() < deadline, "nobody took over"


def test_another_name_for_a_service_is_that_service(lab: None) -> None:
    assert set(_answers("http://alias:8080/", 4)) <= {"db-0", "db-1"}
