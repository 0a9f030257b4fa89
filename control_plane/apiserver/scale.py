"""autoscaling/v1 Scale: the number of replicas of whatever has them, as `kubectl scale` sees it (pure)."""

from http import HTTPStatus
from typing import Literal

from pydantic import ValidationError

from control_plane.apiserver.failure import Failure
from control_plane.resources.base import Model, ObjectMeta, without_nulls
from control_plane.resources.field import Count
from control_plane.resources.invalid import InvalidResource, causes_of
from control_plane.resources.manifest import Manifest, metadata, objects, resource_version_of, section, uid_of

SCALED_KINDS = frozenset({"Deployment", "ReplicaSet"})
_SELECTOR_OPERATORS = {"In": "in", "NotIn": "notin"}


class ScaleSpec(Model):
    replicas: Count = 0


class ScaleStatus(Model):
    replicas: Count = 0
    selector: str = ""


class Scale(Model):
    api_version: Literal["autoscaling/v1"] = "autoscaling/v1"
    kind: Literal["Scale"] = "Scale"
    metadata: ObjectMeta
    spec: ScaleSpec = ScaleSpec()
    status: ScaleStatus = ScaleStatus()


def scale_of(manifest: Manifest) -> Manifest:
    """What `scale` answers for an object with replicas; one that names no number wants one."""
    meta, spec = metadata(manifest), section(manifest, "spec")
    shown = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    replicas = section(manifest, "status").get("replicas", 0)
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {name: meta[name] for name in shown if name in meta},
        "spec": {"replicas": spec.get("replicas", 1)},
        "status": {"replicas": replicas, "selector": _selector_text(section(spec, "selector"))},
    }


def _selector_text(selector: Manifest) -> str:
    labels = section(selector, "matchLabels")
    terms = [f"{key}={value}" for key, value in sorted(labels.items())]
    for one in objects(selector, "matchExpressions"):
        key, operator, values = one.get("key"), str(one.get("operator")), one.get("values")
        if operator in _SELECTOR_OPERATORS and isinstance(values, list):
            terms.append(f"{key} {_SELECTOR_OPERATORS[operator]} ({','.join(map(str, values))})")
        else:
            terms.append(str(key) if operator == "Exists" else f"!{key}")
    return ",".join(terms)


def scaled(manifest: Manifest, wanted: Manifest) -> Manifest:
    """The object with the replicas, on the version, that a Scale says. Raises Failure, InvalidResource."""
    name = str(metadata(manifest).get("name"))
    try:
        scale = Scale.model_validate(without_nulls(wanted))
    except ValidationError as exc:
        raise InvalidResource("Scale", name, causes_of(exc)) from exc
    if scale.metadata.name != name:
        message = (
            f"the name of the object ({scale.metadata.name}) does not match the name on the URL ({name})"
        )
        raise Failure(HTTPStatus.BAD_REQUEST, message)
    uid = scale.metadata.uid or uid_of(manifest)
    version = scale.metadata.resource_version or resource_version_of(manifest)
    return {
        **manifest,
        "metadata": {**metadata(manifest), "uid": uid, "resourceVersion": version},
        "spec": {**section(manifest, "spec"), "replicas": scale.spec.replicas},
    }
