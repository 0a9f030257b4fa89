"""Semantic checks of an object that is valid by itself (pure): what may not change, and hooks for more."""

from collections.abc import Callable, Iterable, Iterator

from control_plane.resources.base import Resource
from control_plane.resources.deployment import Deployment
from control_plane.resources.invalid import Cause
from control_plane.resources.pod import Pod
from control_plane.resources.service import EXTERNAL_NAME, Service

AdmissionCheck = Callable[[Resource, Resource | None], Iterable[Cause]]
"""Given the wanted object and the current one (None at creation), yields why it is refused."""


def check_immutable_fields(wanted: Resource, current: Resource | None) -> Iterator[Cause]:
    """The fields Kubernetes never lets change, because controllers would lose track of what they made."""
    match wanted, current:
        case Deployment(), Deployment() if wanted.spec.selector != current.spec.selector:
            yield Cause("spec.selector", "field is immutable")
        case Service(), Service() if _first_address_changes(wanted, current):
            yield Cause("spec.clusterIPs[0]", "may not change once set")
        # Until it is bound a pod may be changed: whoever binds it may add the sidecar in the same step.
        case Pod(), Pod() if current.spec.node_name and wanted.spec != current.spec:
            yield Cause("spec", "a pod cannot be changed once it is bound to a node (spec.nodeName)")
        case _:
            pass


def _first_address_changes(wanted: Service, current: Service) -> bool:
    """Another name for a host has none, and may become a Service that has, and the other way."""
    has_one = EXTERNAL_NAME not in (wanted.spec.type, current.spec.type)
    return has_one and wanted.spec.cluster_ip != current.spec.cluster_ip
