"""What the verbs do with objects, apart from HTTP: address, validate, admit, allocate, store.

A change without a `resourceVersion` is applied to whatever is current and tried again when somebody else was
faster; with one it is made exactly on that version or refused with a conflict.
"""

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from http import HTTPStatus

from control_plane.apiserver import command_advice, injection_advice
from control_plane.apiserver.admission import AdmissionCheck, check_immutable_fields
from control_plane.apiserver.admission_request import Admission, AdmissionRequest, AdmitEverything
from control_plane.apiserver.binding import bound, parse_binding
from control_plane.apiserver.defaulting import defaulted
from control_plane.apiserver.delete_options import parse_options
from control_plane.apiserver.failure import Failure
from control_plane.apiserver.field_shape import shape_of
from control_plane.apiserver.managed_fields import Manager, managers_of, on_update, with_managers
from control_plane.apiserver.object_size import check_size
from control_plane.apiserver.request_warning import add_warning
from control_plane.apiserver.resource_amounts import check_amounts
from control_plane.apiserver.selector import Selection
from control_plane.apiserver.server_side_apply import apply_configuration
from control_plane.apiserver.service_address import (
    ServiceAllocator,
    ServiceRefused,
    carried_over,
    claims,
)
from control_plane.apiserver.system_object import SYSTEM_NAMESPACES, ensure_default_service_account
from control_plane.apiserver.write_request import ANYBODY, Change, Write
from control_plane.resources.base import without_nulls
from control_plane.resources.invalid import Cause, InvalidResource
from control_plane.resources.manifest import (
    Manifest,
    ObjectKey,
    key_of,
    metadata,
    name_of,
    resource_version_of,
    uid_of,
    with_metadata,
)
from control_plane.resources.registry import BY_KIND, ResourceKind
from control_plane.resources.timestamp import rfc3339
from control_plane.store import bookkeeping
from control_plane.store.api import Deletion, Listing, ObjectExists, ObjectNotFound, Store, VersionConflict

_UPDATE_ATTEMPTS = 8
"""Tries of a change that names no version before the conflict is the client's to solve."""
_NAME_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"  # Kubernetes': no vowels, so no words; no look-alikes
_NAME_SUFFIX = 5
_LEFT_OUT_WHEN_EMPTY = ("labels", "annotations", "finalizers", "ownerReferences")
_INITIAL_STATUS: dict[str, Manifest] = {"Pod": {"phase": "Pending"}, "Namespace": {"phase": "Active"}}


