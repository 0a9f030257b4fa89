"""Does the workload that a token names still run? Asked of the store before a first certificate is signed."""

from __future__ import annotations

from typing import Protocol

from control_plane.resources.manifest import Manifest, metadata, section, uid_of
from control_plane.store.api import ObjectNotFound


class ObjectReader(Protocol):
    """The part of a store that is needed here."""

    async def get(self, kind: str, namespace: str, name: str) -> Manifest:
        """Raises ObjectNotFound."""
        ...


class WorkloadCheck:
    """`issuer.WorkloadExists` on a store: the Pod is there, the same one, under the same account, and not
    ending.
    """

    def __init__(self, store: ObjectReader) -> None:
        self._store = store

    async def __call__(self, namespace: str, service_account: str, pod_name: str, pod_uid: str) -> str | None:
        """None when all holds, else what does not."""
        try:
            pod = await self._store.get("Pod", namespace, pod_name)
        except ObjectNotFound:
            return f"Pod {namespace}/{pod_name} does not exist any more"
        return _difference(pod, f"Pod {namespace}/{pod_name}", service_account, pod_uid)


def _difference(pod: Manifest, name: str, service_account: str, pod_uid: str) -> str | None:
    if (uid := uid_of(pod)) != pod_uid:
        return f"{name} is another one now: uid {uid}, not {pod_uid}"
    if (account := section(pod, "spec").get("serviceAccountName", "default")) != service_account:
        return f"{name} runs as ServiceAccount {account}, not {service_account}"
    if metadata(pod).get("deletionTimestamp") is not None:
        return f"{name} is being deleted"
    if (phase := section(pod, "status").get("phase")) in {"Succeeded", "Failed"}:
        return f"{name} has ended: {phase}"
    return None
