"""Takes the sidecar out of a pod again (pure)."""

import copy

from injector.annotations import STATUS_ANNOTATION
from injector.errors import InjectionError
from injector.manifest import Manifest, containers, objects, pod_name, section, texts
from injector.probes import PROBES_VARIABLE, turn_back
from injector.status import InjectionStatus, is_injected, read_status
from injector.template import INIT_CONTAINER, SIDECAR_CONTAINER, volumes


def uninject(pod: Manifest) -> Manifest:
    """The pod as it was before `inject`, or `pod` itself when it has no sidecar of ours.

    What was changed since stays changed. Raises InjectionError for a pod that others have marked as injected.
    """
    if not is_injected(pod):
        return pod
    status = read_status(pod)
    plain = copy.deepcopy(pod)
    spec = plain["spec"] = {**section(plain, "spec")}
    _restore_probes(plain)
    for field, names in _OURS.items():
        _keep(spec, field, [each for each in objects(spec, field) if each.get("name") not in names])
    _put_override_back(spec, status)
    metadata = plain["metadata"] = {**section(plain, "metadata")}
    _restore(metadata, "labels", status.labels)
    _restore(metadata, "annotations", {**status.annotations, STATUS_ANNOTATION: None})
    return plain


_OURS = {
    "initContainers": {INIT_CONTAINER, SIDECAR_CONTAINER},
    "containers": {SIDECAR_CONTAINER},
    "volumes": {str(volume["name"]) for volume in volumes()},
}


def _restore_probes(pod: Manifest) -> None:
    for container in containers(section(pod, "spec")):
        if container.get("name") != SIDECAR_CONTAINER:
            continue
        for entry in objects(container, "env"):
            if entry.get("name") == PROBES_VARIABLE:
                try:
                    turn_back(containers(section(pod, "spec")), str(entry.get("value")))
                except ValueError as error:
                    raise InjectionError(
                        f"pod {pod_name(pod)}: {PROBES_VARIABLE} cannot be read ({error}), so the probes "
                        "cannot be put back; take the sidecar out by hand"
                    ) from error


def _put_override_back(spec: Manifest, status: InjectionStatus) -> None:
    if status.override is not None:
        spec[status.override_field] = [*objects(spec, status.override_field), status.override]


def _restore(metadata: Manifest, field: str, before: dict[str, str | None]) -> None:
    found = texts(metadata, field)
    kept = {name: value for name, value in found.items() if name not in before}
    restored = {name: value for name, value in before.items() if value is not None}
    if found:
        metadata[field] = {**kept, **restored}
        if not metadata[field]:
            del metadata[field]


def _keep(spec: Manifest, field: str, left: list[Manifest]) -> None:
    """Empty lists go, as they came."""
    if left:
        spec[field] = left
    else:
        spec.pop(field, None)
