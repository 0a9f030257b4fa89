"""Injected pods in a lab, under strict mTLS: probes, metrics, opaque ports."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from lab import lifecycle
from lab.paths import LabPaths
from tests.e2e.lab_host import meshctl

pytestmark = pytest.mark.privileged

NAME = f"injected-{os.getpid()}"
PATHS = LabPaths.of(NAME)

HTTP = """
import http.server
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        is_probe = self.path == "/live?deep=1" and self.headers["X-Probe"] == "$(POD_NAME)"
        is_scrape = self.path == "/metrics"
        self.send_response(200 if is_probe or is_scrape else 404)
        self.send_header("Content-Type", "text/plain")
        self.end_headers()
        self.wfile.write(b"orders_total 7\\n")
http.server.ThreadingHTTPServer(("0.0.0.0", 8080), Handler).serve_forever()
"""
TCP = "import socket, time; kept = socket.create_server(('0.0.0.0', 9000)); time.sleep(3600)"
GRPC = """
import grpc
from concurrent import futures
def check(request, context):
    return b"\\x08\\x01" if b"shop" in request else b"\\x08\\x02"
methods = {"Check": grpc.unary_unary_rpc_method_handler(check)}
server = grpc.server(futures.ThreadPoolExecutor(1))
server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("grpc.health.v1.Health", methods)])
server.add_insecure_port("0.0.0.0:9090")
server.start()
server.wait_for_termination()
"""
GREET = """
import socket
server = socket.create_server(("0.0.0.0", 7777))
while True:
    connection, _ = server.accept()
    connection.sendall(b"hello\\n")
    connection.close()
"""
LISTEN = """
import socket
with socket.create_connection(("marked", 7777), 5) as connection:
    print(connection.makefile().readline())
"""
ASK = """
import http.client, sys
for port, path in ((8080, "/live?deep=1"), (15020, "/app-health/web/livez"), (15020, "/stats/prometheus")):
    connection = http.client.HTTPConnection(sys.argv[1], port, timeout=30)
    try:
        connection.request("GET", path, headers={"X-Probe": "$(POD_NAME)"})
        answer = connection.getresponse()
        print(port, path, answer.status, answer.read().decode()[-200:])
    except OSError as error:
        print(port, path, type(error).__name__)
"""


def container(name: str, program: str, port: int, **fields: object) -> dict[str, object]:
    command = ["python", "-c", program]
    return {"name": name, "command": command, "ports": [{"name": name, "containerPort": port}], **fields}


def manifests() -> list[dict[str, object]]:
    often = {"periodSeconds": 1, "failureThreshold": 30}
    header = [{"name": "X-Probe", "value": "$(POD_NAME)"}]
    live = {"httpGet": {"path": "/live?deep=1", "port": "web", "httpHeaders": header}, **often}
    labels = {"meshproxy.io/injection": "enabled"}
    scraped = {"prometheus.io/scrape": "true", "prometheus.io/port": "8080"}
    probed = {
        "terminationGracePeriodSeconds": 2,
        "containers": [
            container("web", HTTP, 8080, startupProbe=live, readinessProbe=live, livenessProbe=live),
            container("raw", TCP, 9000, readinessProbe={"tcpSocket": {"port": "raw"}, **often}),
            container("rpc", GRPC, 9090, readinessProbe={"grpc": {"port": 9090, "service": "shop"}, **often}),
        ],
    }
    idle = {
        "terminationGracePeriodSeconds": 1,
        "containers": [{"name": "app", "command": ["sleep", "infinity"]}],
    }
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "meshed", "labels": labels}},
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "outside"}},
        pod("probed", "meshed", probed, annotations=scraped),
        pod("stranger", "outside", idle),
        pod("caller", "meshed", idle),
        *greeter("marked", {"traffic.meshproxy.io/opaquePorts": "7777"}),
    ]


def pod(name: str, namespace: str, spec: dict[str, object], **metadata: object) -> dict[str, object]:
    about = {"name": name, "namespace": namespace, "labels": {"app": name}, **metadata}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": about, "spec": spec}


def greeter(name: str, annotations: dict[str, str]) -> list[dict[str, object]]:
    """A server that speaks first, behind a Service that says nothing of its protocol."""
    spec: dict[str, object] = {
        "terminationGracePeriodSeconds": 1,
        "containers": [container("greet", GREET, 7777)],
    }
    service: dict[str, object] = {"selector": {"app": name}, "ports": [{"port": 7777}]}
    return [
        pod(name, "meshed", spec, annotations=annotations),
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": name, "namespace": "meshed"},
            "spec": service,
        },
    ]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A lab whose pods are ready, and down again whatever happens."""
    path = tmp_path_factory.mktemp("lab") / "pods.yaml"
    path.write_text("\n---\n".join(json.dumps(one) for one in manifests()))
    try:
        yield meshctl("up", "--name", NAME, "-f", str(path), "--timeout", "240")
    finally:
        lifecycle.stop(PATHS)


def test_probes_pass_though_the_app_cannot_be_reached_in_plaintext(lab: str) -> None:
    command = [sys.executable, "-m", "meshctl", "get", "pod", "probed", "-n", "meshed", "-o", "json"]
    command += ["--kubeconfig", str(PATHS.kubeconfig)]
    found = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    address = found["status"]["podIP"]
    told = meshctl("exec", "--name", NAME, "stranger", "--", "python", "-c", ASK, address).splitlines()
    assert told[0] in ("8080 /live?deep=1 RemoteDisconnected", "8080 /live?deep=1 ConnectionResetError")
    assert told[1] == "15020 /app-health/web/livez 200 "
    assert told[2].startswith("15020 /stats/prometheus 200 ")
    assert told[-3:-1] == ["meshproxy_app_scrape_up 1", "orders_total 7"]


def test_who_speaks_first_is_heard_at_once_where_the_pod_says_its_port_is_opaque(lab: str) -> None:
    """Undeclared, the sidecar would look at the client's first bytes, and wait 10 s for them."""
    assert "hello" in meshctl("exec", "--name", NAME, "caller", "--", "python", "-c", LISTEN)
