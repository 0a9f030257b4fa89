"""A Gateway in the lab: HTTPS from a stranger, ended at the gateway's pod, mesh TLS to the app."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import lifecycle
from lab.paths import LabPaths
from tests.e2e.lab_host import meshctl
from tests.unit.meshproxy.proxy.outside import authority

pytestmark = pytest.mark.privileged

APP = """
import http.server
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = str(self.headers).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
http.server.ThreadingHTTPServer(("0.0.0.0", 8080), Handler).serve_forever()
"""
CA = authority("world")
NAME = f"gateway-{os.getpid()}"
PATHS = LabPaths.of(NAME)


def manifests() -> list[dict[str, object]]:
    chain, key = CA.issue("shop.example")
    api = "gateway.networking.k8s.io/v1"
    in_edge: dict[str, object] = {"namespace": "edge"}

    def deployment(name: str, labels: dict[str, str], container: dict[str, object]) -> dict[str, object]:
        template = {
            "metadata": {"labels": labels},
            "spec": {
                "serviceAccountName": name,
                "terminationGracePeriodSeconds": 2,
                "containers": [container],
            },
        }
        spec = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}
        return {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": name, **in_edge},
            "spec": spec,
        }

    def service(name: str, selector: dict[str, str], *ports: dict[str, object]) -> dict[str, object]:
        spec = {"selector": selector, "ports": list(ports)}
        return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, **in_edge}, "spec": spec}

    def account(name: str) -> dict[str, object]:
        return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, **in_edge}}

    def route(name: str, section: str, rule: dict[str, object]) -> dict[str, object]:
        spec = {"parentRefs": [{"name": "gw", "sectionName": section}], "rules": [rule]}
        return {"apiVersion": api, "kind": "HTTPRoute", "metadata": {"name": name, **in_edge}, "spec": spec}

    label = {"gateway.networking.k8s.io/gateway-name": "gw"}
    redirect = {"type": "RequestRedirect", "requestRedirect": {"scheme": "https", "statusCode": 301}}
    listeners: list[dict[str, object]] = [
        {"name": "web", "port": 80, "protocol": "HTTP"},
        {
            "name": "secure",
            "port": 443,
            "protocol": "HTTPS",
            "hostname": "shop.example",
            "tls": {"certificateRefs": [{"name": "shop"}]},
        },
    ]
    return [
        {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": "edge", "labels": {"meshproxy.io/injection": "enabled"}},
        },
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "outside"}},
        account("app"),
        account("gw"),
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "shop", **in_edge},
            "type": "kubernetes.io/tls",
            "stringData": {"tls.crt": chain.decode(), "tls.key": key.decode()},
        },
        {
            "apiVersion": api,
            "kind": "GatewayClass",
            "metadata": {"name": "mesh"},
            "spec": {"controllerName": "meshproxy.io/gateway-controller"},
        },
        {
            "apiVersion": api,
            "kind": "Gateway",
            "metadata": {"name": "gw", **in_edge},
            "spec": {"gatewayClassName": "mesh", "listeners": listeners},
        },
        deployment("gw", label, {"name": "meshproxy", "image": "auto"}),
        deployment("app", {"app": "app"}, {"name": "app", "command": ["python", "-c", APP]}),
        service("app", {"app": "app"}, {"name": "http", "port": 8080}),
        service("gw", label, {"name": "web", "port": 80}, {"name": "secure", "port": 443}),
        route("to-https", "web", {"filters": [redirect]}),
        route("app", "secure", {"backendRefs": [{"name": "app", "port": 8080}]}),
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "stranger", "namespace": "outside"},
            "spec": {
                "terminationGracePeriodSeconds": 1,
                "containers": [{"name": "app", "command": ["sleep", "infinity"]}],
            },
        },
    ]


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[str]:
    """A lab that is up, and down again whatever happens."""
    path = tmp_path / "gateway.json"
    path.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": manifests()}))
    path = tmp_path / "gateway.yaml"
    path.write_text("\n---\n".join(json.dumps(one) for one in manifests()))
    try:
        yield meshctl("up", "--name", NAME, "-f", str(path), "--timeout", "240")
    finally:
        lifecycle.stop(PATHS)


FETCH = """
import http.client, socket, ssl, sys
context = ssl.create_default_context(cadata=sys.argv[1])
plain = http.client.HTTPConnection("gw.edge", 80, timeout=30)
plain.request("GET", "/a?b=1", headers={"Host": "shop.example"})
answer = plain.getresponse()
print(answer.status, answer.headers["location"])
raw = socket.create_connection(("gw.edge", 443), 5)
secure = context.wrap_socket(raw, server_hostname="shop.example")
lines = ("GET / HTTP/1.1", "Host: shop.example", "X-Forwarded-For: 6.6.6.6", "Connection: close", "", "")
secure.sendall("\\r\\n".join(lines).encode())
while data := secure.recv(65536):
    print(data.decode(), end="")
"""


def test_a_stranger_reaches_the_app_through_the_gateway_and_mesh_tls(lab: str) -> None:
    found = meshctl("exec", "--name", NAME, "stranger", "--", "python", "-c", FETCH, CA.pem).replace("\r", "")
    assert "301 https://shop.example/a?b=1\n" in found
    assert "HTTP/1.1 200 OK" in found
    told = {line.partition(":")[0].lower(): line.partition(": ")[2] for line in found.splitlines()}
    assert told["x-forwarded-proto"] == "https"
    assert told["x-forwarded-for"].startswith("6.6.6.6,10.")
    assert told["x-envoy-external-address"].startswith("10.")
    assert "URI=spiffe://cluster.local/ns/edge/sa/gw" in told["x-forwarded-client-cert"]
    command = ["meshctl", "get", "gateway", "gw", "-n", "edge", "-o", "json"]
    status = subprocess.run(
        [os.sys.executable, "-m", *command, "--kubeconfig", str(PATHS.kubeconfig)],  # type: ignore[attr-defined]
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert '"reason": "Programmed"' in status
    assert "PRIVATE KEY" not in status
