"""Semantic checks of an object that is valid by itself (pure): what may not change, and hooks for more."""

from collections.abc import Callable, Iterable, Iterator, Sequence

from control_plane.resources.base import Resource
from control_plane.resources.config_map import ConfigMap
from control_plane.resources.container import Container
from control_plane.resources.deployment import Deployment
from control_plane.resources.endpoint_slice import EndpointSlice
from control_plane.resources.ingress import IngressClass
from control_plane.resources.invalid import Cause
from control_plane.resources.job import Job
from control_plane.resources.pod import Pod, PodSpec
from control_plane.resources.replica_set import ReplicaSet
from control_plane.resources.secret import Secret
from control_plane.resources.service import EXTERNAL_NAME, Service

AdmissionCheck = Callable[[Resource, Resource | None], Iterable[Cause]]
"""Given the wanted object and the current one (None at creation), yields why it is refused."""

_IMMUTABLE = "field is immutable"
_FORBIDDEN = "FieldValueForbidden"
_POD_FIELDS = (
    "Forbidden: pod updates may not change fields other than `spec.containers[*].image`,"
    "`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,"
    "`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)


def check_immutable_fields(wanted: Resource, current: Resource | None) -> Iterator[Cause]:
    """The fields Kubernetes never lets change, because controllers would lose track of what they made."""
    if current is None:
        return
    yield from _finalizers(wanted, current)
    match wanted, current:
        case Deployment(), Deployment() if wanted.spec.selector != current.spec.selector:
            yield Cause("spec.selector", _IMMUTABLE)
        case ReplicaSet(), ReplicaSet() if wanted.spec.selector != current.spec.selector:
            yield Cause("spec.selector", _IMMUTABLE)
        case Service(), Service() if _first_address_changes(wanted, current):
            yield Cause("spec.clusterIPs[0]", "may not change once set")
        case Job(), Job():
            yield from _job(wanted, current)
        case Pod(), Pod():
            yield from _pod(wanted.spec, current.spec)
        case ConfigMap(), ConfigMap():
            yield from _sealed(wanted, current)
        case Secret(), Secret():
            yield from _sealed(wanted, current)
            if wanted.type != current.type:
                yield Cause("type", _IMMUTABLE)
        case EndpointSlice(), EndpointSlice() if wanted.address_type != current.address_type:
            yield Cause("addressType", _IMMUTABLE)
        case IngressClass(), IngressClass() if wanted.spec.controller != current.spec.controller:
            yield Cause("spec.controller", _IMMUTABLE)
        case _:
            pass


def _finalizers(wanted: Resource, current: Resource) -> Iterator[Cause]:
    added = sorted({*wanted.metadata.finalizers} - {*current.metadata.finalizers})
    if current.metadata.deletion_timestamp and added:
        message = (
            "Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers "
            f"{added}"
        )
        yield Cause("metadata.finalizers", message, _FORBIDDEN)


def _first_address_changes(wanted: Service, current: Service) -> bool:
    """Another name for a host has none, and may become a Service that has, and the other way."""
    has_one = EXTERNAL_NAME not in (wanted.spec.type, current.spec.type)
    return has_one and wanted.spec.cluster_ip != current.spec.cluster_ip


def _job(wanted: Job, current: Job) -> Iterator[Cause]:
    fields = {
        "completions": (wanted.spec.completions, current.spec.completions),
        "selector": (wanted.spec.selector, current.spec.selector),
        "template": (wanted.spec.template, current.spec.template),
        "completionMode": (wanted.spec.completion_mode, current.spec.completion_mode),
    }
    for name, (new, old) in fields.items():
        if new != old:
            yield Cause(f"spec.{name}", _IMMUTABLE)


def _pod(wanted: PodSpec, current: PodSpec) -> Iterator[Cause]:
    if wanted == current:
        return
    for field, new, old in (
        ("containers", wanted.containers, current.containers),
        ("initContainers", wanted.init_containers, current.init_containers),
    ):
        if [one.name for one in new] != [one.name for one in old]:
            message = "Forbidden: pod updates may not add or remove containers"
            yield Cause(f"spec.{field}", message, _FORBIDDEN)
            return
    if not _is_shorter(wanted.active_deadline_seconds, current.active_deadline_seconds):
        message = "must be less than or equal to previous value"
        yield Cause("spec.activeDeadlineSeconds", message)
    elif any(one not in wanted.tolerations for one in current.tolerations):
        message = "Forbidden: existing toleration can not be modified except its tolerationSeconds"
        yield Cause("spec.tolerations", message, _FORBIDDEN)
    elif any(one not in current.scheduling_gates for one in wanted.scheduling_gates):
        message = "Forbidden: only deletion is allowed, but found new scheduling gate"
        yield Cause("spec.schedulingGates", message, _FORBIDDEN)
    elif _fixed(wanted) != _fixed(current):
        yield Cause("spec", _POD_FIELDS, _FORBIDDEN)


def _is_shorter(wanted: int | None, current: int | None) -> bool:
    """A deadline may be set and shortened, never lengthened or taken back."""
    return current is None or (wanted is not None and wanted <= current)


def _fixed(spec: PodSpec) -> PodSpec:
    """Without what may change in a Pod; its node is given by `pods/binding` only."""
    free = {
        "containers": _without_images(spec.containers),
        "init_containers": _without_images(spec.init_containers),
        "active_deadline_seconds": None,
        "tolerations": (),
        "scheduling_gates": (),
    }
    return spec.model_copy(update=free)


def _without_images(containers: Sequence[Container]) -> tuple[Container, ...]:
    return tuple(one.model_copy(update={"image": ""}) for one in containers)


def _sealed(wanted: ConfigMap | Secret, current: ConfigMap | Secret) -> Iterator[Cause]:
    if current.immutable:
        fields: dict[str, tuple[object, object]] = {
            "immutable": (wanted.immutable, True),
            "data": (wanted.data, current.data),
        }
        if isinstance(wanted, ConfigMap) and isinstance(current, ConfigMap):
            fields["binaryData"] = (wanted.binary_data, current.binary_data)
        for field, (new, old) in fields.items():
            if new != old:
                yield Cause(field, "Forbidden: field is immutable when `immutable` is set", _FORBIDDEN)
