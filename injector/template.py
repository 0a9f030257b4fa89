"""The containers and volumes that make a pod part of the mesh, as Kubernetes JSON (pure)."""

from dataclasses import dataclass, field
from math import ceil

from injector.annotations import MAX_CONCURRENCY, PodWishes
from injector.manifest import objects, section
from injector.metrics import METRICS_VARIABLE
from injector.probes import PROBES_VARIABLE
from injector.quantity import quantity

INIT_CONTAINER = "meshproxy-init"
SIDECAR_CONTAINER = "meshproxy"
IDENTITY_VOLUME = "meshproxy-identity"
PODINFO_VOLUME = "meshproxy-podinfo"
RUN_VOLUME = "meshproxy-run"

TOKEN_AUDIENCE = "meshproxy-ca"  # noqa: S105 — the name of an audience, not a secret
TOKEN_LIFE = 3600
"""Seconds a workload token lives. It is used once, at the start; renewal authenticates with the SVID."""
ROOT_BUNDLE = "meshproxy-root-bundle"
"""ConfigMap that the control plane keeps in every namespace."""
READINESS_PORT = 15021
METRICS_PORT = 15090
METRICS_PORT_NAME = "mesh-metrics"
CONCURRENCY_VARIABLE = "MESHPROXY_CONCURRENCY"

_READY = {"httpGet": {"path": "/healthz/ready", "port": READINESS_PORT}}


@dataclass(frozen=True, slots=True)
class InjectorSettings:
    """What is the same for every pod."""

    image: str = "meshproxy:0.1.0"
    python: str = "python"
    """Interpreter in the image; the lab, where pods see the machine's files, may name its own."""
    proxy_uid: int = 1337
    proxy_gid: int = 1337
    """User and group of the sidecar, and of nothing else: their connections are not redirected."""
    discovery_address: str = "control-plane.meshproxy-system.svc:15012"
    signing_address: str = "control-plane.meshproxy-system.svc:15011"
    trust_domain: str = "cluster.local"
    log_level: str = "info"
    cpu_request: str = "100m"
    memory_request: str = "64Mi"
    cpu_limit: str = ""
    memory_limit: str = ""
    """Kubernetes quantities; empty for none. Limits are none by default: a sidecar that is throttled
    throttles its app."""


