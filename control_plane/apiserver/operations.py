"""What the verbs do with objects, apart from HTTP: address, validate, admit, allocate, store.

A change without a `resourceVersion` is applied to whatever is current and tried again when somebody else was
faster; with one it is made exactly on that version or refused with a conflict.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from http import HTTPStatus

from control_plane.apiserver.admission import AdmissionCheck, check_immutable_fields
from control_plane.apiserver.admission_request import Admission, AdmissionRequest, AdmitEverything
from control_plane.apiserver.binding import bound, parse_binding
from control_plane.apiserver.cluster_ip import ClusterIpAllocator, ClusterIpRefused
from control_plane.apiserver.delete_options import parse_options
from control_plane.apiserver.failure import Failure
from control_plane.apiserver.merge_patch import merge
from control_plane.apiserver.selector import Selection
from control_plane.apiserver.system_object import SYSTEM_NAMESPACES, ensure_default_service_account
from control_plane.resources.base import without_nulls
from control_plane.resources.invalid import Cause, InvalidResource
from control_plane.resources.manifest import (
    Manifest,
    ObjectKey,
    key_of,
    metadata,
    name_of,
    resource_version_of,
    section,
    uid_of,
    with_metadata,
)
from control_plane.resources.registry import ResourceKind
from control_plane.resources.service import EXTERNAL_NAME, HEADLESS
from control_plane.store import bookkeeping
from control_plane.store.api import Deletion, Listing, ObjectExists, ObjectNotFound, Store, VersionConflict

_UPDATE_ATTEMPTS = 8
"""Tries of a change that names no version before the conflict is the client's to solve."""
_NAME_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"  # Kubernetes': no vowels, so no words; no look-alikes
_NAME_SUFFIX = 5
_INITIAL_STATUS: dict[str, Manifest] = {"Pod": {"phase": "Pending"}, "Namespace": {"phase": "Active"}}


