"""The containers and volumes that make a pod part of the mesh, as Kubernetes JSON (pure)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from injector.probes import PROBES_VARIABLE

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


def init_container(settings: InjectorSettings, traffic_flags: Sequence[str]) -> dict[str, object]:
    """Sets up the interception and ends. The only container that gets capabilities."""
    module = [settings.python, "-m", "meshproxy.interception"]
    owner = [f"--proxy-uid={settings.proxy_uid}", f"--proxy-gid={settings.proxy_gid}"]
    return {
        "name": INIT_CONTAINER,
        "image": settings.image,
        "command": [*module, *owner, *traffic_flags],
        "securityContext": {
            "runAsUser": 0,
            "runAsGroup": 0,
            "runAsNonRoot": False,
            "allowPrivilegeEscalation": False,
            "capabilities": {"add": ["NET_ADMIN", "NET_RAW"], "drop": ["ALL"]},
        },
    }


def sidecar_container(settings: InjectorSettings, workload: str, probes: str = "") -> dict[str, object]:
    """The proxy as a native sidecar: the app starts after its startup probe succeeded and ends before it.

    `probes`: what it asks the app for the kubelet, as `RewrittenProbes.variable`.
    """
    return {
        "name": SIDECAR_CONTAINER,
        "image": settings.image,
        "command": [settings.python, "-m", "meshproxy"],
        "restartPolicy": "Always",
        "env": [
            *_environment(settings, workload),
            *([{"name": PROBES_VARIABLE, "value": probes}] if probes else []),
        ],
        # 10 minutes to become ready, asked every second: until then nothing else of the pod runs.
        "startupProbe": {**_READY, "periodSeconds": 1, "timeoutSeconds": 3, "failureThreshold": 600},
        "readinessProbe": {**_READY, "periodSeconds": 5, "timeoutSeconds": 3, "failureThreshold": 4},
        "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}},
        "securityContext": {
            "runAsUser": settings.proxy_uid,
            "runAsGroup": settings.proxy_gid,
            "runAsNonRoot": True,
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [
            {"name": IDENTITY_VOLUME, "mountPath": "/var/run/secrets/meshproxy.io", "readOnly": True},
            {"name": PODINFO_VOLUME, "mountPath": "/etc/podinfo", "readOnly": True},
            {"name": RUN_VOLUME, "mountPath": "/var/run/meshproxy"},
        ],
    }


def gateway_container(
    settings: InjectorSettings, workload: str, given: Mapping[str, object]
) -> dict[str, object]:
    """The proxy as the pod's only container; `given` is what the pod says of it, which counts for the ports
    and resources. It binds the ports of its Gateway's listeners: below 1024 that needs the kernel's
    `net.ipv4.ip_unprivileged_port_start` at 0 in the pod, as container runtimes set it."""
    container = {**sidecar_container(settings, workload)}
    del container["restartPolicy"]
    container["env"] = [*_environment(settings, workload), {"name": "MESHPROXY_ROLE", "value": "gateway"}]
    return {**container, **{field: given[field] for field in ("ports", "resources") if field in given}}


def _environment(settings: InjectorSettings, workload: str) -> list[object]:
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
        "MESHPROXY_LOG_LEVEL": settings.log_level,
        # Without an owner the sidecar takes its pod's name, which may not be known before the pod exists.
        **({"MESHPROXY_WORKLOAD_NAME": workload} if workload else {}),
    }
    references = [
        {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}} for name, path in fields.items()
    ]
    return [*references, *({"name": name, "value": value} for name, value in values.items())]


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
