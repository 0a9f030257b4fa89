"""What a Deployment needs done to its ReplicaSets (pure): the next step of its rollout.

As Kubernetes' deployment controller; the sizes are worked out in `rollout.py`, the status in
`deployment_status.py`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from control_plane.resources.deployment import Deployment
from control_plane.resources.manifest import Manifest, ObjectKey, metadata, section
from control_plane.resources.replica_set import ReplicaSet
from lab.controllers import rollout
from lab.controllers.action import Action, Create, Delete, Patch, Plan, Record, Update, UpdateStatus
from lab.controllers.condition import find_condition
from lab.controllers.deployment_status import (
    PROGRESSING,
    Rollout,
    deployment_status,
    is_complete,
    progress_left,
)
from lab.controllers.revision import (
    REVISION,
    annotations_of,
    by_age,
    find_new,
    next_revision,
    replica_set_manifest,
    revision_of,
    sizes,
    template_hash,
)

COMPONENT = "deployment-controller"


@dataclass(frozen=True, slots=True)
class DeploymentView:
    """A Deployment and what there is of it."""

    deployment: Deployment
    manifest: Manifest
    sets: Mapping[str, tuple[ReplicaSet, Manifest]]
    """Those it controls, by name."""
    is_taken: Callable[[str], bool]
    """Whether any ReplicaSet of its namespace has that name."""
    is_running: Callable[[ReplicaSet], bool]
    """Whether a Pod of that ReplicaSet has not ended."""


def plan_deployment(view: DeploymentView, now: float, timestamp: str) -> Plan:
    """The next step, as of `now` (seconds since the epoch; `timestamp` says the same)."""
    deployment, all_sets = view.deployment, [one for one, _ in view.sets.values()]
    new = find_new(deployment, all_sets)
    old = [one for one in all_sets if one is not new]
    state = Rollout(deployment, view.manifest, new, all_sets, collisions=deployment.status.collision_count)
    actions: list[Action] = []
    if deployment.metadata.deletion_timestamp:
        return _with_status(view, replace(state, is_stepping=False), actions, now, timestamp)
    if new is not None:
        actions += _marks(view, new, old)
        if actions:
            return _with_status(view, state, actions, now, timestamp)
    if deployment.spec.paused or rollout.is_scaling(deployment, all_sets):
        actions += _scale(view, rollout.shared(deployment, new, all_sets))
        actions += _sized(view, all_sets, actions)
        state = replace(state, is_stepping=False)
    elif deployment.spec.strategy.type == "Recreate" and (down := rollout.recreate_step(old)):
        actions += _scale(view, down)
    elif deployment.spec.strategy.type == "Recreate" and new is None and any(map(view.is_running, old)):
        pass
    elif new is None:
        state = _begin(view, state, old, actions)
    else:
        actions += _scale(view, rollout.rolling_step(deployment, new, old))
    if not actions:
        actions += _forget_history(view, old, state)
    return _with_status(view, state, actions, now, timestamp)


def _marks(view: DeploymentView, new: ReplicaSet, old: Sequence[ReplicaSet]) -> list[Action]:
    """The revision and other annotations of the new ReplicaSet and of the Deployment."""
    _, manifest = view.sets[new.metadata.name]
    current = new.metadata.annotations
    revision = max(revision_of(current), next_revision(old))
    wanted = annotations_of(view.deployment, current, revision, rollout.most(view.deployment))
    # The sizes are written when it is scaled: by them it is seen that it has to be.
    wanted |= {key: current[key] for key in sizes(view.deployment, 0) if key in current}
    actions: list[Action] = []
    wait = view.deployment.spec.min_ready_seconds
    if wanted != current or new.spec.min_ready_seconds != wait:
        meta, spec = metadata(manifest), section(manifest, "spec")
        changed = {**meta, "annotations": wanted}
        actions.append(Update({**manifest, "metadata": changed, "spec": {**spec, "minReadySeconds": wait}}))
    return [*actions, *_number(view, revision)]


def _number(view: DeploymentView, revision: int) -> list[Action]:
    """The Deployment's own annotation."""
    if view.deployment.metadata.annotations.get(REVISION) == str(revision):
        return []
    meta = view.deployment.metadata
    where = ObjectKey("Deployment", meta.namespace, meta.name)
    return [Patch(where, {"metadata": {"uid": meta.uid, "annotations": {REVISION: str(revision)}}})]


