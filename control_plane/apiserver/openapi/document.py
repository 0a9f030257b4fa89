"""`/openapi/v3`: one document for each group and version, and the index of them (pure).

The paths name the operations kubectl looks for: what can be patched how, and which of `dryRun` and
`fieldValidation` may be sent.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from functools import cache

from control_plane.apiserver.openapi.schema import Components, group_version_kind, reference
from control_plane.resources.manifest import Manifest
from control_plane.resources.registry import KINDS, ResourceKind

INDEX_PATH = "/openapi/v3"
_JSON = "application/json"
_PATCHES = (
    "application/apply-patch+yaml",
    "application/json-patch+json",
    "application/merge-patch+json",
)
_STRATEGIC = "application/strategic-merge-patch+json"
_WRITE_QUERY = ("dryRun", "fieldManager", "fieldValidation")
_LIST_QUERY = (
    *("allowWatchBookmarks", "continue", "fieldSelector", "labelSelector", "limit", "resourceVersion"),
    *("resourceVersionMatch", "sendInitialEvents", "timeoutSeconds", "watch"),
)
_DELETE_QUERY = ("dryRun", "gracePeriodSeconds", "orphanDependents", "propagationPolicy")
_FLAGS = frozenset({"allowWatchBookmarks", "sendInitialEvents", "watch", "orphanDependents", "force"})
_NUMBERS = frozenset({"limit", "timeoutSeconds", "gracePeriodSeconds"})


@cache
def documents() -> Mapping[str, bytes]:
    """By path below the index, e.g. `apis/apps/v1`: the document as JSON."""
    entries = [entry for kind in KINDS for entry in kind.in_every_version()]
    result = {}
    for api_version in dict.fromkeys(entry.api_version for entry in entries):
        found = [entry for entry in entries if entry.api_version == api_version]
        root = "apis" if found[0].group else "api"
        result[f"{root}/{api_version}"] = json.dumps(_document(found), separators=(",", ":")).encode()
    return result


def index() -> Manifest:
    """`/openapi/v3`. The hash in an address changes with the document, so that clients may keep it."""
    paths = {
        path: {"serverRelativeURL": f"{INDEX_PATH}/{path}?hash={digest(path)}"}
        for path in sorted(documents())
    }
    return {"paths": paths}


@cache
def digest(path: str) -> str:
    """Of the document at `path`, as in its address."""
    return hashlib.sha256(documents()[path]).hexdigest().upper()


def is_built_in(entry: ResourceKind) -> bool:
    """Whether real Kubernetes has the kind in its own code, so that strategic merge patches work; those that
    come as custom resources have only the other patches."""
    is_own = "." not in entry.group or entry.group.endswith(".k8s.io")
    return is_own and entry.group != "gateway.networking.k8s.io"


def _document(entries: Sequence[ResourceKind]) -> Manifest:
    components = Components()
    paths: Manifest = {}
    for entry in entries:
        name = components.add_kind(entry)
        paths.update(_paths(entry, name))
    return {
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": "unversioned"},
        "paths": paths,
        "components": {"schemas": components.schemas},
    }


def _paths(entry: ResourceKind, name: str) -> Manifest:
    namespace = "{namespace}" if entry.namespaced else ""
    one, many = reference(name), reference(f"{name}List")
    within = _path_parameters(entry, with_name=False)
    collection: Manifest = {
        "parameters": within,
        "get": _operation(entry, "list", many, _LIST_QUERY),
        "post": _operation(entry, "post", one, _WRITE_QUERY, body={_JSON: one}),
        "delete": _operation(entry, "deletecollection", {}, (*_DELETE_QUERY, *_LIST_QUERY)),
    }
    result: Manifest = {
        entry.path(namespace): collection,
        entry.path(namespace, "{name}"): {
            **_readable_and_writable(entry, one),
            "delete": _operation(entry, "delete", {}, _DELETE_QUERY),
        },
    }
    if entry.namespaced:
        result[entry.path()] = {"get": _operation(entry, "list", many, _LIST_QUERY)}
    if entry.has_status:
        result[entry.path(namespace, "{name}", "status")] = _readable_and_writable(entry, one)
    return result


def _readable_and_writable(entry: ResourceKind, schema: Manifest) -> Manifest:
    patches = (*_PATCHES, _STRATEGIC) if is_built_in(entry) else _PATCHES
    body: Manifest = {media_type: {"type": "object"} for media_type in patches}
    return {
        "parameters": _path_parameters(entry, with_name=True),
        "get": _operation(entry, "get", schema, ()),
        "put": _operation(entry, "put", schema, _WRITE_QUERY, body={_JSON: schema}),
        "patch": _operation(entry, "patch", schema, (*_WRITE_QUERY, "force"), body=body),
    }


def _operation(
    entry: ResourceKind,
    action: str,
    answer: Manifest,
    query: Iterable[str],
    body: Manifest | None = None,
) -> Manifest:
    content: Manifest = {_JSON: {"schema": answer or {"type": "object"}}}
    result: Manifest = {
        "tags": [f"{entry.group.partition('.')[0] or 'core'}_{entry.version}"],
        "operationId": f"{action}{entry.group.title().replace('.', '')}{entry.version.title()}{entry.kind}",
        "parameters": [_query_parameter(name) for name in query],
        "responses": {"200": {"description": "OK", "content": content}},
        "x-kubernetes-action": action,
        "x-kubernetes-group-version-kind": group_version_kind(entry),
    }
    if body is not None:
        accepted = {media_type: {"schema": schema} for media_type, schema in body.items()}
        result["requestBody"] = {"required": True, "content": accepted}
    return result


def _query_parameter(name: str) -> Manifest:
    kind = "boolean" if name in _FLAGS else "integer" if name in _NUMBERS else "string"
    return {"name": name, "in": "query", "schema": {"type": kind, "uniqueItems": True}}


def _path_parameters(entry: ResourceKind, *, with_name: bool) -> list[Manifest]:
    names = [*(["namespace"] if entry.namespaced else []), *(["name"] if with_name else [])]
    schema: Manifest = {"type": "string", "uniqueItems": True}
    return [{"name": name, "in": "path", "required": True, "schema": schema} for name in names]