class Operations:
    """The verbs over one store."""

    def __init__(
        self,
        store: Store,
        *,
        cluster_ips: ClusterIpAllocator,
        checks: Sequence[AdmissionCheck] = (),
        admission: Admission | None = None,
        rng: random.Random,
        now: Callable[[], float] = time.time,
    ) -> None:
        """`now`: seconds since the epoch."""
        self._store = store
        self._now = now
        self._cluster_ips = cluster_ips
        self._checks = (check_immutable_fields, *checks)
        self._admission = admission or AdmitEverything()
        self._rng = rng
        # From reading which addresses are taken to the Service being stored: two must not choose the same.
        self._allocation = asyncio.Lock()

    async def get(self, kind: ResourceKind, namespace: str, name: str) -> Manifest:
        """Raises ObjectNotFound."""
        return await self._store.get(kind.kind, namespace, name)

    async def list(self, kind: ResourceKind, namespace: str, selection: Selection) -> Listing:
        """What of a namespace (or of all, when it is empty) the selection matches."""
        items, version = await self._store.list(kind.kind, namespace)
        return Listing([item for item in items if selection.matches(item)], version)

    async def create(
        self, kind: ResourceKind, namespace: str, body: Manifest, *, dry_run: bool = False
    ) -> Manifest:
        """Raises Failure, InvalidResource, ObjectExists, ObjectNotFound (for the Namespace)."""
        wanted = _addressed(kind, namespace, "", body)
        if resource_version_of(wanted):
            raise Failure(HTTPStatus.BAD_REQUEST, "metadata.resourceVersion must not be set on a new object")
        wanted = _prepared(kind, wanted)
        # As in Kubernetes before a name is made from `generateName`.
        request = AdmissionRequest("CREATE", kind, namespace, name_of(wanted), wanted, dry_run=dry_run)
        wanted = self._named(_prepared(kind, await self._mutated(request, namespace, "")))
        request = replace(request, name=name_of(wanted))
        if kind.kind == "Service":
            async with self._allocation:
                self._admit(kind, wanted, None)
                wanted = await self._with_address(wanted)
                await self._admission.validate(request.with_object(wanted))
                return await self._store_new(wanted, dry_run)
        self._admit(kind, wanted, None)
        await self._admission.validate(request.with_object(wanted))
        created = await self._store_new(wanted, dry_run)
        if kind.kind == "Namespace" and not dry_run:
            await ensure_default_service_account(self._store, name_of(created))
        return created

    async def update(
        self, kind: ResourceKind, namespace: str, name: str, body: Manifest, *, dry_run: bool = False
    ) -> Manifest:
        """Replace all but `status`. Raises Failure, InvalidResource, ObjectNotFound, VersionConflict."""
        wanted = _addressed(kind, namespace, name, body)
        key = ObjectKey(kind.kind, namespace, name)
        return await self._change(kind, key, lambda current: wanted, self._store.update, dry_run)

    async def update_status(
        self, kind: ResourceKind, namespace: str, name: str, body: Manifest, *, dry_run: bool = False
    ) -> Manifest:
        """Replace `status` only; the rest of `body` is not looked at, apart from its versions."""
        wanted = _addressed(kind, namespace, name, body)
        key = ObjectKey(kind.kind, namespace, name)
        return await self._change_status(kind, key, lambda current: wanted, dry_run)

    async def patch(
        self, kind: ResourceKind, namespace: str, name: str, patch: Manifest, *, dry_run: bool = False
    ) -> Manifest:
        """Merge `patch` into the object (RFC 7396)."""
        key = ObjectKey(kind.kind, namespace, name)
        change = _patching(kind, key, patch)
        return await self._change(kind, key, change, self._store.update, dry_run)

    async def patch_status(
        self, kind: ResourceKind, namespace: str, name: str, patch: Manifest, *, dry_run: bool = False
    ) -> Manifest:
        """Merge `patch` into the object and keep only what it does to `status`."""
        key = ObjectKey(kind.kind, namespace, name)
        return await self._change_status(kind, key, _patching(kind, key, patch), dry_run)

    async def delete(
        self, kind: ResourceKind, namespace: str, name: str, options: Manifest, *, dry_run: bool = False
    ) -> Deletion:
        """Ask for the object's deletion; it stays, marked, as long as something holds it.

        `options` are `DeleteOptions`. Raises Failure, ObjectNotFound, VersionConflict.
        """
        if kind.kind == "Namespace" and name in SYSTEM_NAMESPACES:
            message = f'namespaces "{name}" is forbidden: this namespace may not be deleted'
            raise Failure(HTTPStatus.FORBIDDEN, message)
        wanted = parse_options(options)
        dry_run = dry_run or bool(wanted.dry_run)
        current = await self._store.get(kind.kind, namespace, name)
        request = AdmissionRequest(
            "DELETE", kind, namespace, name, None, current, dry_run=dry_run, options=options
        )
        await self._admission.mutate(request)
        await self._admission.validate(request)
        asked = wanted.request
        if dry_run:
            bookkeeping.check_preconditions(current, uid=asked.uid, resource_version=asked.resource_version)
            return Deletion(current, is_gone=True)
        return await self._store.delete(kind.kind, namespace, name, asked)

    async def bind(self, namespace: str, name: str, body: Manifest, *, dry_run: bool = False) -> None:
        """Assign a Pod to a node, as a scheduler does. Raises Failure, InvalidResource, ObjectNotFound."""
        binding = parse_binding(body, name)
        for attempt in range(_UPDATE_ATTEMPTS):
            current = await self._store.get("Pod", namespace, name)
            wanted = bound(current, binding, self._now())
            if dry_run:
                return
            try:
                await self._store.replace(wanted)
            except VersionConflict:
                if binding.resource_version or attempt == _UPDATE_ATTEMPTS - 1:
                    raise
            else:
                return

    async def _change_status(
        self, kind: ResourceKind, key: ObjectKey, change: Callable[[Manifest], Manifest], dry_run: bool
    ) -> Manifest:
        def with_new_status(current: Manifest) -> Manifest:
            wanted = change(current)
            versions = {"resourceVersion": resource_version_of(wanted), "uid": uid_of(wanted)}
            result = with_metadata(current, **versions)
            result.pop("status", None)
            return {**result, "status": wanted["status"]} if "status" in wanted else result

        return await self._change(kind, key, with_new_status, self._store.update_status, dry_run)

    async def _change(
        self,
        kind: ResourceKind,
        key: ObjectKey,
        change: Callable[[Manifest], Manifest],
        write: Callable[[Manifest], Awaitable[Manifest]],
        dry_run: bool,
    ) -> Manifest:
        is_status = write == self._store.update_status
        for attempt in range(_UPDATE_ATTEMPTS):
            current = await self._store.get(*key)
            wanted = without_nulls(change(current))
            if kind.has_status and not is_status:
                wanted.pop("status", None)
            wanted = _with_current_address(wanted, current)
            subresource = "status" if is_status else ""
            request = AdmissionRequest(
                "UPDATE", kind, key.namespace, key.name, wanted, current, subresource, dry_run
            )
            wanted = await self._mutated(request, key.namespace, key.name)
            self._admit(kind, wanted, current)
            await self._admission.validate(request.with_object(wanted))
            pinned = resource_version_of(wanted)
            wanted = with_metadata(wanted, resourceVersion=pinned or resource_version_of(current))
            try:
                return _preview(current, wanted, is_status) if dry_run else await write(wanted)
            except VersionConflict:
                if pinned or attempt == _UPDATE_ATTEMPTS - 1:
                    raise
        raise AssertionError("unreachable: the last attempt returns or raises")

    async def _mutated(self, request: AdmissionRequest, namespace: str, name: str) -> Manifest:
        """The object after admission, which may not have moved it elsewhere."""
        wanted = await self._admission.mutate(request)
        assert wanted is not None  # only DELETE has no object
        return wanted if wanted is request.wanted else _addressed(request.kind, namespace, name, wanted)

    def _named(self, manifest: Manifest) -> Manifest:
        """With a name made from `generateName` when there is none."""
        prefix = metadata(manifest).get("generateName")
        if name_of(manifest) or not isinstance(prefix, str) or not prefix:
            return manifest
        suffix = "".join(self._rng.choices(_NAME_ALPHABET, k=_NAME_SUFFIX))
        return with_metadata(manifest, name=f"{prefix}{suffix}")

    def _admit(self, kind: ResourceKind, wanted: Manifest, current: Manifest | None) -> None:
        """Raises InvalidResource with every cause."""
        resource = kind.model.parse(wanted)
        before = None if current is None else kind.model.parse(current)
        causes = [cause for check in self._checks for cause in check(resource, before)]
        if causes:
            raise InvalidResource(kind.kind, name_of(wanted), causes)

    async def _with_address(self, service: Manifest) -> Manifest:
        """With its clusterIP allocated, or checked when it asks for one; another name for a host has none."""
        spec = section(service, "spec")
        if spec.get("type") == EXTERNAL_NAME:
            return service
        services = (await self._store.list("Service")).items
        used = {str(section(other, "spec").get("clusterIP", "")) for other in services}
        address = str(spec.get("clusterIP") or "")
        try:
            if not address:
                address = self._cluster_ips.choose(used)
            elif address != HEADLESS:
                self._cluster_ips.check(address, used)
        except ClusterIpRefused as exc:
            raise InvalidResource("Service", name_of(service), [Cause("spec.clusterIP", str(exc))]) from exc
        return {**service, "spec": {**spec, "clusterIP": address, "clusterIPs": [address]}}

    async def _store_new(self, wanted: Manifest, dry_run: bool) -> Manifest:
        if not dry_run:
            return await self._store.create(wanted)
        key = key_of(wanted)
        if key.namespace:
            await self._store.get("Namespace", "", key.namespace)
        try:
            await self._store.get(*key)
        except ObjectNotFound:
            return wanted
        raise ObjectExists(key)