def _begin(view: DeploymentView, state: Rollout, old: Sequence[ReplicaSet], actions: list[Action]) -> Rollout:
    """Make the new ReplicaSet; where its name is another's, count that, for another name next time."""
    deployment = view.deployment
    template = section(section(view.manifest, "spec"), "template")
    hashed = template_hash(template, state.collisions)
    name = f"{deployment.metadata.name}-{hashed}"
    if view.is_taken(name):
        return replace(state, collisions=state.collisions + 1)
    size = rollout.new_size(deployment, 0, rollout.total(old))
    revision = next_revision(old)
    annotations = annotations_of(deployment, {}, revision, rollout.most(deployment))
    actions.append(Create(replica_set_manifest(view.manifest, hashed, annotations, size)))
    actions += _number(view, revision)
    if size:
        actions.append(_note(view.manifest, name, 0, size))
    return replace(state, created=name)


def _scale(view: DeploymentView, wanted: rollout.Sizes) -> list[Action]:
    """Bring ReplicaSets to these sizes."""
    actions: list[Action] = []
    for name, size in wanted.items():
        one, manifest = view.sets[name]
        if one.spec.replicas == size:
            continue
        actions.append(Update(_resized(view, manifest, size)))
        actions.append(_note(view.manifest, name, one.spec.replicas, size))
    return actions


def _sized(view: DeploymentView, sets: Sequence[ReplicaSet], done: Sequence[Action]) -> list[Action]:
    """Those that keep their size after the Deployment was scaled: they are to know the new one."""
    changed = {metadata(one.manifest)["name"] for one in done if isinstance(one, Update)}
    wanted = sizes(view.deployment, rollout.most(view.deployment))
    return [
        Update(_resized(view, view.sets[one.metadata.name][1], one.spec.replicas))
        for one in sets
        if one.spec.replicas
        and one.metadata.name not in changed
        and not wanted.items() <= one.metadata.annotations.items()
    ]


def _resized(view: DeploymentView, manifest: Manifest, size: int) -> Manifest:
    meta, spec = metadata(manifest), section(manifest, "spec")
    marks = sizes(view.deployment, rollout.most(view.deployment))
    annotations = {**section(meta, "annotations"), **marks}
    return {**manifest, "metadata": {**meta, "annotations": annotations}, "spec": {**spec, "replicas": size}}


def _note(about: Manifest, name: str, before: int, after: int) -> Record:
    direction = "up" if after > before else "down"
    text = f"Scaled {direction} replica set {name} from {before} to {after}"
    return Record(about, "Normal", "ScalingReplicaSet", text, COMPONENT)


def _forget_history(view: DeploymentView, old: Sequence[ReplicaSet], state: Rollout) -> list[Action]:
    """Old ReplicaSets beyond `revisionHistoryLimit`, once the rollout is done."""
    status = view.deployment.status
    counts = {
        "replicas": status.replicas,
        "updatedReplicas": status.updated_replicas,
        "availableReplicas": status.available_replicas,
    }
    if state.new is None or not is_complete(view.deployment, counts):
        return []
    useless = [
        one
        for one in old
        if not one.spec.replicas
        and not one.status.replicas
        and one.status.observed_generation >= one.metadata.generation
        and not one.metadata.deletion_timestamp
    ]
    too_many = len(useless) - view.deployment.spec.revision_history_limit
    ordered = sorted(by_age(useless), key=lambda one: revision_of(one.metadata.annotations))
    return [
        Delete(ObjectKey("ReplicaSet", one.metadata.namespace, one.metadata.name), one.metadata.uid)
        for one in ordered[: max(0, too_many)]
    ]


def _with_status(
    view: DeploymentView, state: Rollout, actions: Sequence[Action], now: float, timestamp: str
) -> Plan:
    status = deployment_status(state, now, timestamp)
    progress = find_condition(status, PROGRESSING) or {}
    left = progress_left(view.deployment, progress, now) if state.is_stepping else None
    again_in = None if left is None else max(1.0, left)
    if _shown(status) == _shown(section(view.manifest, "status")):
        return Plan(tuple(actions), again_in)
    return Plan((*actions, UpdateStatus({**view.manifest, "status": status})), again_in)


def _shown(status: Manifest) -> Manifest:
    """Without what is 0 or empty: the server may leave that out."""
    return {field: value for field, value in status.items() if value}
