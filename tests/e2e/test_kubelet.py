"""The kubelet from outside: what becomes of pods of real shape, their logs, commands in them, their end."""

import json
import os
import signal
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast
from urllib.parse import urlencode

import httpx
import pytest
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from control_plane.kubeconfig import read_kubeconfig
from control_plane.resources.manifest import Manifest, objects, section
from lab import lifecycle, netns
from lab.kubelet_certificates import KubeletAuthority
from lab.kubelet_server import KUBELET_PORT
from lab.paths import LabPaths
from lab.state import read_state
from tests.e2e.lab_host import meshctl

pytestmark = pytest.mark.privileged

NAME = f"e2e-kubelet-{os.getpid()}"
PATHS = LabPaths.of(NAME)
NODE_ADDRESS = "10.244.0.1"
IDLE = "trap 'echo $0 ends; exit 0' TERM; echo $0 runs; while :; do sleep 0.05; done"
MANIFESTS = f"""
apiVersion: v1
kind: Namespace
metadata: {{name: k}}
---
apiVersion: v1
kind: Secret
metadata: {{name: s, namespace: k}}
stringData: {{PASS: hunter2}}
---
apiVersion: v1
kind: ConfigMap
metadata: {{name: c, namespace: k}}
data: {{MODE: fast}}
---
apiVersion: v1
kind: Pod
metadata: {{name: web, namespace: k}}
spec:
  terminationGracePeriodSeconds: 5
  securityContext: {{fsGroup: 4242}}
  initContainers:
  - name: init
    image: busybox
    command: [sh, -c, "echo from-init > /d/init"]
    volumeMounts: [{{name: d, mountPath: /d}}]
  - name: side
    image: busybox
    restartPolicy: Always
    command: [sh, -c, "{IDLE}", side]
    startupProbe: {{exec: {{command: ["true"]}}, periodSeconds: 1}}
  containers:
  - name: app
    image: nginx:1
    command: [sh, -c, 'cat /d/init; id -G; echo "$MODE $P_PASS $MEM"; cat /sec/PASS >&2; "$@"', sh]
    args: [sh, -c, "{IDLE}", app]
    envFrom: [{{configMapRef: {{name: c}}}}, {{prefix: P_, secretRef: {{name: s}}}}]
    env:
    - name: MEM
      valueFrom: {{resourceFieldRef: {{resource: limits.memory, divisor: 1Mi}}}}
    resources: {{limits: {{memory: 64Mi}}}}
    lifecycle:
      postStart: {{exec: {{command: [sh, -c, "echo started > /d/post"]}}}}
      preStop: {{exec: {{command: [sh, -c, "echo stopping > /d/stop"]}}}}
    readinessProbe: {{exec: {{command: [test, -f, /d/post]}}, periodSeconds: 1}}
    volumeMounts: [{{name: d, mountPath: /d}}, {{name: sec, mountPath: /sec}}]
  volumes:
  - {{name: d, emptyDir: {{medium: Memory, sizeLimit: 1Mi}}}}
  - {{name: sec, secret: {{secretName: s}}}}
---
apiVersion: v1
kind: Pod
metadata: {{name: crash, namespace: k}}
spec:
  containers:
  - {{name: app, image: x, command: [sh, -c, "echo crashing; echo why > /dev/termination-log; exit 3"]}}
---
apiVersion: v1
kind: Pod
metadata: {{name: once, namespace: k}}
spec:
  restartPolicy: Never
  initContainers:
  - {{name: side, image: x, restartPolicy: Always, command: [sh, -c, "{IDLE}", side]}}
  containers: [{{name: app, image: x, command: [sh, -c, "echo done"]}}]
---
apiVersion: v1
kind: Pod
metadata: {{name: sick, namespace: k}}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: app
    image: x
    command: [sleep, infinity]
    livenessProbe: {{exec: {{command: ["false"]}}, periodSeconds: 1, failureThreshold: 1}}
---
apiVersion: v1
kind: Pod
metadata: {{name: late, namespace: k}}
spec:
  activeDeadlineSeconds: 1
  containers: [{{name: app, image: x, command: [sleep, infinity]}}]
  terminationGracePeriodSeconds: 1
---
apiVersion: v1
kind: Pod
metadata: {{name: stubborn, namespace: k}}
spec:
  terminationGracePeriodSeconds: 600
  containers: [{{name: app, image: x, command: [sh, -c, "trap '' TERM; while :; do sleep 0.1; done"]}}]
---
apiVersion: v1
kind: Pod
metadata: {{name: homeless, namespace: k}}
spec:
  containers:
  - {{name: app, image: x, command: [sleep, "9"], volumeMounts: [{{name: v, mountPath: /v}}]}}
  volumes: [{{name: v, persistentVolumeClaim: {{claimName: x}}}}]
"""


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """The API of a lab with the pods above."""
    manifests = tmp_path_factory.mktemp("manifests") / "kubelet.yaml"
    manifests.write_text(MANIFESTS)
    try:
        meshctl("up", "--name", NAME, "-f", str(manifests), "--no-wait")
        config = read_kubeconfig(PATHS.kubeconfig)
        context = ssl.create_default_context(cadata=config.ca_pem)
        headers = {"Authorization": f"Bearer {config.token}"}
        with httpx.Client(base_url=config.server, headers=headers, verify=context) as client:
            yield client
    finally:
        lifecycle.stop(PATHS)