def _addressed(kind: ResourceKind, namespace: str, name: str, body: Manifest) -> Manifest:
    """`body` with what its URL says filled in. Raises Failure (400) when it says something else."""
    result = kind.stored(without_nulls(body))
    if not isinstance(result.setdefault("metadata", {}), dict):
        cause = Cause("metadata", "must be an object", "FieldValueTypeInvalid")
        raise InvalidResource(kind.kind, name, [cause])
    for field, value in (("apiVersion", kind.model.API_VERSION), ("kind", kind.kind)):
        if result.setdefault(field, value) != value:
            raise Failure(HTTPStatus.BAD_REQUEST, f"{field} is {result[field]!r}; this path serves {value!r}")
    meta = metadata(result)
    for field, value in (("namespace", namespace), ("name", name)):
        if value and meta.setdefault(field, value) != value:
            message = f"metadata.{field} is {meta[field]!r}; the request's path says {value!r}"
            raise Failure(HTTPStatus.BAD_REQUEST, message)
    return result


def _prepared(kind: ResourceKind, wanted: Manifest) -> Manifest:
    """With the status every new object of its kind has, whatever the client sent."""
    if not kind.has_status:
        return wanted
    result = {field: value for field, value in wanted.items() if field != "status"}
    if kind.kind in _INITIAL_STATUS:
        result["status"] = _INITIAL_STATUS[kind.kind]
    return result


def _patching(kind: ResourceKind, key: ObjectKey, patch: Manifest) -> Callable[[Manifest], Manifest]:
    pinned = resource_version_of(patch)

    def change(current: Manifest) -> Manifest:
        merged = with_metadata(merge(current, patch), resourceVersion=pinned)
        return _addressed(kind, key.namespace, key.name, merged)

    return change


def _with_current_address(wanted: Manifest, current: Manifest) -> Manifest:
    """A Service that is replaced without naming its clusterIP keeps it."""
    spec, before = section(wanted, "spec"), section(current, "spec")
    if wanted.get("kind") != "Service" or spec.get("clusterIP") or "clusterIP" not in before:
        return wanted
    kept: Manifest = {field: before[field] for field in ("clusterIP", "clusterIPs") if field in before}
    return {**wanted, "spec": spec | kept}


def _preview(current: Manifest, wanted: Manifest, is_status: bool) -> Manifest:
    """What a write would store, at the current version."""
    uid, version = uid_of(wanted), resource_version_of(wanted)
    bookkeeping.check_preconditions(current, uid=uid, resource_version=version)
    change = bookkeeping.status_updated if is_status else bookkeeping.updated
    return change(current, wanted, version=int(resource_version_of(current))) or current
