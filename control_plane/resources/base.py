"""What every model shares: strict, frozen, camelCase on the wire; and the envelope of an object (pure)."""

from typing import ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from control_plane.resources.field import (
    Annotations,
    Count,
    FinalizerName,
    Items,
    LabelName,
    Labels,
    NotSupported,
    SubdomainName,
)
from control_plane.resources.invalid import InvalidResource, causes_of
from control_plane.resources.manifest import Manifest, kind_of, name_of

_CAPITALS = {"ip": "IP", "ips": "IPs", "id": "ID", "pid": "PID", "ipc": "IPC", "api": "API"}


def wire_name(attribute: str) -> str:
    """`pod_ip` → `podIP`, `backend_refs` → `backendRefs`: initialisms after the first word are capitals."""
    first, *rest = attribute.rstrip("_").split("_")
    return first + "".join(_CAPITALS.get(word, word.capitalize()) for word in rest)


class Model(BaseModel):
    """A part of an object. Wrong types and unknown fields are refused."""

    model_config = ConfigDict(
        alias_generator=wire_name, populate_by_name=True, extra="forbid", frozen=True, strict=True
    )


class OwnerReference(Model):
    api_version: str
    kind: str
    name: str
    uid: str
    controller: bool = False
    block_owner_deletion: bool = False


class ManagedFieldsEntry(Model):
    """Which fields one manager set; written by the API server."""

    manager: str = ""
    operation: Literal["Apply", "Update"] | None = None
    api_version: str = ""
    time: str = ""
    """RFC 3339, UTC."""
    fields_type: str = ""
    fields_v1: dict[str, object] = Field(default_factory=dict)
    subresource: str = ""


class ObjectMeta(Model):
    """`metadata`. The store owns uid, resourceVersion, generation and creationTimestamp."""

    name: SubdomainName
    generate_name: str = ""
    namespace: LabelName = ""
    labels: Labels = Field(default_factory=dict)
    annotations: Annotations = Field(default_factory=dict)
    uid: str = ""
    resource_version: str = ""
    generation: Count = 0
    creation_timestamp: str = ""
    """RFC 3339, UTC."""
    deletion_timestamp: str = ""
    """RFC 3339, UTC: when it shall be gone at the latest; empty until it is being deleted."""
    deletion_grace_period_seconds: Count | None = None
    owner_references: Items[OwnerReference] = ()
    finalizers: Items[FinalizerName] = ()
    """Who must still see to something before the object goes; each removes its own."""
    managed_fields: Items[ManagedFieldsEntry] = ()
    self_link: NotSupported = None


class Condition(Model):
    """A `metav1.Condition`, also with the extra fields that Pods and Deployments have."""

    type: str
    status: str
    """`"True"`, `"False"` or `"Unknown"`."""
    reason: str = ""
    message: str = ""
    observed_generation: Count = 0
    last_transition_time: str = ""
    last_update_time: str = ""
    last_probe_time: str = ""


class Resource(Model):
    """An object. Subclasses narrow `api_version` and `kind` to their own."""

    API_VERSION: ClassVar[str]
    KIND: ClassVar[str]
    SECRET_FIELDS: ClassVar[frozenset[str]] = frozenset()
    """Fields of the object whose values no message shows."""

    api_version: str
    """Group and version of the kind, e.g. `apps/v1`."""
    kind: str
    """What it is."""
    metadata: ObjectMeta
    """Its name, labels, annotations and owners."""

    @classmethod
    def parse(cls, manifest: Manifest) -> Self:
        """The typed object. A null field counts as absent, as in Kubernetes. Raises InvalidResource."""
        try:
            return cls.model_validate(without_nulls(manifest))
        except ValidationError as exc:
            raise cls._refusal(manifest, exc) from exc

    @classmethod
    def read(cls, manifest: Manifest) -> Self:
        """`parse` for an object that an API server has accepted already.

        One of Kubernetes' own kinds may have fields that are newer than this program; policies and routes are
        understood completely or not at all. Raises InvalidResource."""
        if not is_kubernetes_own(cls.API_VERSION):
            return cls.parse(manifest)
        try:
            return cls.model_validate(without_nulls(manifest), extra="ignore")
        except ValidationError as exc:
            raise cls._refusal(manifest, exc) from exc

    @classmethod
    def _refusal(cls, manifest: Manifest, error: ValidationError) -> InvalidResource:
        causes = causes_of(error, secret=cls.SECRET_FIELDS)
        return InvalidResource(kind_of(manifest) or cls.KIND, name_of(manifest), causes)

    def to_manifest(self) -> Manifest:
        """The object as it travels, with only the fields that were set."""
        return self.model_dump(by_alias=True, exclude_unset=True, mode="json")


def is_kubernetes_own(api_version: str) -> bool:
    """Core, apps, batch and the `….k8s.io` groups that come with every API server; not the Gateway API."""
    group = api_version.rpartition("/")[0]
    return group.removesuffix(".k8s.io").count(".") == 0


def without_nulls(value: Manifest) -> Manifest:
    """Without null fields of objects; `[null]` keeps its element, which validation refuses.

    What has none is not copied: nearly all manifests have none, and each that is read or written comes here.
    """
    return _copied(value) if _has_null_field(value) else value


def _has_null_field(value: object) -> bool:
    """Loops, not `any`: it is on the way of every object that is read or written."""
    if isinstance(value, dict):
        for item in value.values():
            if item is None or (isinstance(item, dict | list) and _has_null_field(item)):
                return True
    elif isinstance(value, list):
        for item in value:
            if isinstance(item, dict | list) and _has_null_field(item):
                return True
    return False


def _copied(value: Manifest) -> Manifest:
    return {key: _pruned(item) for key, item in value.items() if item is not None}


def _pruned(value: object) -> object:
    if isinstance(value, dict):
        return _copied(value)
    if isinstance(value, list):
        return [_pruned(item) for item in value]
    return value
