"""Semantic checks of an object that is valid by itself (pure): what may not change, and hooks for more."""

from collections.abc import Callable, Iterable, Iterator

from control_plane.resources.base import Resource
from control_plane.resources.deployment import Deployment
from control_plane.resources.invalid import Cause
from control_plane.resources.pod import Pod, PodSpec
from control_plane.resources.service import Service

AdmissionCheck = Callable[[Resource, Resource | None], Iterable[Cause]]
"""Given the wanted object and the current one (None at creation), yields why it is refused."""


def check_immutable_fields(wanted: Resource, current: Resource | None) -> Iterator[Cause]:
    """The fields Kubernetes never lets change, because controllers would lose track of what they made."""
    match wanted, current:
        case Deployment(), Deployment() if wanted.spec.selector != current.spec.selector:
            yield Cause("spec.selector", "field is immutable")
        case Service(), Service() if wanted.spec.cluster_ip != current.spec.cluster_ip:
            yield Cause("spec.clusterIP", "field is immutable")
        case Pod(), Pod() if _fixed(wanted.spec, current.spec) != _fixed(current.spec, current.spec):
            yield Cause("spec", "a pod cannot be changed, apart from binding it to a node (spec.nodeName)")
        case _:
            pass


def _fixed(spec: PodSpec, current: PodSpec) -> PodSpec:
    """The part of a pod that cannot change: all of it once it is bound to a node, else all but the node."""
    return spec if current.node_name else spec.model_copy(update={"node_name": ""})
