"""Every story of `examples/`, told on one lab of two nodes with the commands that its README gives."""

import json
import os
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import lifecycle
from lab.paths import LabPaths
from tests.e2e.lab_host import assert_nothing_is_left, host_state, meshctl, namespaces_of
from tests.e2e.lab_kubectl import Kubectl, eventually

pytestmark = [
    pytest.mark.privileged,
    pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed"),
]

PATHS = LabPaths.of(f"examples-{os.getpid()}")
EXAMPLES = Path("examples")
WITH_MARIADB = shutil.which("mariadbd", path="/usr/local/sbin:/usr/sbin:/sbin:/usr/bin") is not None
# The slowest to start comes first.
STORIES = [*(["database"] if WITH_MARIADB else []), "cross-node", "headless", "mtls", "canary"]
GET, POST = "GET http://catalog:8080/products", "POST http://catalog:8080/orders"
AS_TESTER = """
import urllib.request as r
print(r.urlopen(r.Request("http://catalog:8080/products", headers={"x-tester": "yes"})).read())
"""
KUBECTL = Kubectl(PATHS)


@pytest.fixture(scope="module")
def lab() -> Iterator[None]:
    """All stories begin at once, so that a test waits for little."""
    before = host_state()
    try:
        meshctl("up", "--name", PATHS.name, "--topology", str(EXAMPLES / "lab" / "vxlan.yaml"))
        namespaces = namespaces_of(PATHS)
        for story in STORIES:
            KUBECTL("apply", "-f", str(EXAMPLES / story / "manifests"))
        yield
    finally:
        lifecycle.stop(PATHS)
    assert_nothing_is_left(PATHS, before, namespaces)


def _ready(namespace: str) -> None:
    KUBECTL("wait", "pods", "--all", "-n", namespace, "--for=condition=Ready", "--timeout=180s")


def _load(
    namespace: str, request: str, limit: int, *, note: int = 0, pod: str = "client"
) -> Counter[tuple[int, str]]:
    """How often which status came from which version; `note` is the size of a POST's text in bytes."""
    # The text is made over there: API servers bound the length of a request line.
    text = f"$(head -c {note} /dev/zero | tr '\\0' x)"
    line = f"python -m examples.shop.load --request '{request}' --limit {limit} --note \"{text}\""
    ledger = json.loads(KUBECTL.execute(pod, namespace, "sh", "-c", line))
    return Counter((status, version) for *_, status, version, _ in ledger["records"])


def test_a_canary_is_for_testers_then_for_one_of_ten_then_for_everybody(lab: None) -> None:
    _ready("canary")
    folder = EXAMPLES / "canary"

    KUBECTL("apply", "-f", str(folder / "1-testers.yaml"))
    eventually(lambda: _load("canary", GET, 40) == {(200, "v1"): 40}, lambda: "v1 for all but testers")
    assert '"v2"' in KUBECTL.execute("client", "canary", "python", "-c", AS_TESTER)

    KUBECTL("apply", "-f", str(folder / "2-ten-percent.yaml"))
    eventually(lambda: _load("canary", GET, 40)[200, "v2"], lambda: "v2 for some")
    answers = _load("canary", GET, 400)
    assert set(answers) == {(200, "v1"), (200, "v2")}
    assert 4 <= answers[200, "v2"] <= 82  # 40, six to seven deviations wide

    KUBECTL("apply", "-f", str(folder / "3-everybody.yaml"))
    eventually(lambda: _load("canary", GET, 40) == {(200, "v2"): 40}, lambda: "v2 for all")


def test_mutual_tls_between_the_mesh_s_own_and_nothing_for_a_stranger(lab: None) -> None:
    _ready("mtls")
    _ready("mtls-outside")
    assert _load("mtls", GET, 5) == {(200, "v1"): 5}
    stranger = _load("mtls-outside", GET.replace("catalog", "catalog.mtls"), 5, pod="stranger")
    assert stranger == {(0, ""): 5}

    read = "import urllib.request as r; print(r.urlopen('http://127.0.0.1:15020/stats/prometheus').read().decode())"
    metrics = KUBECTL.execute("deploy/catalog", "mtls", "python", "-c", read).splitlines()
    [counted] = [line for line in metrics if line.startswith("istio_requests_total{")]
    assert 'source_principal="spiffe://cluster.local/ns/mtls/sa/client"' in counted
    assert 'connection_security_policy="mutual_tls"' in counted
    assert counted.endswith(" 5")


@pytest.mark.skipif(not WITH_MARIADB, reason="mariadbd is not installed")
def test_a_database_that_speaks_first_is_asked_through_mutual_tls(lab: None) -> None:
    _ready("database")
    client = ("mariadb", "-h", "db", "-u", "shop", "-psesame", "shop", "--skip-column-names")
    sql = "INSERT INTO orders (note) VALUES ('one'), ('two'); SELECT note FROM orders ORDER BY id"
    assert KUBECTL.execute("client", "database", *client, "-e", sql).split() == ["one", "two"]
    assert "ready for connections" in KUBECTL("logs", "-n", "database", "deploy/db")


def test_a_headless_service_has_the_addresses_of_its_pods_and_each_pod_a_name(lab: None) -> None:
    _ready("headless")
    own = KUBECTL("get", "pods", "-n", "headless", "-l", "app=db", "-o", "jsonpath={.items[*].status.podIP}")
    found = KUBECTL.execute("client", "headless", "getent", "ahostsv4", "db")
    assert {line.split()[0] for line in found.splitlines()} == set(own.split())
    for pod in ("db-0", "db-1", "db-2"):
        said = KUBECTL.execute(
            "client", "headless", "python", "-m", "examples.shop.talk", f"{pod}.db", "9000"
        )
        assert said.split() == ["hello", "from", pod, "goodbye,", "0", "bytes"]


def test_requests_cross_between_nodes_whatever_their_size(lab: None) -> None:
    _ready("cross-node")
    where = "jsonpath={range .items[*]}{.metadata.labels.app}={.spec.nodeName} {end}"
    nodes = dict(one.split("=") for one in KUBECTL("get", "pods", "-n", "cross-node", "-o", where).split())
    assert nodes == {"client": "one", "inventory": "one", "catalog": "two"}
    for size in (0, 100_000):
        assert _load("cross-node", POST, 3, note=size) == {(201, "v1"): 3}
