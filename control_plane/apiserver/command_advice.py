"""Warnings about containers that name an image and nothing to run (pure).

Kubelets of a lab run commands of their machine. Without the warning, whoever tries `kubectl create deployment
hello --image=nginx` learns it from the Events of a Pod that does not start.
"""

from collections.abc import Iterator

from control_plane.resources.base import Resource
from control_plane.resources.deployment import Deployment
from control_plane.resources.job import Job
from control_plane.resources.pod import Pod, PodSpec
from control_plane.resources.replica_set import ReplicaSet


def advice(wanted: Resource, current: Resource | None) -> Iterator[str]:
    """For a person who creates or changes an object; only about what is new."""
    before = {*_without_command(current)}
    for name in _without_command(wanted):
        if name not in before:
            yield f"container {name!r} will not start: a lab does not run images, give it a command"


def _without_command(resource: Resource | None) -> list[str]:
    """Names of containers."""
    spec = _pod_spec(resource)
    if spec is None:
        return []
    containers = (*spec.init_containers, *spec.containers)
    return [container.name for container in containers if not container.command and not container.args]


def _pod_spec(resource: Resource | None) -> PodSpec | None:
    match resource:
        case Pod():
            return resource.spec
        case Deployment() | ReplicaSet() | Job():
            return resource.spec.template.spec
        case _:
            return None
