"""The revisions of a Deployment: which ReplicaSet is of its template, and what is written on each (pure)."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence

from control_plane.resources.deployment import Deployment
from control_plane.resources.manifest import Manifest, metadata, section
from control_plane.resources.pod import PodTemplate
from control_plane.resources.replica_set import ReplicaSet
from lab.controllers.ownership import controller_reference

HASH_LABEL = "pod-template-hash"
REVISION = "deployment.kubernetes.io/revision"
_HISTORY = "deployment.kubernetes.io/revision-history"
DESIRED = "deployment.kubernetes.io/desired-replicas"
MOST = "deployment.kubernetes.io/max-replicas"
_NOT_COPIED = frozenset(
    {
        "kubectl.kubernetes.io/last-applied-configuration",
        REVISION,
        _HISTORY,
        DESIRED,
        MOST,
        "deprecated.deployment.rollback.to",
    }
)
_HASH_LENGTH = 10
_LONGEST_HISTORY = 2000
"""Characters of the list of revisions that a ReplicaSet has been."""


def template_hash(template: Manifest, collisions: int = 0) -> str:
    """A name for the template: equal templates, whatever the order of their keys, have equal hashes.

    `collisions` chooses another one where the name was taken.
    """
    canonical = json.dumps(template, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(f"{canonical}{collisions or ''}".encode()).hexdigest()[:_HASH_LENGTH]


def revision_of(annotations: Mapping[str, str]) -> int:
    """0 when there is none that is a number."""
    text = annotations.get(REVISION, "")
    return int(text) if text.isdecimal() else 0


def desired_of(replica_set: ReplicaSet) -> int | None:
    """The Deployment's size when the ReplicaSet was last scaled; None when that is not known."""
    text = replica_set.metadata.annotations.get(DESIRED, "")
    return int(text) if text.isdecimal() else None


def by_age(replica_sets: Iterable[ReplicaSet]) -> list[ReplicaSet]:
    """Oldest first."""
    return sorted(replica_sets, key=lambda one: (one.metadata.creation_timestamp, one.metadata.name))


def find_new(deployment: Deployment, replica_sets: Sequence[ReplicaSet]) -> ReplicaSet | None:
    """The oldest of the Deployment's present template, apart from the label that is added to it."""
    wanted = _unhashed(deployment.spec.template)
    return next((one for one in by_age(replica_sets) if _unhashed(one.spec.template) == wanted), None)


def _unhashed(template: PodTemplate) -> PodTemplate:
    labels = {key: value for key, value in template.metadata.labels.items() if key != HASH_LABEL}
    return template.model_copy(update={"metadata": template.metadata.model_copy(update={"labels": labels})})


def next_revision(others: Iterable[ReplicaSet]) -> int:
    """Of the new ReplicaSet, given all others."""
    return max((revision_of(one.metadata.annotations) for one in others), default=0) + 1


def annotations_of(
    deployment: Deployment, current: Mapping[str, str], revision: int, most: int
) -> dict[str, str]:
    """Of the new ReplicaSet, which has `current`: the Deployment's own, such as its change-cause, the
    revision, those that it had before (a rollback makes it the newest again), and the sizes."""
    own = deployment.metadata.annotations
    made = {**current, **{key: value for key, value in own.items() if key not in _NOT_COPIED}}
    before = revision_of(current)
    if revision > before:
        if before:
            history = [one for one in current.get(_HISTORY, "").split(",") if one]
            text = ",".join([*history, str(before)])
            made[_HISTORY] = text if len(text) <= _LONGEST_HISTORY else str(before)
        made[REVISION] = str(revision)
    return made | sizes(deployment, most)


def sizes(deployment: Deployment, most: int) -> dict[str, str]:
    """Annotations of a ReplicaSet that is scaled: by them a change of the Deployment's size is told from a
    step of a rollout."""
    return {DESIRED: str(deployment.spec.replicas), MOST: str(most)}


def replica_set_manifest(
    deployment: Manifest, hashed: str, annotations: Mapping[str, str], replicas: int
) -> Manifest:
    """The ReplicaSet of the Deployment's present template."""
    parent, spec = metadata(deployment), section(deployment, "spec")
    template, selector = section(spec, "template"), section(spec, "selector")
    meta = section(template, "metadata")
    labels = {**section(meta, "labels"), HASH_LABEL: hashed}
    matched = {**section(selector, "matchLabels"), HASH_LABEL: hashed}
    made: Manifest = {
        "replicas": replicas,
        "selector": {**selector, "matchLabels": matched},
        "template": {**template, "metadata": {**meta, "labels": labels}},
    }
    if spec.get("minReadySeconds"):
        made["minReadySeconds"] = spec["minReadySeconds"]
    return {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": f"{parent['name']}-{hashed}",
            "namespace": parent["namespace"],
            "labels": labels,
            "annotations": dict(annotations),
            "ownerReferences": [controller_reference(deployment)],
        },
        "spec": made,
    }
