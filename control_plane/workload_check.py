"""Does the workload that asks for a certificate still run? Asked of the store before one is signed."""

from __future__ import annotations

from typing import Protocol

from control_plane.resources.manifest import Manifest, metadata, section, uid_of
from control_plane.store.api import Listing, ObjectNotFound


class ObjectReader(Protocol):
    """The part of a store that is needed here."""

    async def get(self, kind: str, namespace: str, name: str) -> Manifest:
        """Raises ObjectNotFound."""
        ...

    async def list(self, kind: str, namespace: str = "") -> Listing:
        """All objects of a kind in a namespace."""
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


class AccountCheck:
    """`issuer.AccountInUse` on a store: the account is there, and a Pod that has not ended runs as it."""

    def __init__(self, store: ObjectReader) -> None:
        self._store = store

    async def __call__(self, namespace: str, service_account: str) -> str | None:
        """None when all holds, else what does not."""
        name = f"ServiceAccount {namespace}/{service_account}"
        try:
            await self._store.get("ServiceAccount", namespace, service_account)
        except ObjectNotFound:
            return f"{name} does not exist any more"
        pods = (await self._store.list("Pod", namespace)).items
        if any(_account(pod) == service_account and not _has_ended(pod) for pod in pods):
            return None
        return f"no Pod runs as {name} any more"


def _account(pod: Manifest) -> object:
    return section(pod, "spec").get("serviceAccountName", "default")


def _has_ended(pod: Manifest) -> bool:
    return section(pod, "status").get("phase") in {"Succeeded", "Failed"}


def _difference(pod: Manifest, name: str, service_account: str, pod_uid: str) -> str | None:
    if (uid := uid_of(pod)) != pod_uid:
        return f"{name} is another one now: uid {uid}, not {pod_uid}"
    if (account := _account(pod)) != service_account:
        return f"{name} runs as ServiceAccount {account}, not {service_account}"
    if metadata(pod).get("deletionTimestamp") is not None:
        return f"{name} is being deleted"
    if _has_ended(pod):
        return f"{name} has ended: {section(pod, 'status').get('phase')}"
    return None
