"""Commands that mend (pure)."""

import json
from collections.abc import Mapping

from control_plane.resources.pod import Pod


def in_namespace(command: str, namespace: str) -> str:
    return f"{command} -n {namespace}"


def logs(pod: Pod, container: str, *, previous: bool = False) -> str:
    """What a container said."""
    flag = " --previous" if previous else ""
    return in_namespace(f"kubectl logs {pod.metadata.name} -c {container}{flag}", pod.metadata.namespace)


def describe(pod: Pod) -> str:
    return in_namespace(f"kubectl describe pod {pod.metadata.name}", pod.metadata.namespace)


def edit_owner(pod: Pod) -> str:
    """Opens the template the pod was made from; of a pod alone, which hardly can be changed, a copy that then
    replaces it.
    """
    owner = owner_of(pod)
    if owner.startswith("pod/"):
        name = pod.metadata.name
        read = in_namespace(f"kubectl get pod {name} -o yaml", pod.metadata.namespace)
        return (
            f"{read} > {name}.yaml && ${{EDITOR:-vi}} {name}.yaml && kubectl replace --force -f {name}.yaml"
        )
    return in_namespace(f"kubectl edit {owner}", pod.metadata.namespace)


def renew(pod: Pod) -> str:
    """Has the pod replaced by a new one."""
    owner, name, namespace = owner_of(pod), pod.metadata.name, pod.metadata.namespace
    if owner.startswith("deployment/"):
        return in_namespace(f"kubectl rollout restart {owner}", namespace)
    if owner.startswith("pod/"):
        read = in_namespace(f"kubectl get pod {name} -o yaml", namespace)
        return f"{read} | kubectl replace --force -f -"
    return in_namespace(f"kubectl delete pod {name}", namespace)


def owner_of(pod: Pod) -> str:
    """`deployment/web` from its ReplicaSet's name, `job/seed`, or `pod/web`."""
    for owner in pod.metadata.owner_references:
        if owner.kind == "ReplicaSet":
            return f"deployment/{owner.name.rpartition('-')[0] or owner.name}"
        if owner.controller:
            return f"{owner.kind.lower()}/{owner.name}"
    return f"pod/{pod.metadata.name}"


def set_selector(name: str, namespace: str, labels: Mapping[str, str]) -> str:
    """Replaces a Service's selector as a whole."""
    operation: list[dict[str, object]] = [{"op": "replace", "path": "/spec/selector", "value": dict(labels)}]
    return patch_service(name, namespace, operation)


def patch_service(name: str, namespace: str, operations: list[dict[str, object]]) -> str:
    """A JSON patch."""
    return in_namespace(f"kubectl patch service {name} --type=json -p '{json.dumps(operations)}'", namespace)
