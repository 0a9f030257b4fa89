"""`meshctl diagnose` in one real lab: what is broken is named right, what is healthy is not accused."""

import asyncio
import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from control_plane.client import ApiClient
from lab import lifecycle, netns
from lab.paths import LABS, LabPaths
from meshctl.__main__ import main
from meshctl.diagnose.collector import Collector
from meshctl.diagnose.eyes import Blind, Eyes, eyes_for
from meshctl.diagnose.finding import Finding, Layer, State
from meshctl.diagnose.question import parse_question
from meshctl.diagnose.walk import cause, walk
from tests.e2e.lab_host import container_pid, host_state, meshctl

pytestmark = pytest.mark.privileged

NAME = f"e2e-diagnose-{os.getpid()}"
PATHS = LabPaths.of(NAME)
SERVE = "[python, -m, http.server, '8080']"
FAILING = (
    "import http.server as s\\n"
    "class H(s.BaseHTTPRequestHandler):\\n"
    "  protocol_version = 'HTTP/1.1'\\n"
    "  def do_GET(self):\\n"
    "    self.send_response(500); self.send_header('content-length', 0); self.end_headers()\\n"
    "s.ThreadingHTTPServer(('0.0.0.0', 8080), H).serve_forever()"
)
CALLS = (
    "import urllib.request as r\n"
    "for _ in range(12):\n"
    "    try: r.urlopen('http://failing:8080/', timeout=5)\n"
    "    except OSError: pass\n"
)


def _pod(name: str, command: str = "[sleep, infinity]", *, space: str = "mesh", **more: str) -> str:
    annotations, spec, container = (more.get(key, "") for key in ("annotations", "spec", "container"))
    ports = "ports: [{name: http, containerPort: 8080}]"
    return f"""
---
apiVersion: v1
kind: Pod
metadata: {{name: {name}, namespace: {space}, labels: {{app: {name}}}, annotations: {{{annotations}}}}}
spec:
  terminationGracePeriodSeconds: 1
  {spec}
  containers: [{{name: app, image: none, command: {command}, {ports}, {container}}}]
"""


def _service(name: str, spec: str, *, space: str = "mesh") -> str:
    return f"""
---
apiVersion: v1
kind: Service
metadata: {{name: {name}, namespace: {space}}}
spec: {{{spec}}}
"""