def init_container(settings: InjectorSettings, wishes: PodWishes) -> dict[str, object]:
    """Sets up the interception and ends. The only container that gets capabilities. It has the sidecar's
    resources, which cost nothing more: a pod's need is the largest of its init containers'."""
    module = [settings.python, "-m", "meshproxy.interception"]
    owner = [f"--proxy-uid={settings.proxy_uid}", f"--proxy-gid={settings.proxy_gid}"]
    dns = ["--dns-capture=true"] if wishes.captures_dns else []
    return {
        "name": INIT_CONTAINER,
        "image": wishes.image or settings.image,
        "command": [*module, *owner, *dns, *wishes.traffic_flags],
        "securityContext": {
            "runAsUser": 0,
            "runAsGroup": 0,
            "runAsNonRoot": False,
            "allowPrivilegeEscalation": False,
            "capabilities": {"add": ["NET_ADMIN", "NET_RAW"], "drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "resources": _resources(settings, wishes),
    }


@dataclass(frozen=True, slots=True)
class SidecarOfPod:
    """What differs from pod to pod."""

    workload: str
    """What the pod belongs to; empty for a pod alone."""
    wishes: PodWishes = field(default_factory=PodWishes)
    probes: str = ""
    """What is asked of the app for the kubelet: `RewrittenProbes.variable`."""
    metrics: str = ""
    """Where the app's metrics are: `metrics.app_metrics`."""


def sidecar_container(settings: InjectorSettings, pod: SidecarOfPod) -> dict[str, object]:
    """The proxy as a native sidecar: the app starts after its startup probe succeeded and ends before it."""
    return {
        "name": SIDECAR_CONTAINER,
        "image": pod.wishes.image or settings.image,
        "command": [settings.python, "-m", "meshproxy"],
        "restartPolicy": "Always",
        "env": [*_environment(settings, pod), *_dns(pod.wishes)],
        "ports": [{"name": METRICS_PORT_NAME, "containerPort": METRICS_PORT, "protocol": "TCP"}],
        # 10 minutes to become ready, asked every second: until then nothing else of the pod runs.
        "startupProbe": {**_READY, "periodSeconds": 1, "timeoutSeconds": 3, "failureThreshold": 600},
        "readinessProbe": {**_READY, "periodSeconds": 5, "timeoutSeconds": 3, "failureThreshold": 4},
        # It is ended after the app; its clients are told to leave while the app still serves them.
        "lifecycle": {"preStop": {"exec": {"command": [settings.python, "-m", "meshproxy.admin.leave"]}}},
        "resources": _resources(settings, pod.wishes),
        "securityContext": {
            "runAsUser": settings.proxy_uid,
            "runAsGroup": settings.proxy_gid,
            "runAsNonRoot": True,
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "volumeMounts": [
            {"name": IDENTITY_VOLUME, "mountPath": "/var/run/secrets/meshproxy.io", "readOnly": True},
            {"name": PODINFO_VOLUME, "mountPath": "/etc/podinfo", "readOnly": True},
            {"name": RUN_VOLUME, "mountPath": "/var/run/meshproxy"},
        ],
    }


def gateway_container(settings: InjectorSettings, pod: SidecarOfPod) -> dict[str, object]:
    """The proxy as the pod's only container. It binds the ports of its Gateway's listeners: below 1024 that
    needs the kernel's `net.ipv4.ip_unprivileged_port_start` at 0 in the pod, as container runtimes set it."""
    container = {**sidecar_container(settings, pod)}
    del container["restartPolicy"], container["lifecycle"]
    container["env"] = [*_environment(settings, pod), {"name": "MESHPROXY_ROLE", "value": "gateway"}]
    return container


def with_concurrency(container: dict[str, object], wishes: PodWishes) -> dict[str, object]:
    """`container` with as many workers as its CPU limit has whole cores, unless the pod says how many.

    Without a limit it is one: workers cost memory, and there is no telling how many cores are ours.
    """
    limit = section(section(container, "resources"), "limits").get("cpu")
    cores = 1 if limit is None else ceil(quantity(str(limit), f"container {SIDECAR_CONTAINER!r}: limits.cpu"))
    workers = wishes.concurrency or str(min(cores, MAX_CONCURRENCY))
    env = objects(container, "env")
    if workers == "1" or any(entry.get("name") == CONCURRENCY_VARIABLE for entry in env):
        return container
    return {**container, "env": [*env, {"name": CONCURRENCY_VARIABLE, "value": workers}]}


def _resources(settings: InjectorSettings, wishes: PodWishes) -> dict[str, object]:
    """The pod's own, or else the defaults: mixed, a limit of one could be below a request of the other."""
    if wishes.requests or wishes.limits:
        parts = {"requests": wishes.requests, "limits": wishes.limits}
        return {name: dict(part) for name, part in parts.items() if part}
    requests = {"cpu": settings.cpu_request, "memory": settings.memory_request}
    limits = {"cpu": settings.cpu_limit, "memory": settings.memory_limit}
    parts = {"requests": requests, "limits": limits}
    found = {name: {key: value for key, value in part.items() if value} for name, part in parts.items()}
    return {name: part for name, part in found.items() if part}


def _environment(settings: InjectorSettings, pod: SidecarOfPod) -> list[object]:
    fields = {
        "POD_NAME": "metadata.name",
        "POD_NAMESPACE": "metadata.namespace",
        "POD_IP": "status.podIP",
        "SERVICE_ACCOUNT": "spec.serviceAccountName",
    }
    values = {
        "MESHPROXY_DISCOVERY_ADDRESS": settings.discovery_address,
        "MESHPROXY_SIGNING_ADDRESS": settings.signing_address,
        "MESHPROXY_TRUST_DOMAIN": settings.trust_domain,
        "MESHPROXY_LOG_LEVEL": pod.wishes.log_level or settings.log_level,
        # Without an owner the sidecar takes its pod's name, which may not be known before the pod exists.
        "MESHPROXY_WORKLOAD_NAME": pod.workload,
        "MESHPROXY_MAX_CONNECTIONS": pod.wishes.max_connections,
        PROBES_VARIABLE: pod.probes,
        METRICS_VARIABLE: pod.metrics,
    }
    references = [
        {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}} for name, path in fields.items()
    ]
    return [*references, *({"name": name, "value": value} for name, value in values.items() if value)]


def _dns(wishes: PodWishes) -> list[object]:
    return [{"name": "MESHPROXY_DNS_CAPTURE", "value": "true"}] if wishes.captures_dns else []


def volumes() -> list[dict[str, object]]:
    """What the sidecar mounts: its credential and first trust, the pod's labels, and room for sockets."""
    token = {"audience": TOKEN_AUDIENCE, "expirationSeconds": TOKEN_LIFE, "path": "token"}
    bundle = {"name": ROOT_BUNDLE, "items": [{"key": "root-cert.pem", "path": "root-cert.pem"}]}
    labels = {"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}
    return [
        {
            "name": IDENTITY_VOLUME,
            "projected": {"sources": [{"serviceAccountToken": token}, {"configMap": bundle}]},
        },
        {"name": PODINFO_VOLUME, "downwardAPI": {"items": [labels]}},
        {"name": RUN_VOLUME, "emptyDir": {"medium": "Memory"}},
    ]