class Operations:
    """The verbs over one store."""

    def __init__(
        self,
        store: Store,
        *,
        services: ServiceAllocator,
        checks: Sequence[AdmissionCheck] = (),
        admission: Admission | None = None,
        rng: random.Random,
        now: Callable[[], float] = time.time,
    ) -> None:
        """`now`: seconds since the epoch."""
        self._store = store
        self._now = now
        self._services = services
        self._checks = (check_immutable_fields, check_size, check_amounts, *checks)
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
        self, kind: ResourceKind, namespace: str, body: Manifest, write: Write = ANYBODY
    ) -> Manifest:
        """Raises Failure, InvalidResource, ObjectExists, ObjectNotFound (for the Namespace)."""
        return await self._create(kind, namespace, body, _updating(kind, write), write.dry_run)

    async def _create(
        self, kind: ResourceKind, namespace: str, body: Manifest, manager: Manager, dry_run: bool
    ) -> Manifest:
        wanted = _addressed(kind, namespace, "", body)
        if resource_version_of(wanted):
            raise Failure(HTTPStatus.BAD_REQUEST, "metadata.resourceVersion must not be set on a new object")
        wanted = _prepared(kind, wanted)
        # As in Kubernetes before a name is made from `generateName`.
        request = AdmissionRequest("CREATE", kind, namespace, name_of(wanted), wanted, dry_run=dry_run)
        wanted = self._named(_prepared(kind, await self._mutated(request, namespace, "")))
        wanted = defaulted(kind.kind, self._owned(kind, wanted, manager))
        request = replace(request, name=name_of(wanted))
        if kind.kind == "Service":
            async with self._allocation:
                self._admit(kind, wanted, None)
                wanted = await self._with_addresses(wanted)
                await self._admission.validate(request.with_object(wanted))
                return await self._store_new(wanted, dry_run)
        self._admit(kind, wanted, None)
        await self._admission.validate(request.with_object(wanted))
        created = await self._store_new(wanted, dry_run)
        if kind.kind == "Namespace" and not dry_run:
            await ensure_default_service_account(self._store, name_of(created))
        return created

    async def update(
        self, kind: ResourceKind, namespace: str, name: str, body: Manifest, write: Write = ANYBODY
    ) -> Manifest:
        """Replace all but `status`. Raises Failure, InvalidResource, ObjectNotFound, VersionConflict."""
        wanted = _addressed(kind, namespace, name, body)
        key = ObjectKey(kind.kind, namespace, name)
        return await self._change(kind, key, lambda current: _keeping_managers(wanted, current), write)

    async def update_status(
        self, kind: ResourceKind, namespace: str, name: str, body: Manifest, write: Write = ANYBODY
    ) -> Manifest:
        """Replace `status` only; the rest of `body` is not looked at, apart from its versions."""
        wanted = _addressed(kind, namespace, name, body)
        key = ObjectKey(kind.kind, namespace, name)
        # A writer of status sends what it once read: its word on managers is not meant.
        return await self._change(
            kind, key, lambda current: _with_managers_of(wanted, current), write, "status"
        )

    async def patch(
        self,
        kind: ResourceKind,
        namespace: str,
        name: str,
        patch: Change,
        write: Write = ANYBODY,
        subresource: str = "",
    ) -> Manifest:
        """Change the object, or only its `status`, as `patch` says; tried again when others were faster."""
        key = ObjectKey(kind.kind, namespace, name)

        def change(current: Manifest) -> Manifest:
            return _addressed(kind, namespace, name, patch(current))

        return await self._change(kind, key, change, write, subresource)

    async def apply(
        self,
        kind: ResourceKind,
        namespace: str,
        name: str,
        configuration: Manifest,
        write: Write = ANYBODY,
        subresource: str = "",
    ) -> tuple[Manifest, bool]:
        """Server-side apply: the object, and whether it was made by it. Raises Failure with the conflicts."""
        for field in ("apiVersion", "kind"):
            if not configuration.get(field):
                raise Failure(HTTPStatus.BAD_REQUEST, f"{field} must be set in an applied configuration")
        wanted = _part(kind, _addressed(kind, namespace, name, configuration), subresource)
        key, manager = ObjectKey(kind.kind, namespace, name), _applying(kind, write, subresource)

        def change(current: Manifest) -> Manifest:
            now = rfc3339(self._now())
            result = apply_configuration(current, wanted, shape_of(kind), manager, force=write.force, now=now)
            pinned = resource_version_of(wanted) or resource_version_of(current)
            return with_metadata(result, resourceVersion=pinned)

        try:
            return await self._change(kind, key, change, write, subresource, is_tracked=True), False
        except ObjectNotFound:
            if subresource or resource_version_of(wanted) or uid_of(wanted):
                raise
        try:
            return await self._create(kind, namespace, wanted, manager, write.dry_run), True
        except ObjectExists:  # somebody else was faster
            return await self._change(kind, key, change, write, is_tracked=True), False

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
        body = await self._admitted_binding(namespace, name, body, dry_run)
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

    async def _admitted_binding(self, namespace: str, name: str, body: Manifest, dry_run: bool) -> Manifest:
        wanted: Manifest = {"apiVersion": "v1", "kind": "Binding", **body}
        request = AdmissionRequest(
            "CREATE", BY_KIND["Pod"], namespace, name, wanted, subresource="binding", dry_run=dry_run
        )
        wanted = await self._admission.mutate(request) or wanted
        await self._admission.validate(request.with_object(wanted))
        return wanted

    async def _change(
        self,
        kind: ResourceKind,
        key: ObjectKey,
        change: Change,
        write: Write,
        subresource: str = "",
        *,
        is_tracked: bool = False,
    ) -> Manifest:
        """`is_tracked`: the change sees to `managedFields` itself."""
        manager = _updating(kind, write, subresource)
        for attempt in range(_UPDATE_ATTEMPTS):
            current = await self._store.get(*key)
            wanted = without_nulls(change(current))
            bookkeeping.check_preconditions(
                current, uid=uid_of(wanted), resource_version=resource_version_of(wanted)
            )
            wanted = await self._wanted(kind, key, current, wanted, subresource, write.dry_run)
            wanted = wanted if subresource else defaulted(kind.kind, wanted)
            if not is_tracked:
                now, scope = rfc3339(self._now()), subresource
                wanted = on_update(current, wanted, shape_of(kind), manager, scope=scope, now=now)
            self._admit(kind, wanted, current)
            request = _request(kind, key, current, wanted, subresource, write.dry_run)
            await self._admission.validate(request)
            wanted = with_metadata(wanted, resourceVersion=resource_version_of(current))
            try:
                return _preview(current, wanted) if write.dry_run else await self._store.replace(wanted)
            except VersionConflict:
                if attempt == _UPDATE_ATTEMPTS - 1:
                    raise
        raise AssertionError("unreachable: the last attempt returns or raises")

    async def _wanted(
        self,
        kind: ResourceKind,
        key: ObjectKey,
        current: Manifest,
        wanted: Manifest,
        subresource: str,
        dry_run: bool,
    ) -> Manifest:
        """What the request may change of `wanted`, completed and mutated by admission."""
        wanted = _within(kind, current, wanted, subresource)
        if kind.kind == "Service" and subresource != "status":
            wanted = await self._with_addresses(wanted, current)
        request = _request(kind, key, current, wanted, subresource, dry_run)
        return await self._mutated(request, key.namespace, key.name)

    def _owned(self, kind: ResourceKind, wanted: Manifest, manager: Manager) -> Manifest:
        """A new object with its first manager."""
        shape, now = shape_of(kind), rfc3339(self._now())
        if manager.operation == "Update":
            return on_update({}, wanted, shape, manager, scope="", now=now)
        owned = apply_configuration({}, _part(kind, wanted, ""), shape, manager, force=False, now=now)
        return with_managers(wanted, managers_of(owned))

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
        """Raises InvalidResource with every cause; what is allowed and does nothing is a warning."""
        resource = kind.model.parse(wanted)
        before = None if current is None else kind.model.parse(current)
        causes = [cause for check in self._checks for cause in check(resource, before)]
        if causes:
            raise InvalidResource(kind.kind, name_of(wanted), causes)
        for text in (*command_advice.advice(resource, before), *injection_advice.advice(resource, before)):
            add_warning(text)

    async def _with_addresses(self, service: Manifest, current: Manifest | None = None) -> Manifest:
        """With its addresses and node ports given out, those it has kept, and those it asks for checked."""
        if current is not None:
            service = carried_over(service, current)
            if claims(service) == claims(current):
                return service
        services = (await self._store.list("Service")).items
        try:
            return self._services.complete(
                service, (one for one in services if key_of(one) != key_of(service))
            )
        except ServiceRefused as exc:
            raise InvalidResource("Service", name_of(service), [exc.cause]) from exc

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
    for field in _LEFT_OUT_WHEN_EMPTY:
        if meta.get(field) in ({}, []):
            del meta[field]
    return result


