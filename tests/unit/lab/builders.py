"""Objects the lab's tests are about, with as little written out as a test needs."""

from control_plane.resources.deployment import Deployment
from control_plane.resources.manifest import Manifest
from control_plane.resources.pod import Pod
from control_plane.resources.service import Service
from lab.controllers.revision import HASH_LABEL


def pod_manifest(name: str = "web-1", **spec: object) -> Manifest:
    """A Pod of namespace shop with one container."""
    body: Manifest = {"containers": [{"name": "app", "command": ["run"]}], **spec}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "shop", "uid": f"uid-{name}", "labels": {"app": "web"}},
        "spec": body,
    }


def pod(name: str = "web-1", **spec: object) -> Pod:
    return Pod.parse(pod_manifest(name, **spec))


def owned_pod(name: str, template: str, *, ready: bool, created: str = "", ip: str = "") -> Pod:
    """A Pod of the Deployment `deployment()`."""
    manifest = pod_manifest(name)
    manifest["metadata"] = {
        "name": name,
        "namespace": "shop",
        "uid": f"uid-{name}",
        "creationTimestamp": created,
        "labels": {"app": "web", HASH_LABEL: template},
        "ownerReferences": [{"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": "uid-web"}],
    }
    manifest["status"] = {
        "phase": "Running",
        "podIP": ip,
        "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
    }
    return Pod.parse(manifest)


def deployment_manifest(replicas: int = 2, **spec: object) -> Manifest:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "shop", "uid": "uid-web", "generation": 3},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}, "annotations": {"note": "kept"}},
                "spec": {"containers": [{"name": "app", "command": ["run"]}]},
            },
            **spec,
        },
    }


def deployment(replicas: int = 2, **spec: object) -> Deployment:
    return Deployment.parse(deployment_manifest(replicas, **spec))


def service(*ports: Manifest, **spec: object) -> Service:
    """Service web of namespace shop."""
    return Service.parse(
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "web", "namespace": "shop", "uid": "uid-svc"},
            "spec": {"selector": {"app": "web"}, "clusterIP": "10.96.0.7", "ports": [*ports], **spec},
        }
    )
