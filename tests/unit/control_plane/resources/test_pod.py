"""Pods, their containers and volumes, as real manifests write them."""

import pytest

from control_plane.resources.pod import Pod
from tests.unit.control_plane.resources.refusal import causes, manifest, with_spec

POD = manifest("""
apiVersion: v1
kind: Pod
metadata:
  name: catalog-v1-x
  namespace: shop
  labels: {app: catalog, meshproxy.io/tls-mode: mutual}
  ownerReferences: [{apiVersion: apps/v1, kind: Deployment, name: catalog-v1, uid: u, controller: true}]
spec:
  serviceAccountName: catalog
  terminationGracePeriodSeconds: 5
  hostname: catalog
  securityContext: {fsGroup: 1337, sysctls: [{name: net.ipv4.ip_unprivileged_port_start, value: "0"}]}
  initContainers:
  - name: init
    command: [python, -m, meshproxy.interception]
    securityContext: {capabilities: {add: [NET_ADMIN], drop: [ALL]}, runAsUser: 0, runAsNonRoot: false}
  - name: sidecar
    image: meshproxy
    restartPolicy: Always
    args: [--log-level, info]
    env:
    - {name: POD_IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}
    - {name: ROOT, valueFrom: {configMapKeyRef: {name: meshproxy-root-bundle, key: root-cert.pem}}}
    - {name: MODE, value: STRICT}
    startupProbe: {httpGet: {path: /ready, port: 15021, httpHeaders: [{name: a, value: b}]}, periodSeconds: 1}
    lifecycle: {preStop: {sleep: {seconds: 1}}, postStart: {exec: {command: [x]}}}
    volumeMounts: [{name: token, mountPath: /var/run/secrets/meshproxy.io, readOnly: true}]
  containers:
  - name: app
    image: shop:1
    workingDir: /app
    ports: [{name: http, containerPort: 8080}]
    readinessProbe: {tcpSocket: {port: http}}
    livenessProbe: {exec: {command: ["true"]}}
    resources: {requests: {cpu: 100m, memory: 64Mi}, limits: {cpu: 1}}
    securityContext:
      allowPrivilegeEscalation: false
      readOnlyRootFilesystem: true
      seccompProfile: {type: RuntimeDefault}
    imagePullPolicy: IfNotPresent
  volumes:
  - name: token
    projected:
      defaultMode: 420
      sources:
      - serviceAccountToken: {audience: meshproxy-ca, expirationSeconds: 600, path: token}
      - configMap: {name: meshproxy-root-bundle, items: [{key: root-cert.pem, path: root-cert.pem}]}
      - downwardAPI: {items: [{path: labels, fieldRef: {fieldPath: metadata.labels}}]}
  - {name: podinfo, downwardAPI: {items: [{path: labels, fieldRef: {fieldPath: metadata.labels}}]}}
  - {name: tmp, emptyDir: {medium: Memory, sizeLimit: 1Mi}}
  - {name: settings, configMap: {name: settings, optional: true}}
  - {name: keys, secret: {secretName: keys}}
status:
  phase: Running
  podIP: 10.244.0.5
  podIPs: [{ip: 10.244.0.5}]
  hostIP: 10.0.0.1
  startTime: "2026-01-01T00:00:00Z"
  conditions: [{type: Ready, status: "True", lastTransitionTime: "2026-01-01T00:00:00Z"}]
  containerStatuses:
  - name: app
    ready: true
    restartCount: 1
    state: {running: {startedAt: x}}
    lastState: {terminated: {exitCode: 1}}
  initContainerStatuses:
  - {name: init, ready: true, restartCount: 0, state: {waiting: {reason: PodInitializing}}}
""")


def container(**fields: object) -> dict[str, object]:
    return {"containers": [{"name": "app", **fields}]}


def test_a_meshed_pod_is_read_whole() -> None:
    pod = Pod.parse(POD)
    assert pod.to_manifest() == POD
    assert pod.status.is_ready
    assert pod.spec.init_containers[1].restart_policy == "Always"
    assert pod.spec.init_containers[1].env[0].value_from is not None


def test_defaults_of_a_small_pod() -> None:
    spec = container()
    pod = Pod.parse({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": spec})
    assert pod.spec.service_account_name == "default"
    assert pod.spec.termination_grace_period_seconds == 30
    assert pod.status.phase == "Pending"
    assert not pod.status.is_ready


@pytest.mark.parametrize(
    ("spec", "field", "message"),
    [
        ({"containers": []}, "spec.containers", "at least 1"),
        (container(name="init"), "spec", "two containers have the same name"),
        (container(restartPolicy="Always"), "spec", "init containers only"),
        (container(volumeMounts=[{"name": "nix", "mountPath": "/"}]), "spec", "mounts volume nix"),
        ({"volumes": [{"name": "a", "emptyDir": {}}, {"name": "a", "emptyDir": {}}]}, "spec", "same name"),
        ({"volumes": [{"name": "a"}]}, "spec.volumes[0]", "exactly one"),
        (
            {"volumes": [{"name": "a", "flexVolume": {"driver": "x"}}]},
            "spec.volumes[0].flexVolume",
            "not supported",
        ),
        ({"affinity": {"nodeAfinity": {}}}, "spec.affinity.nodeAfinity", "unknown field"),
        ({"ephemeralContainers": []}, "spec.ephemeralContainers", "not supported"),
        (container(envFrom=[{"prefix": "A"}]), "spec.containers[0].envFrom[0]", "exactly one"),
        (container(env=[{"name": "A", "value": 1}]), "spec.containers[0].env[0].value", "valid string"),
        (container(env=[{"name": "A=", "value": ""}]), "spec.containers[0].env[0].name", "pattern"),
        (container(readinessProbe={}), "spec.containers[0].readinessProbe", "exactly one"),
        (
            container(readinessProbe={"tcpSocket": {"port": 1}, "exec": {"command": ["a"]}}),
            "spec.containers[0].readinessProbe",
            "exactly one",
        ),
        (container(lifecycle={"preStop": {}}), "spec.containers[0].lifecycle.preStop", "exactly one"),
        (
            container(env=[{"name": "A", "valueFrom": {}}]),
            "spec.containers[0].env[0].valueFrom",
            "exactly one",
        ),
        (
            container(env=[{"name": "A", "value": "x", "valueFrom": {"fieldRef": {"fieldPath": "a"}}}]),
            "spec.containers[0].env[0]",
            "exclude each other",
        ),
    ],
)
def test_refuses(spec: dict[str, object], field: str, message: str) -> None:
    assert message in causes(with_spec(POD, **spec))[field]


@pytest.mark.parametrize("path", ["", "/etc", "../x", "a/../b"])
def test_paths_in_volumes_stay_inside(path: str) -> None:
    item = {"path": path, "fieldRef": {"fieldPath": "metadata.labels"}}
    changed = with_spec(POD, volumes=[{"name": "token", "downwardAPI": {"items": [item]}}])
    assert "must be relative" in causes(changed)["spec.volumes[0].downwardAPI.items[0]"]


def test_a_projection_has_one_source() -> None:
    changed = with_spec(POD, volumes=[{"name": "token", "projected": {"sources": [{}]}}])
    assert "exactly one" in causes(changed)["spec.volumes[0].projected.sources[0]"]