def _prepared(kind: ResourceKind, wanted: Manifest) -> Manifest:
    """With the status every new object of its kind has, whatever the client sent."""
    if not kind.has_status:
        return wanted
    result = {field: value for field, value in wanted.items() if field != "status"}
    if kind.kind in _INITIAL_STATUS:
        result["status"] = _INITIAL_STATUS[kind.kind]
    return result


def _request(
    kind: ResourceKind, key: ObjectKey, current: Manifest, wanted: Manifest, subresource: str, dry_run: bool
) -> AdmissionRequest:
    return AdmissionRequest(
        "UPDATE", kind, key.namespace, key.name, wanted, current, subresource, dry_run=dry_run
    )


def _within(kind: ResourceKind, current: Manifest, wanted: Manifest, subresource: str) -> Manifest:
    """`wanted` as far as the path may change it: `status` or everything else."""
    if subresource == "status":
        managers = metadata(wanted).get("managedFields")
        result = with_metadata(current, **({"managedFields": managers} if managers else {}))
        result.pop("status", None)
        return {**result, "status": wanted["status"]} if "status" in wanted else result
    if not kind.has_status:
        return wanted
    result = {field: value for field, value in wanted.items() if field != "status"}
    return {**result, "status": current["status"]} if "status" in current else result


def _part(kind: ResourceKind, configuration: Manifest, subresource: str) -> Manifest:
    """What of an applied configuration its path applies."""
    if subresource == "status":
        kept = ("apiVersion", "kind", "metadata", "status")
        result = {field: value for field, value in configuration.items() if field in kept}
        names = ("name", "namespace", "resourceVersion", "uid", "managedFields")
        meta = {name: value for name, value in metadata(result).items() if name in names}
        return {**result, "metadata": meta}
    if not kind.has_status:
        return configuration
    return {field: value for field, value in configuration.items() if field != "status"}


def _keeping_managers(wanted: Manifest, current: Manifest) -> Manifest:
    """A client that leaves `managedFields` out means no change of them."""
    known = metadata(current).get("managedFields")
    if metadata(wanted).get("managedFields") or known is None:
        return wanted
    return with_metadata(wanted, managedFields=known)


def _with_managers_of(wanted: Manifest, current: Manifest) -> Manifest:
    return with_metadata(wanted, managedFields=metadata(current).get("managedFields", []))


def _updating(kind: ResourceKind, write: Write, subresource: str = "") -> Manager:
    return Manager("Update", write.manager, kind.api_version, subresource)


def _applying(kind: ResourceKind, write: Write, subresource: str = "") -> Manager:
    return Manager("Apply", write.manager, kind.api_version, subresource)


def _preview(current: Manifest, wanted: Manifest) -> Manifest:
    """What a write would store, at the current version."""
    return bookkeeping.replaced(current, wanted, version=int(resource_version_of(current))) or current
