"""The controllers of Deployments, ReplicaSets and Jobs: they gather what the plans need to know."""

from collections.abc import Iterable, Iterator

from control_plane.client import ApiError, Conflict, NotFound
from control_plane.resources.deployment import Deployment
from control_plane.resources.job import Job
from control_plane.resources.manifest import (
    Manifest,
    ObjectKey,
    labels_of,
    name_of,
    namespace_of,
    section,
    uid_of,
)
from control_plane.resources.pod import Pod
from control_plane.resources.replica_set import ReplicaSet
from lab.controllers.action import Record
from lab.controllers.cache import Change
from lab.controllers.deployment import DeploymentView, plan_deployment
from lab.controllers.job import plan_job
from lab.controllers.ownership import claim
from lab.controllers.pod_state import has_ended
from lab.controllers.reconciler import Workplace, has_controller, owners_of
from lab.controllers.replica_set import COMPONENT, note_created, plan_pods, plan_status


class Deployments:
    """Deployment → ReplicaSets."""

    name = "deployment"

    def __init__(self, place: Workplace) -> None:
        self._place = place

    def affected(self, change: Change) -> Iterable[ObjectKey]:
        match change.key.kind:
            case "Deployment":
                yield change.key
            case "ReplicaSet":
                yield from _keepers(self._place, change, "Deployment")
            case "Pod" if change.new is None or _has_ended(change.new):
                # Who recreates waits for the last old Pod.
                for manifest in change.sides:
                    for owner in owners_of(manifest, "ReplicaSet"):
                        yield from owners_of(self._place.cache.manifest(owner) or {}, "Deployment")

    async def reconcile(self, key: ObjectKey) -> float | None:
        cache = self._place.cache
        deployment, manifest = cache.typed(Deployment, key), cache.manifest(key)
        if deployment is None or manifest is None:
            return None
        selector = deployment.spec.selector
        keys = _candidates(self._place, manifest, "ReplicaSet", selector.match_labels)
        sets, patches = claim(manifest, selector, cache.both(ReplicaSet, keys))
        if patches:
            await self._place.writer.perform(patches)
            return None  # the change brings it back here
        known = {one.metadata.name: one for one in sets}
        view = DeploymentView(
            deployment,
            manifest,
            {name: (one, self._manifest(key, name)) for name, one in known.items()},
            lambda name: cache.manifest(ObjectKey("ReplicaSet", key.namespace, name)) is not None,
            self._is_running,
        )
        return await self._place.carry_out(plan_deployment(view, *self._place.moment()))

    def _manifest(self, key: ObjectKey, name: str) -> Manifest:
        return self._place.cache.manifest(ObjectKey("ReplicaSet", key.namespace, name)) or {}

    def _is_running(self, replica_set: ReplicaSet) -> bool:
        owned = self._place.cache.owned_by(replica_set.metadata.uid)
        return any(not has_ended(pod) for pod, _ in self._place.cache.both(Pod, owned))


class ReplicaSets:
    """ReplicaSet → Pods."""

    name = "replicaset"

    def __init__(self, place: Workplace) -> None:
        self._place = place

    def affected(self, change: Change) -> Iterable[ObjectKey]:
        if change.key.kind == "ReplicaSet":
            yield change.key
        elif change.key.kind == "Pod":
            yield from _keepers(self._place, change, "ReplicaSet")

    async def reconcile(self, key: ObjectKey) -> float | None:
        owner, manifest = self._place.cache.typed(ReplicaSet, key), self._place.cache.manifest(key)
        if owner is None or manifest is None:
            return None
        keys = _candidates(self._place, manifest, "Pod", owner.spec.selector.match_labels)
        pods, patches = claim(manifest, owner.spec.selector, self._place.cache.both(Pod, keys))
        if patches:
            await self._place.writer.perform(patches)
            return None  # the change brings it back here
        refusal = await self._change_pods(owner, manifest, pods)
        now = self._place.moment()
        left = [pod for pod, _ in self._place.cache.both(Pod, self._place.cache.owned_by(owner.metadata.uid))]
        message = refusal.message if refusal is not None else ""
        again_in = await self._place.carry_out(plan_status(owner, manifest, left, *now, message))
        if refusal is not None:
            raise refusal
        return again_in

    async def _change_pods(self, owner: ReplicaSet, manifest: Manifest, pods: list[Pod]) -> ApiError | None:
        """What the API said when it refused one, which the status is to tell."""
        writer = self._place.writer
        try:
            for action in plan_pods(owner, manifest, pods):
                for made in await writer.perform([action]):
                    await writer.perform([note_created(manifest, name_of(made))])
        except (Conflict, NotFound):
            raise
        except ApiError as error:
            text = f"Error creating: {error.message}"
            await writer.perform([Record(manifest, "Warning", "FailedCreate", text, COMPONENT)])
            return error
        return None


class Jobs:
    """Job → Pods that run to their end."""

    name = "job"

    def __init__(self, place: Workplace) -> None:
        self._place = place

    def affected(self, change: Change) -> Iterable[ObjectKey]:
        if change.key.kind == "Job":
            yield change.key
        elif change.key.kind == "Pod":
            for manifest in change.sides:
                yield from owners_of(manifest, "Job")

    async def reconcile(self, key: ObjectKey) -> float | None:
        cache = self._place.cache
        job, manifest = cache.typed(Job, key), cache.manifest(key)
        if job is None or manifest is None:
            return None
        pods = [pod for pod, _ in cache.both(Pod, cache.owned_by(job.metadata.uid))]
        return await self._place.carry_out(plan_job(job, manifest, pods, *self._place.moment()))


def _candidates(place: Workplace, owner: Manifest, kind: str, labels: dict[str, str]) -> list[ObjectKey]:
    """What an owner has, and what it may take in."""
    found = dict.fromkeys(place.cache.owned_by(uid_of(owner)))
    found |= dict.fromkeys(place.cache.labelled(kind, namespace_of(owner), labels))
    return [key for key in found if key.kind == kind]


def _keepers(place: Workplace, change: Change, kind: str) -> Iterator[ObjectKey]:
    """Who controls the object, or may want to."""
    for manifest in change.sides:
        if has_controller(manifest):
            yield from owners_of(manifest, kind)
        else:
            yield from place.cache.selecting(kind, change.key.namespace, labels_of(manifest))


def _has_ended(pod: Manifest) -> bool:
    return section(pod, "status").get("phase") in ("Succeeded", "Failed")
