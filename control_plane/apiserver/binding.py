"""core/v1 Binding: a scheduler's word on which node a Pod runs, posted to `pods/{name}/binding` (pure)."""

from http import HTTPStatus
from typing import Literal

from pydantic import Field, ValidationError

from control_plane.apiserver.failure import Failure
from control_plane.resources.base import Model, without_nulls
from control_plane.resources.field import Annotations, LabelName, SubdomainName
from control_plane.resources.invalid import Cause, InvalidResource, causes_of
from control_plane.resources.manifest import (
    Manifest,
    key_of,
    metadata,
    objects,
    resource_version_of,
    section,
    uid_of,
)
from control_plane.resources.timestamp import rfc3339
from control_plane.store.bookkeeping import check_preconditions
from control_plane.store.deletion import is_deleting


class BindingMeta(Model):
    name: SubdomainName | None = None
    namespace: LabelName | None = None
    uid: str = ""
    resource_version: str = ""
    creation_timestamp: str = ""
    annotations: Annotations = Field(default_factory=dict)
    """Copied to the Pod."""


class BindingTarget(Model):
    api_version: str = ""
    kind: str = ""
    name: str = ""
    namespace: str = ""
    uid: str = ""


class Binding(Model):
    api_version: Literal["v1"] = "v1"
    kind: Literal["Binding"] = "Binding"
    metadata: BindingMeta = BindingMeta()
    target: BindingTarget

    @property
    def resource_version(self) -> str:
        """The Pod's version it was decided for; empty: any."""
        return self.metadata.resource_version


def parse_binding(body: Manifest, name: str) -> Binding:
    """The Binding for Pod `name`. Raises InvalidResource, Failure (400) when it names another Pod."""
    try:
        binding = Binding.model_validate(without_nulls(body))
    except ValidationError as exc:
        raise InvalidResource("Binding", name, causes_of(exc)) from exc
    if binding.metadata.name not in (None, name):
        message = (
            f"the name in the binding ({binding.metadata.name}) does not match the name on the URL ({name})"
        )
        raise Failure(HTTPStatus.BAD_REQUEST, message)
    causes = []
    if binding.target.kind not in ("", "Node"):
        causes.append(
            Cause("target.kind", f"{binding.target.kind!r}: must be Node", "FieldValueNotSupported")
        )
    if not binding.target.name:
        causes.append(Cause("target.name", "Required value", "FieldValueRequired"))
    if causes:
        raise InvalidResource("Binding", name, causes)
    return binding


def bound(pod: Manifest, binding: Binding, now: float) -> Manifest:
    """`pod` on its node, with the condition `PodScheduled`. Raises Failure (409), VersionConflict."""
    check_preconditions(pod, uid=binding.metadata.uid, resource_version=binding.resource_version)
    key, spec, meta = key_of(pod), section(pod, "spec"), metadata(pod)
    if is_deleting(pod):
        raise _refused(key.name, f"pod {key.name} is being deleted, cannot be assigned to a host")
    if node := spec.get("nodeName"):
        raise _refused(key.name, f'pod {key.name} is already assigned to node "{node}"')
    annotations = {**section(meta, "annotations"), **binding.metadata.annotations}
    status = section(pod, "status")
    conditions = [one for one in objects(status, "conditions") if one.get("type") != "PodScheduled"]
    scheduled = {"type": "PodScheduled", "status": "True", "lastTransitionTime": rfc3339(now)}
    return {
        **pod,
        "metadata": {
            **meta,
            **({"annotations": annotations} if annotations else {}),
            "uid": uid_of(pod),
            "resourceVersion": resource_version_of(pod),
        },
        "spec": {**spec, "nodeName": binding.target.name},
        "status": {**status, "conditions": [*conditions, scheduled]},
    }


def _refused(name: str, why: str) -> Failure:
    message = f'Operation cannot be fulfilled on pods/binding "{name}": {why}'
    return Failure(HTTPStatus.CONFLICT, message, details={"name": name, "kind": "pods/binding"})
