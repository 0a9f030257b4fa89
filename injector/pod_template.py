"""Pods inside other objects: where a Deployment, a Job or a List keeps them (pure). For injection offline."""

from collections.abc import Callable
from typing import Final

from injector.manifest import Manifest, section

Change = Callable[[Manifest, str], Manifest]
"""(pod, name of the workload that makes it; empty for a pod by itself) → pod. May return the same object."""

_TEMPLATES: Final = {
    "Deployment": ("spec", "template"),
    "ReplicaSet": ("spec", "template"),
    "ReplicationController": ("spec", "template"),
    "StatefulSet": ("spec", "template"),
    "DaemonSet": ("spec", "template"),
    "Job": ("spec", "template"),
    "CronJob": ("spec", "jobTemplate", "spec", "template"),
}


def change_pods(manifest: Manifest, change: Change) -> Manifest:
    """`manifest` with every pod in it changed; `manifest` itself when there is none, or none changes.

    The pod of a template is handed over with name and namespace of the object around it.
    """
    kind = str(manifest.get("kind"))
    if kind == "Pod":
        return change(manifest, "")
    items = manifest.get("items")
    if kind.endswith("List") and isinstance(items, list):
        changed = [change_pods(each, change) if isinstance(each, dict) else each for each in items]
        is_same = all(one is other for one, other in zip(items, changed, strict=True))
        return manifest if is_same else {**manifest, "items": changed}
    return _in_template(manifest, _TEMPLATES[kind], change) if kind in _TEMPLATES else manifest


def _in_template(manifest: Manifest, path: tuple[str, ...], change: Change) -> Manifest:
    metadata = section(manifest, "metadata")
    holder = manifest
    for field in path:
        holder = section(holder, field)
    own = section(holder, "metadata")
    names = [name for name in ("name", "namespace") if name in metadata and name not in own]
    borrowed: Manifest = {name: metadata[name] for name in names}
    of_pod: Manifest = {**borrowed, **own}
    pod: Manifest = {**holder, "metadata": of_pod}
    changed = change(pod, str(metadata.get("name", "")))
    if changed is pod:
        return manifest
    result: Manifest = {**changed}
    left = {name: value for name, value in section(changed, "metadata").items() if name not in borrowed}
    result["metadata"] = left
    if not left:
        del result["metadata"]
    return _placed(manifest, path, result)


def _placed(holder: Manifest, path: tuple[str, ...], value: Manifest) -> Manifest:
    if not path:
        return value
    return {**holder, path[0]: _placed(section(holder, path[0]), path[1:], value)}