def get(api: httpx.Client, path: str) -> Manifest:
    answer = api.get(path)
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert isinstance(found, dict)
    return found


def eventually(condition: Callable[[], object], what: Callable[[], object]) -> None:
    """Another process's doing; the time is a bound, not a measurement."""
    give_up_at = time.monotonic() + 90
    while not condition():
        assert time.monotonic() < give_up_at, what()
        time.sleep(0.05)


def status(api: httpx.Client, pod: str) -> Manifest:
    return section(get(api, f"/api/v1/namespaces/k/pods/{pod}"), "status")


def until(api: httpx.Client, pod: str, condition: Callable[[Manifest], object]) -> Manifest:
    eventually(lambda: condition(status(api, pod)), lambda: status(api, pod))
    return status(api, pod)


def ready(found: Manifest) -> bool:
    return ("Ready", "True") in {(one["type"], one["status"]) for one in objects(found, "conditions")}


def container(found: Manifest, name: str) -> Manifest:
    every = [*objects(found, "containerStatuses"), *objects(found, "initContainerStatuses")]
    return next(one for one in every if one["name"] == name)


def events(api: httpx.Client, pod: str) -> dict[str, str]:
    """Reason → message."""
    listed = objects(get(api, "/api/v1/namespaces/k/events"), "items")
    own = (one for one in listed if section(one, "involvedObject").get("name") == pod)
    return {str(one["reason"]): str(one["message"]) for one in own}


def in_node() -> socket.socket:
    made = netns.open_socket(PATHS.root / "netns" / "node", socket.AF_INET, socket.SOCK_STREAM)
    made.settimeout(30)
    made.connect((NODE_ADDRESS, KUBELET_PORT))
    return made


def client_context() -> ssl.SSLContext:
    tls = KubeletAuthority(PATHS).api_server()
    context = ssl.create_default_context(cafile=str(tls.authority))
    context.load_cert_chain(tls.pair.certificate, tls.pair.key)
    return context


def ask(path: str, context: ssl.SSLContext | None = None) -> tuple[int, str]:
    """Status and body of the node's endpoint."""
    with (context or client_context()).wrap_socket(in_node(), server_hostname=NODE_ADDRESS) as stream:
        stream.sendall(f"GET {path} HTTP/1.0\r\nHost: node\r\n\r\n".encode())
        answer = b""
        while chunk := stream.recv(65536):
            answer += chunk
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), body.decode()


def session(pod: str, *command: str, **flags: str) -> ClientConnection:
    query = urlencode([*(("command", word) for word in command), *flags.items()])
    return connect(
        f"wss://{NODE_ADDRESS}:{KUBELET_PORT}/exec/k/{pod}/app?{query}",
        sock=in_node(),
        ssl=client_context(),
        subprotocols=[Subprotocol("v5.channel.k8s.io")],
        open_timeout=30.0,
    )


