"""The documents by which clients such as kubectl learn what is served (pure)."""

from collections.abc import Sequence

from control_plane.apiserver.review import AUTHENTICATION, AUTHORIZATION
from control_plane.apiserver.scale import SCALED_KINDS
from control_plane.resources.manifest import Manifest, objects
from control_plane.resources.registry import KINDS, ResourceKind

_VERBS = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]
_STATUS_VERBS = ["get", "patch", "update"]
_REVIEWS = {
    AUTHENTICATION: [("selfsubjectreviews", "SelfSubjectReview"), ("tokenreviews", "TokenReview")],
    AUTHORIZATION: [
        ("selfsubjectaccessreviews", "SelfSubjectAccessReview"),
        ("selfsubjectrulesreviews", "SelfSubjectRulesReview"),
    ],
}
"""What is only created, and never stored."""


def core_versions() -> Manifest:
    """`/api`."""
    return {"kind": "APIVersions", "apiVersion": "v1", "versions": ["v1"], "serverAddressByClientCIDRs": []}


def api_versions() -> list[str]:
    """`v1`, `apps/v1` …: each that has a resource, in the order of the registry; reviews last."""
    served = [entry.api_version for kind in KINDS for entry in kind.in_every_version()]
    return [*dict.fromkeys((*served, *_REVIEWS))]


def group_list() -> Manifest:
    """`/apis`."""
    names = sorted({version.rpartition("/")[0] for version in api_versions()} - {""})
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": [group(name) for name in names]}


def group(name: str) -> Manifest:
    """`/apis/<group>`. The group must be one that is served."""
    served = _versions_of(name)
    versions = [{"groupVersion": value, "version": value.rpartition("/")[2]} for value in sorted(served)]
    preferred = served[0]
    return {
        "kind": "APIGroup",
        "apiVersion": "v1",
        "name": name,
        "versions": versions,
        "preferredVersion": {"groupVersion": preferred, "version": preferred.rpartition("/")[2]},
    }


def _versions_of(group_name: str) -> list[str]:
    """The one that is preferred first."""
    return [version for version in api_versions() if version.rpartition("/")[0] == group_name]


def resource_list(api_version: str) -> Manifest:
    """`/api/v1` and `/apis/<group>/<version>`."""
    resources: list[Manifest] = []
    for entry in (entry for kind in KINDS for entry in kind.in_every_version()):
        if entry.api_version == api_version:
            resources += _resources(entry)
    resources += [_review(*one) for one in _REVIEWS.get(api_version, ())]
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": api_version,
        "resources": resources,
    }


def aggregated(groups: Sequence[str], api_version: str) -> Manifest:
    """Everything of some groups in one document, as `APIGroupDiscoveryList`."""
    items = [_aggregated_group(name) for name in groups]
    return {"kind": "APIGroupDiscoveryList", "apiVersion": api_version, "metadata": {}, "items": items}


def _aggregated_group(name: str) -> Manifest:
    found = _versions_of(name)
    ordered = [found[0], *sorted(found[1:])]
    versions = [
        {
            "version": value.rpartition("/")[2],
            "resources": _aggregated_resources(value),
            "freshness": "Current",
        }
        for value in ordered
    ]
    return {"metadata": {"name": name} if name else {}, "versions": versions}


def _aggregated_resources(api_version: str) -> list[Manifest]:
    result: dict[str, Manifest] = {}
    listed: list[Manifest] = objects(resource_list(api_version), "resources")
    for one in listed:
        name, _, subresource = str(one["name"]).partition("/")
        told = {"responseKind": _response_kind(one, api_version), "verbs": one["verbs"]}
        if subresource:
            owner = result.setdefault(name, {"resource": name})
            subresources = objects(owner, "subresources")
            owner["subresources"] = [*subresources, {"subresource": subresource, **told}]
            continue
        result[name] = {
            "resource": name,
            "scope": "Namespaced" if one["namespaced"] else "Cluster",
            "singularResource": one["singularName"],
            **told,
            **{field: one[field] for field in ("shortNames", "categories") if field in one},
        }
    return [*result.values()]


def _response_kind(resource: Manifest, api_version: str) -> Manifest:
    own_group, _, own_version = api_version.rpartition("/")
    group_name = resource.get("group", own_group)
    return {"group": group_name, "version": resource.get("version", own_version), "kind": resource["kind"]}


def _review(plural: str, kind: str) -> Manifest:
    names: Manifest = {"name": plural, "singularName": kind.lower(), "namespaced": False}
    return {**names, "kind": kind, "verbs": ["create"]}


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
    if entry.kind in SCALED_KINDS:
        scale: Manifest = {"name": f"{entry.plural}/scale", "singularName": "", "namespaced": True}
        of_scale: Manifest = {"group": "autoscaling", "version": "v1", "kind": "Scale"}
        found.append({**scale, **of_scale, "verbs": _STATUS_VERBS})
    if entry.kind == "Pod":
        found.append(_posted(f"{entry.plural}/binding", "", "v1", "Binding"))
        found.append(_posted(f"{entry.plural}/eviction", "policy", "v1", "Eviction"))
        connected: Manifest = {"singularName": "", "namespaced": True}
        exec_kind: Manifest = {"kind": "PodExecOptions", "verbs": ["create", "get"]}
        found.append({"name": f"{entry.plural}/exec", **connected, **exec_kind})
        found.append({"name": f"{entry.plural}/log", **connected, "kind": "Pod", "verbs": ["get"]})
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