ON_8080 = "ports: [{name: http, port: 8080}]"
OPEN = "traffic.meshproxy.io/excludeInboundPorts: '8080'"
GOOD = f"""
apiVersion: v1
kind: Namespace
metadata: {{name: mesh, labels: {{meshproxy.io/injection: enabled}}}}
---
apiVersion: v1
kind: Namespace
metadata: {{name: plain}}
{_pod("web")}{_pod("catalog", SERVE)}{_pod("open", SERVE, annotations=OPEN)}
{_pod("failing", f'[python, -c, "{FAILING}"]')}
{_pod("outsider", space="plain")}{_pod("legacy", SERVE, space="plain")}
{_service("catalog", f"selector: {{app: catalog}}, {ON_8080}")}
{_service("shop", "selector: {app: catalog}, ports: [{name: http, port: 80, targetPort: http}]")}
{_service("pods", f"clusterIP: None, selector: {{app: catalog}}, {ON_8080}")}
{_service("open", f"selector: {{app: open}}, {ON_8080}")}
{_service("failing", f"selector: {{app: failing}}, {ON_8080}")}
{_service("legacy", f"selector: {{app: legacy}}, {ON_8080}", space="plain")}
"""
ON_LOOPBACK = "[python, -m, http.server, '8080', --bind, 127.0.0.1]"
NEVER_READY = "readinessProbe: {httpGet: {path: /nowhere, port: 8080}, periodSeconds: 1, failureThreshold: 1}"
ALIASES = "hostAliases: [{ip: 10.9.9.9, hostnames: [legacy]}]"
BAD = f"""
{_pod("loopback", ON_LOOPBACK, space="plain")}
{_pod("crashing", "[python, -c, 'raise SystemExit(3)']", space="plain")}
{_pod("unready", SERVE, space="plain", container=NEVER_READY)}
{_pod("nowhere", SERVE, space="plain", spec="nodeSelector: {disk: ssd}")}
{_pod("aliased", space="plain", spec=ALIASES)}
{
    "".join(
        _service(name, f"selector: {{app: {name}}}, {ON_8080}", space="plain")
        for name in ("loopback", "crashing", "unready", "nowhere")
    )
}
{_service("typo", f"selector: {{app: catalgo}}, {ON_8080}")}
{_service("elsewhere", "selector: {app: catalog}, ports: [{name: http, port: 8080, targetPort: 9999}]")}
{_service("unnamed", "selector: {app: catalog}, ports: [{name: http, port: 8080, targetPort: web}]")}
{_service("chaos", f"selector: {{app: catalog}}, {ON_8080}")}
{_service("routed", f"selector: {{app: catalog}}, {ON_8080}")}
---
apiVersion: meshproxy.io/v1alpha1
kind: FaultPolicy
metadata: {{name: chaos, namespace: mesh}}
spec: {{targetRefs: [{{group: "", kind: Service, name: chaos}}], abort: {{httpStatus: 503}}}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: routed, namespace: mesh}}
spec:
  parentRefs: [{{group: "", kind: Service, name: routed}}]
  rules: [{{backendRefs: [{{name: missing, port: 8080}}]}}]
"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    before = host_state()
    folder: Path = tmp_path_factory.mktemp("lab")
    (folder / "good.yaml").write_text(GOOD)
    (folder / "bad.yaml").write_text(BAD)
    try:
        meshctl("up", "--name", NAME, "-f", str(folder / "good.yaml"))
        applied = CliRunner().invoke(
            main, ["apply", "--kubeconfig", str(PATHS.kubeconfig), "-f", str(folder / "bad.yaml")]
        )
        assert applied.exit_code == 0, applied.output
        yield
    finally:
        lifecycle.stop(PATHS)
    assert host_state() == before


def findings(question: str, eyes: Eyes | None = None) -> list[Finding]:
    async def collect() -> list[Finding]:
        async with ApiClient.from_kubeconfig(PATHS.kubeconfig) as client:
            asked = parse_question([question])
            looking = eyes or eyes_for(client.server, LABS)
            return walk(await Collector(client, looking, asked, "").collect())

    return asyncio.run(collect())


def blamed(question: str) -> Finding | None:
    return cause(findings(question))


HEALTHY = [
    "web -> catalog:8080",
    "web -> catalog.mesh.svc.cluster.local:8080",
    "web -> shop:80",
    "web -> pods:8080",
    "web -> open:8080",
    "web -> legacy.plain:8080",
    "outsider -> legacy:8080",
    "outsider -> open.mesh:8080",
    "legacy -> legacy",
]


@pytest.mark.parametrize("question", HEALTHY)
def test_who_is_healthy_is_not_accused(lab: None, question: str) -> None:
    found = findings(question)
    assert cause(found) is None
    assert [one.layer for one in found] == list(Layer)


BROKEN = {
    "web -> typo:8080": (Layer.ENDPOINTS, "selects app=catalgo, which no pod in mesh carries"),
    "web -> elsewhere:8080": (Layer.LISTENING, "nothing listens on port 9999 in mesh/catalog"),
    "web -> unnamed:8080": (Layer.ENDPOINTS, "the port named web"),
    "web -> catalog:8081": (Layer.ENDPOINTS, "has no port 8081"),
    "web -> catalgo:8080": (Layer.DNS, "there is no Service catalgo in namespace mesh"),
    "outsider -> catalog:8080": (Layer.DNS, "Service plain/catalog, which does not exist"),
    "outsider -> catalog.mesh:8080": (Layer.POLICY, "sends plaintext: it has no sidecar"),
    "outsider -> loopback:8080": (Layer.LISTENING, "listens on 127.0.0.1:8080 only"),
    "outsider -> crashing:8080": (Layer.POD, "does not keep running: it ended with 3"),
    "outsider -> unready:8080": (Layer.ENDPOINTS, "the readiness probe of app fails"),
    "outsider -> nowhere:8080": (Layer.POD, "is on no node"),
    "aliased -> legacy:8080": (Layer.DNS, "resolves in plain/aliased to 10.9.9.9"),
    "web -> chaos:8080": (Layer.POLICY, "answers 100 % of the requests with 503"),
    "web -> routed:8080": (Layer.POLICY, "HTTPRoute mesh/routed does not hold"),
    "nobody.mesh -> catalog:8080": (Layer.POD, "there is no Pod or Deployment nobody"),
}


def expect(question: str, layer: Layer, what: str) -> Finding:
    """Named so before long: what was applied a moment ago may still be starting."""
    give_up_at = time.monotonic() + 90
    while True:
        found = blamed(question)
        if found is not None and found.layer is layer and what in found.what:
            return found
        assert time.monotonic() < give_up_at, found
        time.sleep(0.2)


@pytest.mark.parametrize("question", BROKEN)
def test_what_is_broken_is_named_right(lab: None, question: str) -> None:
    found = expect(question, *BROKEN[question])
    assert found.mend


def test_the_command_prints_cause_and_mend_and_fails(lab: None) -> None:
    arguments = ["diagnose", "--lab", NAME, "-n", "mesh"]
    text = CliRunner().invoke(main, [*arguments, "web", "->", "typo:8080"])
    assert text.exit_code == 1, text.output
    assert "mend: kubectl patch service typo" in text.output
    answer = CliRunner().invoke(main, [*arguments, "web -> catalog:8080", "-o", "json"])
    assert answer.exit_code == 0, answer.output
    found = json.loads(answer.output)
    assert found["healthy"] is True
    assert len(found["layers"]) == len(Layer)


def test_from_where_pods_cannot_be_entered_nobody_is_accused(lab: None) -> None:
    found = findings("web -> catalog:8080", Blind("not from here"))
    assert cause(found) is None
    unseen = [one.layer for one in found if one.state is State.UNSEEN]
    assert unseen[:4] == [Layer.LISTENING, Layer.DNS, Layer.ADDRESS, Layer.INTERCEPTION]
    typo = cause(findings("web -> typo:8080", Blind("not from here")))
    assert typo is not None
    assert typo.layer is Layer.ENDPOINTS, "what the API server tells is judged"


def test_a_server_that_fails_is_ejected(lab: None) -> None:
    meshctl("exec", "--name", NAME, "web", "--", "python", "-c", CALLS)
    found = expect("web -> failing:8080", Layer.EJECTION, "has shut out every endpoint")
    assert "logs failing" in found.mend


def test_packets_that_are_dropped(lab: None) -> None:
    network = Path(f"/proc/{container_pid(PATHS, 'legacy')}/ns/net")
    netns.run(network, ["iptables", "-A", "INPUT", "-p", "tcp", "--dport", "8080", "-j", "DROP"])
    found = blamed("outsider -> legacy:8080")
    assert found is not None
    assert found.layer is Layer.ADDRESS
    netns.execute(found.mend.split())
    assert blamed("outsider -> legacy:8080") is None, "its mend mends it"


def test_interception_that_was_flushed(lab: None) -> None:
    network = Path(f"/proc/{container_pid(PATHS, 'web')}/ns/net")
    saved = netns.run(network, ["iptables-save", "-t", "nat"])
    netns.run(network, ["iptables", "-t", "nat", "-F"])
    try:
        found = blamed("web -> legacy.plain:8080")
        assert found is not None
        assert found.layer is Layer.INTERCEPTION
    finally:
        netns.run(network, ["iptables-restore"], stdin=saved)
    assert blamed("web -> legacy.plain:8080") is None


def test_a_sidecar_that_hangs(lab: None) -> None:
    pid = container_pid(PATHS, "catalog", "meshproxy")
    os.kill(pid, signal.SIGSTOP)
    try:
        found = blamed("web -> catalog:8080")
        assert found is not None
        assert found.layer is Layer.SIDECAR
        assert "mesh/catalog does not answer" in found.what
    finally:
        os.kill(pid, signal.SIGCONT)