def conversation(connection: ClientConnection) -> dict[int, bytes]:
    """What came on each channel until the server closed."""
    heard: dict[int, bytes] = {}
    for message in connection:
        assert isinstance(message, bytes)
        heard[message[0]] = heard.get(message[0], b"") + message[1:]
    return heard


def test_a_pod_of_real_shape_runs_and_says_so(api: httpx.Client) -> None:
    found = until(api, "web", ready)
    assert found["phase"] == "Running"
    assert container(found, "init")["ready"] is True
    assert "running" in section(container(found, "side"), "state")
    lines = ask("/containerLogs/k/web/app")[1].splitlines()
    assert lines[0] == "from-init"
    assert "4242" in lines[1].split()
    assert "fast hunter2 64" in lines
    told = events(api, "web")
    assert {"IgnoredFields", "Pulled", "Created", "Started"} <= told.keys()
    assert "containers[app].image" in told["IgnoredFields"]


def test_a_node_registers_itself(api: httpx.Client) -> None:
    node = section(get(api, "/api/v1/nodes/node"), "status")
    assert ready(node)
    assert {"type": "InternalIP", "address": NODE_ADDRESS} in objects(node, "addresses")
    endpoints = section(node, "daemonEndpoints")
    assert section(endpoints, "kubeletEndpoint")["Port"] == KUBELET_PORT


def test_a_container_that_crashes_is_told_with_its_last_end(api: httpx.Client) -> None:
    found = until(
        api,
        "crash",
        lambda one: (
            section(section(container(one, "app"), "state"), "waiting").get("reason") == "CrashLoopBackOff"
        ),
    )
    ended = section(section(container(found, "app"), "lastState"), "terminated")
    assert (ended["exitCode"], ended["reason"], ended["message"]) == (3, "Error", "why\n")
    eventually(lambda: "BackOff" in events(api, "crash"), lambda: events(api, "crash"))
    assert ask("/containerLogs/k/crash/app?previous=true") == (200, "crashing\n")


def test_a_pod_that_runs_once_completes_although_a_sidecar_runs(api: httpx.Client) -> None:
    found = until(api, "once", lambda one: one.get("phase") == "Succeeded")
    assert section(section(container(found, "app"), "state"), "terminated")["reason"] == "Completed"
    assert "terminated" in section(container(found, "side"), "state")
    assert ask("/containerLogs/k/once/side")[1].splitlines() == ["side runs", "side ends"]


def test_a_container_whose_liveness_probe_fails_is_started_again(api: httpx.Client) -> None:
    until(api, "sick", lambda one: container(one, "app")["restartCount"] != 0)
    told = events(api, "sick")
    assert told["Unhealthy"].startswith("Liveness probe failed: command ended with 1")
    assert "Killing" in told


def test_a_pod_has_failed_at_its_deadline(api: httpx.Client) -> None:
    found = until(api, "late", lambda one: one.get("phase") == "Failed")
    assert found["reason"] == "DeadlineExceeded"


def test_a_volume_the_lab_does_not_have_is_told(api: httpx.Client) -> None:
    eventually(lambda: "FailedMount" in events(api, "homeless"), lambda: events(api, "homeless"))
    assert "no persistentVolumeClaim volumes" in events(api, "homeless")["FailedMount"]
    assert status(api, "homeless")["phase"] == "Pending"
    said = 'container "app" in pod "homeless" is waiting to start: ContainerCreating'
    assert ask("/containerLogs/k/homeless/app") == (400, said)


def test_a_log_is_read_as_it_is_asked_for(api: httpx.Client) -> None:
    until(api, "web", ready)
    code, text = ask("/containerLogs/k/web/app?tailLines=1&timestamps=true")
    assert (code, text.split(" ", 1)[1]) == (200, "app runs\n")
    assert ask("/containerLogs/k/web/none")[0] == 404
    assert ask("/containerLogs/k/web/app?previous=true")[0] == 400
    assert ask("/containerLogs/k/web/app?tailLines=x")[0] == 400


