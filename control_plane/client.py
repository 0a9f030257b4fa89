"""A client of the Kubernetes-shaped REST API: verbs, watch, and an informer that survives server restarts.

Objects travel as plain dicts (`Manifest`); kind, apiVersion, name and namespace are read from the object
itself. Used by the lab, the injector, the controllers and `meshctl`; also works against a real Kubernetes API
server for the kinds in `resources/registry.py`. It never retries a request by itself, except where a method
says so.
"""

import json
import os
import random
import ssl
from asyncio import sleep
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal, NamedTuple, NoReturn, Self, TypeAlias

import httpx

from control_plane.client_error import ApiError as ApiError
from control_plane.client_error import Conflict as Conflict
from control_plane.client_error import Gone as Gone
from control_plane.client_error import Invalid as Invalid
from control_plane.client_error import NotFound as NotFound
from control_plane.client_error import Unauthorized as Unauthorized
from control_plane.client_error import error_of, is_worth_retrying
from control_plane.client_event import BOOKMARK as BOOKMARK
from control_plane.client_event import WatchEvent as WatchEvent
from control_plane.client_event import differences, watch_event
from control_plane.kubeconfig import Kubeconfig, KubeconfigError, read_kubeconfig
from control_plane.resources.manifest import (
    Manifest,
    ObjectKey,
    key_of,
    kind_of,
    name_of,
    namespace_of,
    resource_version_of,
    section,
    with_metadata,
)
from control_plane.resources.registry import BY_KIND, ResourceKind

REQUEST_TIMEOUT = 15.0
"""Seconds for one request that is not a watch."""
WATCH_LIFETIME = 300
"""Seconds after which the server is asked to end a watch, so that a dead connection cannot go unnoticed for
ever.
"""
APPLY_ATTEMPTS = 5
"""Tries of `apply` when others change the object at the same time."""
_MAX_CONNECTIONS = 256
PatchType: TypeAlias = Literal["merge", "json", "strategic"]
_PATCH_TYPES: Mapping[PatchType, str] = {
    "merge": "application/merge-patch+json",
    "json": "application/json-patch+json",
    "strategic": "application/strategic-merge-patch+json",
}
_APPLY = "application/apply-patch+yaml"
"""JSON is a part of YAML."""


class ObjectList(NamedTuple):
    """A listing and the version from which a watch continues it."""

    items: list[Manifest]
    resource_version: str


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """A token of a service account."""

    token: str
    expires_at: str
    """RFC 3339, UTC."""


@dataclass(frozen=True, slots=True)
class ReconnectSettings:
    """Full-jitter exponential backoff of the informer, in seconds."""

    base: float = 0.05
    cap: float = 5.0

    def delay(self, failures: int, rng: random.Random) -> float:
        """Wait before the next try after `failures` failures in a row (at least 1)."""
        # The exponent is capped, so that a server that is away for days cannot overflow the float.
        return rng.uniform(0.0, min(self.cap, self.base * 2.0 ** min(failures - 1, 32)))


EventHandler = Callable[[WatchEvent], Awaitable[None] | None]


