"""What containers ask for and may have at most (pure): amounts that no cluster would take are refused."""

from collections.abc import Iterator, Sequence

from control_plane.resources.base import Resource
from control_plane.resources.container import Container
from control_plane.resources.deployment import Deployment
from control_plane.resources.invalid import Cause
from control_plane.resources.job import Job
from control_plane.resources.pod import Pod, PodSpec
from control_plane.resources.quantity import quantity_value
from control_plane.resources.replica_set import ReplicaSet


def check_amounts(wanted: Resource, current: Resource | None) -> Iterator[Cause]:
    """An admission check, of creations and changes."""
    match wanted:
        case Pod():
            yield from _pod("spec", wanted.spec)
        case Deployment() | ReplicaSet() | Job():
            yield from _pod("spec.template.spec", wanted.spec.template.spec)
        case _:
            pass


def _pod(field: str, spec: PodSpec) -> Iterator[Cause]:
    yield from _containers(f"{field}.initContainers", spec.init_containers)
    yield from _containers(f"{field}.containers", spec.containers)


def _containers(field: str, containers: Sequence[Container]) -> Iterator[Cause]:
    for number, container in enumerate(containers):
        resources = container.resources
        for kind, amounts in (("limits", resources.limits), ("requests", resources.requests)):
            for name, amount in amounts.items():
                where, limit = f"{field}[{number}].resources.{kind}.{name}", resources.limits.get(name)
                if quantity_value(amount) < 0:
                    yield Cause(where, f"invalid value {amount!r}: must be greater than or equal to 0")
                elif limit is not None and quantity_value(amount) > quantity_value(limit):
                    message = f"must be less than or equal to the limit of {limit}"
                    yield Cause(where, f"invalid value {amount!r}: {message}")