def test_nobody_without_the_api_servers_certificate_is_heard(api: httpx.Client) -> None:
    stranger = ssl.create_default_context(cafile=str(KubeletAuthority(PATHS).api_server().authority))
    with pytest.raises((OSError, IndexError)):  # an alert, or the end of the connection without an answer
        ask("/healthz", stranger)
    assert ask("/healthz") == (200, "ok")


def test_a_command_is_run_in_a_container(api: httpx.Client) -> None:
    until(api, "web", ready)
    command = ("sh", "-c", "echo out; echo err >&2; exit 3")
    with session("web", *command, stdout="1", stderr="1") as connection:
        heard = conversation(connection)
    assert (heard[1], heard[2]) == (b"out\n", b"err\n")
    assert json.loads(heard[3])["details"]["causes"] == [{"reason": "ExitCode", "message": "3"}]
    with session("web", "cat", stdin="1", stdout="1") as connection:
        connection.send(b"\0hello")
        connection.send(bytes([255, 0]))
        heard = conversation(connection)
    assert heard[1] == b"hello"
    assert json.loads(heard[3])["status"] == "Success"


def test_a_command_may_have_a_terminal(api: httpx.Client) -> None:
    until(api, "web", ready)
    command = ("sh", "-c", "read x; stty size; test -t 0 && echo terminal of type $TERM")
    with session("web", *command, stdin="1", stdout="1", tty="1") as connection:
        connection.send(b"\4" + json.dumps({"Width": 91, "Height": 33}).encode())
        connection.send(b"\0go\n")
        heard = conversation(connection)
    assert b"33 91" in heard[1]
    assert b"terminal of type xterm" in heard[1]


def test_a_deleted_pod_ends_in_order_and_within_its_grace(api: httpx.Client) -> None:
    until(api, "web", ready)
    [directory] = PATHS.pods.glob("k_web_*")
    logs = Path(directory) / "logs"
    followed = (logs / "side" / "0.log").open("rb")
    assert api.delete("/api/v1/namespaces/k/pods/web").status_code == 200
    eventually(lambda: api.get("/api/v1/namespaces/k/pods/web").status_code == 404, lambda: "still there")
    eventually(lambda: not directory.exists(), lambda: list(directory.rglob("*")))
    assert followed.read().splitlines()[-1].endswith(b"side ends")
    followed.close()
    told = events(api, "web")
    assert told["Killing"].startswith("Stopping container")
    assert "FailedPreStopHook" not in told


def test_a_pod_that_does_not_want_to_end_is_ended_by_force(api: httpx.Client) -> None:
    until(api, "stubborn", ready)
    path = "/api/v1/namespaces/k/pods/stubborn"
    [directory] = PATHS.pods.glob("k_stubborn_*")
    assert api.delete(path).json()["metadata"]["deletionGracePeriodSeconds"] == 600
    eventually(lambda: "Killing" in events(api, "stubborn"), lambda: events(api, "stubborn"))
    assert api.delete(path, params={"gracePeriodSeconds": "0"}).status_code == 200
    eventually(lambda: not directory.exists(), lambda: list(directory.rglob("*")))


def test_a_new_kubelet_goes_on_where_the_killed_one_was(api: httpx.Client) -> None:
    until(api, "once", lambda one: one.get("phase") == "Succeeded")
    restarts = cast(int, container(status(api, "crash"), "app")["restartCount"])
    before = read_state(PATHS.state)
    assert before is not None
    os.kill(before.processes["kubelet"].pid, signal.SIGKILL)
    until(api, "crash", lambda one: cast(int, container(one, "app")["restartCount"]) > restarts)
    state = read_state(PATHS.state)
    assert state is not None
    assert state.processes["kubelet"] != before.processes["kubelet"]
    once = status(api, "once")
    assert (once["phase"], container(once, "app")["restartCount"]) == ("Succeeded", 0)
    assert ask("/containerLogs/k/once/app") == (200, "done\n")
