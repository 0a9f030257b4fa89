"""core/v1 Namespace (pure)."""

from typing import Literal

from control_plane.resources.base import Condition, Model, ObjectMeta, Resource
from control_plane.resources.field import Items, LabelName


class NamespaceMeta(ObjectMeta):
    name: LabelName
    namespace: Literal[""] = ""


class NamespaceSpec(Model):
    finalizers: Items[str] = ()
    """Accepted because Kubernetes writes it into every Namespace; nothing waits for it here."""


class NamespaceStatus(Model):
    phase: Literal["Active", "Terminating"] = "Active"
    conditions: Items[Condition] = ()


class Namespace(Resource):
    """A scope for names. With the label meshproxy.io/injection=enabled its Pods get sidecars."""

    API_VERSION = "v1"
    KIND = "Namespace"

    api_version: Literal["v1"]
    kind: Literal["Namespace"]
    metadata: NamespaceMeta
    spec: NamespaceSpec = NamespaceSpec()
    status: NamespaceStatus = NamespaceStatus()