class ApiClient:
    """One server. `async with` closes its connections."""

    def __init__(
        self,
        config: Kubeconfig,
        *,
        name: str = "meshproxy",
        reconnect: ReconnectSettings | None = None,
        rng: random.Random | None = None,
    ) -> None:
        """`name`: the program's, which servers note as the manager of the fields it sets."""
        self.server = config.server
        """Its URL."""
        self._reconnect = reconnect or ReconnectSettings()
        self._rng = rng or random.Random()
        self._http = httpx.AsyncClient(
            base_url=config.server,
            verify=_tls_context(config),
            auth=_Login(config),
            headers={"User-Agent": name},
            timeout=REQUEST_TIMEOUT,
            limits=httpx.Limits(max_connections=_MAX_CONNECTIONS, max_keepalive_connections=16),
            trust_env=False,  # a proxy variable meant for the internet must not catch the cluster's own API
        )

    @classmethod
    def from_kubeconfig(cls, path: Path | str, *, name: str = "meshproxy") -> Self:
        """The client of a kubeconfig's current context. Raises KubeconfigError."""
        return cls(read_kubeconfig(Path(path)), name=name)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections; watches that are open end with an error."""
        await self._http.aclose()

    async def get(self, kind: str, name: str, namespace: str = "") -> Manifest:
        """Raises NotFound."""
        return await self._call("GET", _entry(kind).path(namespace, name))

    async def list(self, kind: str, namespace: str = "", label_selector: str = "") -> ObjectList:
        """All objects of a kind, or those of one namespace; `label_selector` such as `app=web,tier!=db`."""
        params = {"labelSelector": label_selector} if label_selector else {}
        entry = _entry(kind)
        answer = await self._call("GET", entry.path(namespace), params=params)
        items = [_typed(item, entry) for item in _objects(answer.get("items"))]
        return ObjectList(items, resource_version_of(answer))

    async def read(self, path: str) -> Manifest:
        """The JSON object at any other path of the server, such as `/debug/syncz`."""
        return await self._call("GET", path)

    async def post(self, path: str, body: Manifest) -> Manifest:
        """What the server answers to a review, such as TokenReview, which is not an object that stays."""
        return await self._call("POST", path, body=body)

    async def create(self, manifest: Manifest, *, dry_run: bool = False) -> Manifest:
        """Raises Conflict when it exists, NotFound for a missing namespace, Invalid."""
        path = _entry(kind_of(manifest)).path(namespace_of(manifest))
        return await self._call("POST", path, body=manifest, params=_dry(dry_run))

    async def update(self, manifest: Manifest, *, dry_run: bool = False) -> Manifest:
        """Replace the object; `status` stays. With `metadata.resourceVersion` set, Conflict when it has
        changed.
        """
        return await self._call("PUT", _path_of(manifest), body=manifest, params=_dry(dry_run))

    async def update_status(self, manifest: Manifest) -> Manifest:
        """Replace `status` only."""
        return await self._call("PUT", _path_of(manifest, "status"), body=manifest)

    async def finalize(self, namespace: Manifest) -> Manifest:
        """Replace `spec.finalizers` of a Namespace that is being deleted. Raises NotFound."""
        return await self._call("PUT", _path_of(namespace, "finalize"), body=namespace)

    async def patch(
        self,
        kind: str,
        name: str,
        namespace: str,
        patch: Mapping[str, object] | Sequence[Mapping[str, object]],
        subresource: str = "",
        *,
        how: PatchType = "merge",
    ) -> Manifest:
        """Change the object or its subresource: `merge` (RFC 7396: null removes a field), `json` (RFC 6902: a
        list of operations) or, for Kubernetes' own kinds, `strategic`.
        """
        path = _entry(kind).path(namespace, name, subresource)
        return await self._call("PATCH", path, body=patch, content_type=_PATCH_TYPES[how])

    async def server_side_apply(
        self, manifest: Manifest, *, manager: str, force: bool = False, subresource: str = ""
    ) -> Manifest:
        """Own exactly the fields of `manifest`, which is made when it is not there.

        Raises Conflict naming the fields that others own and set otherwise, unless `force` takes them.
        """
        params = {"fieldManager": manager, **({"force": "true"} if force else {})}
        path = _path_of(manifest, subresource)
        return await self._call("PATCH", path, body=manifest, params=params, content_type=_APPLY)

    async def apply(self, manifest: Manifest, *, dry_run: bool = False) -> Manifest:
        """Create the object, or replace the one that is there; tries again when others interfere."""
        for attempt in range(APPLY_ATTEMPTS):
            try:
                return await self._apply_once(manifest, dry_run)
            except Conflict:
                if attempt == APPLY_ATTEMPTS - 1:
                    raise
                await sleep(self._reconnect.delay(attempt + 1, self._rng))
        raise AssertionError("unreachable: the last attempt returns or raises")

    async def _apply_once(self, manifest: Manifest, dry_run: bool) -> Manifest:
        try:
            current = await self.get(kind_of(manifest), name_of(manifest), namespace_of(manifest))
        except NotFound:
            return await self.create(manifest, dry_run=dry_run)
        version = resource_version_of(current)
        return await self.update(with_metadata(manifest, resourceVersion=version), dry_run=dry_run)

    async def delete(
        self,
        kind: str,
        name: str,
        namespace: str = "",
        *,
        uid: str = "",
        grace_period: int | None = None,
        propagation: str = "",
    ) -> Manifest:
        """The answer: the object while it only began to go (it has a `deletionTimestamp`), else a `Status`.

        Raises NotFound; with `uid`, Conflict when another object has taken the name.

        `grace_period` in seconds; None leaves it to the object, 0 removes it at once. `propagation` is
        `Background`, `Foreground` or `Orphan`.
        """
        options: Manifest = {"apiVersion": "v1", "kind": "DeleteOptions"}
        if uid:
            options["preconditions"] = {"uid": uid}
        if grace_period is not None:
            options["gracePeriodSeconds"] = grace_period
        if propagation:
            options["propagationPolicy"] = propagation
        return await self._call("DELETE", _entry(kind).path(namespace, name), body=options)

    async def bind(
        self, name: str, namespace: str, node: str, *, uid: str = "", resource_version: str = ""
    ) -> None:
        """Assign a Pod to a node. Raises Conflict when it has one, is being deleted or is another version."""
        conditions = {"uid": uid, "resourceVersion": resource_version}
        given = {field: value for field, value in conditions.items() if value}
        body: Manifest = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": name, "namespace": namespace, **given},
            "target": {"apiVersion": "v1", "kind": "Node", "name": node},
        }
        await self._call("POST", BY_KIND["Pod"].path(namespace, name, "binding"), body=body)

    async def evict(self, name: str, namespace: str, *, grace: int | None = None) -> None:
        """Delete a Pod as `kubectl drain` does. Raises NotFound."""
        body: Manifest = {
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": name, "namespace": namespace},
            **({} if grace is None else {"deleteOptions": {"gracePeriodSeconds": grace}}),
        }
        await self._call("POST", BY_KIND["Pod"].path(namespace, name, "eviction"), body=body)

    async def create_token(
        self,
        namespace: str,
        service_account: str,
        *,
        audiences: Sequence[str],
        pod_name: str,
        pod_uid: str,
        expiration_seconds: int = 600,
    ) -> IssuedToken:
        """A token bound to the Pod (TokenRequest). Raises NotFound, Invalid, Conflict for another uid."""
        bound = {"kind": "Pod", "apiVersion": "v1", "name": pod_name, "uid": pod_uid}
        body: Manifest = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {
                "audiences": [*audiences],
                "expirationSeconds": expiration_seconds,
                "boundObjectRef": bound,
            },
        }
        path = BY_KIND["ServiceAccount"].path(namespace, service_account, "token")
        status = section(await self._call("POST", path, body=body), "status")
        return IssuedToken(str(status["token"]), str(status["expirationTimestamp"]))

    async def watch(
        self, kind: str, namespace: str = "", *, resource_version: str, label_selector: str = ""
    ) -> AsyncGenerator[WatchEvent, None]:
        """Changes after `resource_version`, until the server ends the watch. Raises Gone,
        httpx.TransportError.

        A `BOOKMARK` only tells a version to continue from: without them a quiet kind's would grow too old.

        Close it with `aclose()` (or `contextlib.aclosing`) when you stop early.
        """
        params = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": resource_version,
            "timeoutSeconds": str(WATCH_LIFETIME),
        }
        if label_selector:
            params["labelSelector"] = label_selector
        timeout = httpx.Timeout(REQUEST_TIMEOUT, read=WATCH_LIFETIME + REQUEST_TIMEOUT)
        path = _entry(kind).path(namespace)
        async with self._http.stream("GET", path, params=params, timeout=timeout) as response:
            if response.status_code >= httpx.codes.BAD_REQUEST:
                await response.aread()
                raise error_of(response.status_code, response.content)
            async for line in response.aiter_lines():
                yield watch_event(json.loads(line))

    async def list_and_watch(
        self,
        kind: str,
        on_event: EventHandler,
        *,
        namespace: str = "",
        label_selector: str = "",
        on_synced: Callable[[], None] | None = None,
    ) -> NoReturn:
        """Tell `on_event` of everything there is and of every change, for ever (cancel it to stop).

        After a lost connection or a 410 it lists again and tells only the differences, a DELETED for each
        object that vanished included; `on_synced` is called after each listing has been told. Waits with
        backoff between failures. Raises ApiError when the server refuses the request itself (401, 404 …), and
        what `on_event` raises.
        """
        known: dict[ObjectKey, Manifest] = {}
        failures = 0
        while True:
            try:
                listing = await self.list(kind, namespace, label_selector)
                failures = 0
                for event in differences(known, listing.items):
                    await _tell(on_event, event, known)
                if on_synced is not None:
                    on_synced()
                version = listing.resource_version
                while True:
                    reached = await self._follow(kind, namespace, label_selector, version, on_event, known)
                    # A server that ends watches at once must not be asked in a tight loop.
                    if reached == version:
                        await sleep(self._reconnect.delay(1, self._rng))
                    version = reached
            except (httpx.TransportError, json.JSONDecodeError):
                failures += 1
            except ApiError as exc:
                if not is_worth_retrying(exc):
                    raise
                failures += 1
            await sleep(self._reconnect.delay(failures, self._rng))

    async def _follow(
        self,
        kind: str,
        namespace: str,
        label_selector: str,
        version: str,
        on_event: EventHandler,
        known: dict[ObjectKey, Manifest],
    ) -> str:
        """One watch to its ordinary end; returns the version to continue from."""
        events = self.watch(kind, namespace, resource_version=version, label_selector=label_selector)
        async with aclosing(events):  # whoever is cancelled in `on_event` leaves no connection behind
            async for event in events:
                version = resource_version_of(event.object)
                if event.type != BOOKMARK:
                    await _tell(on_event, event, known)
        return version

    async def _call(
        self,
        method: str,
        path: str,
        *,
        body: Mapping[str, object] | Sequence[Mapping[str, object]] | None = None,
        params: Mapping[str, str] | None = None,
        content_type: str = "application/json",
    ) -> Manifest:
        content = None if body is None else json.dumps(body).encode()
        headers = {} if body is None else {"Content-Type": content_type}
        response = await self._http.request(method, path, content=content, params=params, headers=headers)
        if response.status_code >= httpx.codes.BAD_REQUEST:
            raise error_of(response.status_code, response.content)
        answer = response.json()
        if not isinstance(answer, dict):
            raise ApiError(response.status_code, "UnexpectedAnswer", f"{method} {path}: not a JSON object")
        return answer


class _Login(httpx.Auth):
    """The token as it is at each request, because a cluster replaces those of pods; and whom we talk to."""

    def __init__(self, config: Kubeconfig) -> None:
        self._config = config

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        if token := self._config.current_token:
            request.headers["Authorization"] = f"Bearer {token}"
        if self._config.tls_server_name:
            request.extensions["sni_hostname"] = self._config.tls_server_name  # verified against it, too
        yield request


def _tls_context(config: Kubeconfig) -> ssl.SSLContext:
    """Raises KubeconfigError for certificates that cannot be used."""
    try:
        context = ssl.create_default_context(cadata=config.ca_pem or None)
        if config.client_certificate_pem:
            _present(context, f"{config.client_certificate_pem}\n{config.client_key_pem}")
    except ssl.SSLError as error:
        raise KubeconfigError(f"the certificates for {config.server} cannot be used: {error}") from error
    return context


def _present(context: ssl.SSLContext, chain_and_key: str) -> None:
    """Through a memfd: `ssl` reads keys only from files, and a key must not reach a disk."""
    descriptor = os.memfd_create("client-certificate", os.MFD_CLOEXEC)
    try:
        with os.fdopen(os.dup(descriptor), "wb") as file:
            file.write(chain_and_key.encode())
        context.load_cert_chain(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)


def _entry(kind: str) -> ResourceKind:
    entry = BY_KIND.get(kind)
    if entry is None:
        raise ValueError(f"unknown kind {kind!r}; known are {', '.join(sorted(BY_KIND))}")
    return entry


def _path_of(manifest: Manifest, subresource: str = "") -> str:
    return _entry(kind_of(manifest)).path(namespace_of(manifest), name_of(manifest), subresource)


def _dry(dry_run: bool) -> dict[str, str]:
    return {"dryRun": "All"} if dry_run else {}


def _objects(value: object) -> list[Manifest]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _typed(item: Manifest, entry: ResourceKind) -> Manifest:
    """Kubernetes leaves apiVersion and kind out of list items."""
    return {"apiVersion": entry.api_version, "kind": entry.kind, **item}


async def _tell(on_event: EventHandler, event: WatchEvent, known: dict[ObjectKey, Manifest]) -> None:
    key = key_of(event.object)
    if event.type == "DELETED":
        known.pop(key, None)
    else:
        known[key] = event.object
    waiting = on_event(event)
    if waiting is not None:
        await waiting
