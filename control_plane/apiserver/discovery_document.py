"""The documents by which clients such as kubectl learn what is served (pure)."""

from collections.abc import Sequence

from control_plane.resources.manifest import Manifest
from control_plane.resources.registry import KINDS, ResourceKind

_VERBS = ["create", "delete", "get", "list", "patch", "update", "watch"]
_STATUS_VERBS = ["get", "patch", "update"]


def core_versions() -> Manifest:
    """`/api`."""
    return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []}


def group_list() -> Manifest:
    """`/apis`."""
    names = sorted({entry.group for entry in KINDS if entry.group})
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": [group(name) for name in names]}


def group(name: str) -> Manifest:
    """`/apis/<group>`. The group must be one of `KINDS`."""
    entries = [entry for kind in KINDS if kind.group == name for entry in kind.in_every_version()]
    api_versions = sorted({entry.api_version for entry in entries})
    preferred = next(entry.api_version for entry in entries)
    versions = [{"groupVersion": value, "version": value.rpartition("/")[2]} for value in api_versions]
    return {
        "kind": "APIGroup",
        "apiVersion": "v1",
        "name": name,
        "versions": versions,
        "preferredVersion": {"groupVersion": preferred, "version": preferred.rpartition("/")[2]},
    }


def resource_list(api_version: str) -> Manifest:
    """`/api/v1` and `/apis/<group>/<version>`."""
    resources: list[Manifest] = []
    for entry in (entry for kind in KINDS for entry in kind.in_every_version()):
        if entry.api_version == api_version:
            resources += _resources(entry)
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": api_version,
        "resources": resources,
    }


def _resources(entry: ResourceKind) -> Sequence[Manifest]:
    common: Manifest = {"namespaced": entry.namespaced, "kind": entry.kind}
    names: Manifest = {"name": entry.plural, "singularName": entry.singular}
    extras: Manifest = {"shortNames": [*entry.short_names], "categories": [*entry.categories]}
    found = [{**names, **common, "verbs": _VERBS, **{k: v for k, v in extras.items() if v}}]
    if entry.has_status:
        found.append({"name": f"{entry.plural}/status", "singularName": "", **common, "verbs": _STATUS_VERBS})
    if entry.kind == "ServiceAccount":
        token: Manifest = {"name": f"{entry.plural}/token", "singularName": "", "namespaced": True}
        kind: Manifest = {"group": "authentication.k8s.io", "version": "v1", "kind": "TokenRequest"}
        found.append({**token, **kind, "verbs": ["create"]})
    if entry.kind == "Pod":
        found.append(_posted(f"{entry.plural}/binding", "", "v1", "Binding"))
        found.append(_posted(f"{entry.plural}/eviction", "policy", "v1", "Eviction"))
    return found


def _posted(name: str, group: str, version: str, kind: str) -> Manifest:
    """A subresource that is only created; the core group is left out, as in Kubernetes."""
    of_kind = {"group": group, "version": version} if group else {}
    return {
        "name": name,
        "singularName": "",
        "namespaced": True,
        **of_kind,
        "kind": kind,
        "verbs": ["create"],
    }
