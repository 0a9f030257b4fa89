"""DNS in a lab: what pods are told, what their sidecars answer, also when all else is dead."""

import contextlib
import os
import re
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from dnslib import RCODE, DNSRecord

from lab import lifecycle, netns
from lab.addressing import DNS_ADDRESS
from lab.paths import LabPaths
from lab.process import running_with
from tests.e2e.lab_host import container_pid, host_state, meshctl

pytestmark = pytest.mark.privileged

PATIENCE = 10.0
NAME = f"e2e-dns-{os.getpid()}"
PATHS = LabPaths.of(NAME)


def _pod(name: str, spec: str = "", annotations: str = "") -> str:
    return f"""
---
apiVersion: v1
kind: Pod
metadata: {{name: {name}, namespace: mesh, labels: {{app: {name}}}, annotations: {{{annotations}}}}}
spec:
  terminationGracePeriodSeconds: 1
  hostname: {name}
  subdomain: db
  {spec}
  containers: [{{name: app, image: none, command: [sleep, infinity]}}]
"""


CONFIG = """dnsPolicy: None
  dnsConfig:
    nameservers: [10.96.0.10]
    searches: [mesh.svc.cluster.local, cluster.local]
    options: [{name: ndots, value: "2"}]
"""
TWO_WORKERS = "sidecar.meshproxy.io/concurrency: '2'"
APART = "meshproxy.io/inject: 'false'"
MANIFESTS = f"""
apiVersion: v1
kind: Namespace
metadata: {{name: mesh, labels: {{meshproxy.io/injection: enabled}}}}
---
apiVersion: v1
kind: Service
metadata: {{name: catalog, namespace: mesh}}
spec: {{clusterIP: 10.96.0.77, selector: {{app: none}}, ports: [{{name: http, port: 8080}}]}}
---
apiVersion: v1
kind: Service
metadata: {{name: db, namespace: mesh}}
spec: {{clusterIP: None, selector: {{app: client}}, ports: [{{name: sql, port: 3306}}]}}
---
apiVersion: v1
kind: Service
metadata: {{name: alias, namespace: mesh}}
spec: {{type: ExternalName, externalName: catalog.mesh.svc.cluster.local}}
---
apiVersion: meshproxy.io/v1alpha1
kind: ServiceEntry
metadata: {{name: api, namespace: mesh}}
spec:
  hosts: [api.example.com]
  addresses: [240.240.0.1]
  resolution: DNS
  ports: [{{number: 443, name: tls, protocol: TLS}}]
{_pod("client")}{_pod("chosen", CONFIG, TWO_WORKERS)}{_pod("plain", annotations=APART)}
"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    before = host_state()
    manifests: Path = tmp_path_factory.mktemp("lab") / "manifests.yaml"
    manifests.write_text(MANIFESTS)
    try:
        meshctl("up", "--name", NAME, "-f", str(manifests))
        yield
    finally:
        lifecycle.stop(PATHS)
    assert host_state() == before


def network(pod: str) -> Path:
    [found] = (PATHS.root / "netns").glob(f"mesh_{pod}_*")
    return found


def ask(name: str, kind: str = "A", *, pod: str = "client", patience: float = PATIENCE) -> DNSRecord:
    """Asked by UDP as any program in the pod would."""
    with netns.open_socket(network(pod), socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(patience)
        client.connect((str(DNS_ADDRESS), 53))
        client.send(DNSRecord.question(name, kind).pack())
        return DNSRecord.parse(client.recv(4096))


def found(name: str, kind: str = "A", pod: str = "client") -> list[str]:
    return sorted(str(record.rdata) for record in ask(name, kind, pod=pod).rr)


def resolve(name: str) -> list[str]:
    """By the C library of a program in the pod, IPv4 only."""
    with contextlib.suppress(AssertionError):
        text = meshctl("exec", "--name", NAME, "client", "--", "getent", "ahostsv4", name)
        return sorted({line.split()[0] for line in text.splitlines() if line})
    return []


def counted(pod: str = "client") -> tuple[int, int]:
    """(questions answered, queries sent upstream) by the pod's sidecar."""
    with netns.open_socket(network(pod), socket.AF_INET, socket.SOCK_STREAM) as connection:
        connection.settimeout(PATIENCE)
        connection.connect(("127.0.0.1", 15090))
        connection.sendall(b"GET /stats/prometheus HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        text = b"".join(iter(lambda: connection.recv(65536), b"")).decode()
    asked = re.findall(r"^meshproxy_dns_requests_total\{.*\} (\d+)", text, re.MULTILINE)
    [sent] = re.findall(r"^meshproxy_dns_upstream_queries_total (\d+)", text, re.MULTILINE)
    return sum(map(int, asked)), int(sent)


def address_of(pod: str) -> str:
    text = netns.run(network(pod), ["ip", "-4", "-oneline", "address", "show", "dev", "eth0"])
    match = re.search(r"inet ([0-9.]+)", text)
    assert match is not None
    return match.group(1)


@contextlib.contextmanager
def stopped(*modules: str) -> Iterator[None]:
    """Processes of the lab that stand still: whoever asks them waits in vain."""
    places = (PATHS.root, PATHS.control_plane)
    processes = {one.pid: one for place in places for one in running_with(modules, str(place))}.values()
    assert len(processes) == len(modules)
    for process in processes:
        os.kill(process.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for process in processes:
            os.kill(process.pid, signal.SIGCONT)


MESH = {
    "catalog.mesh.svc.cluster.local": ["10.96.0.77"],
    "alias.mesh.svc.cluster.local": ["10.96.0.77"],
    "api.example.com": ["240.240.0.1"],
}


def test_sidecars_answer_names_of_the_mesh_and_nobody_else_is_asked(lab: None) -> None:
    before = counted()
    for name, addresses in MESH.items():
        assert found(name) == addresses
    assert (
        found("db.mesh.svc.cluster.local")
        == found("client.db.mesh.svc.cluster.local")
        == [address_of("client")]
    )
    assert resolve("catalog") == resolve("alias.mesh") == ["10.96.0.77"]
    after = counted()
    assert after[0] - before[0] >= 7
    assert after[1] == before[1]


def test_of_the_names_of_ndots_5_one_is_asked_for_upstream(lab: None) -> None:
    """The first two are no Services, which the sidecar knows; the third is a pod's, which it does not."""
    name = f"{address_of('client').replace('.', '-')}.mesh.pod"
    before = counted()
    assert resolve(name) == [address_of("client")]
    between = counted()
    assert (between[0] - before[0], between[1] - before[1]) == (3, 1)
    assert resolve(name) == [address_of("client")]
    assert counted()[1] == between[1]


def test_what_the_mesh_does_not_know_the_clusters_dns_says(lab: None) -> None:
    assert found("_http._tcp.catalog.mesh.svc.cluster.local", "SRV") == [
        "0 100 8080 catalog.mesh.svc.cluster.local."
    ]
    assert found("77.0.96.10.in-addr.arpa", "PTR") == ["catalog.mesh.svc.cluster.local."]
    assert ask("www.example.com").header.rcode == RCODE.SERVFAIL


def test_pods_without_a_sidecar_have_the_clusters_dns(lab: None) -> None:
    assert found("catalog.mesh.svc.cluster.local", pod="plain") == ["10.96.0.77"]
    assert ask("api.example.com", pod="plain").header.rcode == RCODE.REFUSED


def test_pods_are_told_what_their_policy_says(lab: None) -> None:
    def file(pod: str) -> list[str]:
        return meshctl("exec", "--name", NAME, pod, "--", "cat", "/etc/resolv.conf").splitlines()

    assert file("chosen") == [
        "nameserver 10.96.0.10",
        "search mesh.svc.cluster.local cluster.local",
        "options ndots:2",
    ]
    server, search, options = file("client")
    assert (server, options) == ("nameserver 10.96.0.10", "options ndots:5")
    assert search.startswith("search mesh.svc.cluster.local svc.cluster.local cluster.local")


def test_one_process_answers_where_several_carry_the_traffic(lab: None) -> None:
    for _ in range(4):
        assert found("catalog.mesh.svc.cluster.local", pod="chosen") == ["10.96.0.77"]
    with open(f"/proc/{container_pid(PATHS, 'chosen', 'meshproxy')}/net/udp") as table:
        resolvers = [line for line in table if line.split()[1] == "0100007F:3ACD"]  # 127.0.0.1:15053
    assert len(resolvers) == 1


def test_names_of_the_mesh_outlive_the_clusters_dns_and_the_control_plane(lab: None) -> None:
    with stopped("lab.kubelet", "control_plane"):
        for name, addresses in MESH.items():
            assert found(name) == addresses
        with pytest.raises(TimeoutError):
            ask("catalog.mesh.svc.cluster.local", pod="plain", patience=0.2)
