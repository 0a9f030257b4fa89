"""What each role may do (pure), as rules in the words of Kubernetes' RBAC.

The roles are those a cluster has as `cluster-admin`, `edit` and `view`: an editor changes what lies in
namespaces but not the cluster's own objects, nor statuses, which belong to controllers; a viewer reads
everything but Secrets.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from http import HTTPStatus

from control_plane.apiserver.failure import Failure
from control_plane.apiserver.identity import Role, User
from control_plane.apiserver.request_attributes import Attributes
from control_plane.resources.manifest import Manifest
from control_plane.resources.registry import KINDS, ResourceKind

_ALL = ("*",)
_READ = ("get", "list", "watch")
_WRITE = ("create", "delete", "deletecollection", "patch", "update")
_SECRET = frozenset({"Secret"})
_OF_CONTROLLERS = frozenset({"Event", "EndpointSlice"})
"""Kinds that only controllers write."""
_SCALED = frozenset({"Deployment", "ReplicaSet"})


@dataclass(frozen=True, slots=True)
class Rule:
    """Verbs on resources of groups; or, with `paths`, on paths that are no resources."""

    verbs: tuple[str, ...]
    groups: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    """Plurals, `pods/log`, or `*`."""
    paths: tuple[str, ...] = ()
    """A final `*` stands for everything below."""

    def allows(self, wanted: Attributes) -> bool:
        """Whether it covers the request."""
        if not _covers(self.verbs, wanted.verb):
            return False
        if wanted.path:
            return any(_path_fits(path, wanted.path) for path in self.paths)
        return _covers(self.groups, wanted.group) and _covers(self.resources, wanted.full_resource)

    def manifest(self) -> Manifest:
        """As `SelfSubjectRulesReview` tells it."""
        if self.paths:
            return {"verbs": list(self.verbs), "nonResourceURLs": list(self.paths)}
        groups, resources = list(self.groups), list(self.resources)
        return {"verbs": list(self.verbs), "apiGroups": groups, "resources": resources}


def _covers(allowed: Collection[str], wanted: str) -> bool:
    return wanted in allowed or "*" in allowed


def _path_fits(pattern: str, path: str) -> bool:
    if pattern.endswith("*"):
        return path.startswith(pattern[:-1])
    return path == pattern


EVERYBODY = (
    Rule(
        ("get",),
        paths=(
            *("/api", "/api/*", "/apis", "/apis/*", "/openapi", "/openapi/*", "/version", "/version/"),
            *("/healthz", "/livez", "/readyz", "/debug/syncz"),
        ),
    ),
    Rule(("create",), ("authentication.k8s.io",), ("selfsubjectreviews",)),
    Rule(("create",), ("authorization.k8s.io",), ("selfsubjectaccessreviews", "selfsubjectrulesreviews")),
)
"""What every known user may do."""


def is_for_everybody(wanted: Attributes) -> bool:
    """Whether the answer is the same whoever of the known users asks: that of a path that is no resource."""
    return bool(wanted.path) and any(rule.allows(wanted) for rule in EVERYBODY)


@cache
def rules_of(role: Role) -> tuple[Rule, ...]:
    """All of them."""
    match role:
        case Role.ADMIN:
            return (Rule(_ALL, _ALL, _ALL), Rule(_ALL, paths=_ALL), *EVERYBODY)
        case Role.EDITOR:
            return (*_editing(), *_reading(KINDS), *EVERYBODY)
        case Role.VIEWER:
            return (*_reading(kind for kind in KINDS if kind.kind not in _SECRET), *EVERYBODY)


def _editing() -> Iterable[Rule]:
    edited = [kind for kind in KINDS if kind.namespaced and kind.kind not in _OF_CONTROLLERS]
    for group, kinds in _by_group(edited).items():
        names = [kind.plural for kind in kinds]
        names += [f"{kind.plural}/scale" for kind in kinds if kind.kind in _SCALED]
        yield Rule(_WRITE, (group,), tuple(names))
    connected = ("pods/attach", "pods/eviction", "pods/exec", "pods/portforward", "serviceaccounts/token")
    yield Rule(("create",), ("",), connected)


def _reading(kinds: Iterable[ResourceKind]) -> Iterable[Rule]:
    for group, found in _by_group(kinds).items():
        names = [kind.plural for kind in found]
        names += [f"{kind.plural}/status" for kind in found if kind.has_status]
        names += [f"{kind.plural}/scale" for kind in found if kind.kind in _SCALED]
        names += ["pods/log"] if group == "" else []
        yield Rule(_READ, (group,), tuple(names))


def _by_group(kinds: Iterable[ResourceKind]) -> Mapping[str, list[ResourceKind]]:
    result: dict[str, list[ResourceKind]] = {}
    for kind in kinds:
        result.setdefault(kind.group, []).append(kind)
    return result


def is_allowed(role: Role, wanted: Attributes) -> bool:
    """Whether one of the role's rules covers it."""
    return any(rule.allows(wanted) for rule in rules_of(role))


def check(user: User, wanted: Attributes) -> None:
    """Raises Failure (403), which names who may not do what where."""
    if is_allowed(user.role, wanted):
        return
    if wanted.path:
        message = f'forbidden: User "{user.name}" cannot {wanted.verb} path "{wanted.path}"'
        raise Failure(HTTPStatus.FORBIDDEN, message, details={})
    place = f'in the namespace "{wanted.namespace}"' if wanted.namespace else "at the cluster scope"
    what = f'resource "{wanted.full_resource}" in API group "{wanted.group}" {place}'
    qualified = f"{wanted.resource}.{wanted.group}" if wanted.group else wanted.resource
    subject = f'{qualified} "{wanted.name}"' if wanted.name else qualified
    message = f'{subject} is forbidden: User "{user.name}" cannot {wanted.verb} {what}'
    details: Manifest = {"group": wanted.group, "kind": wanted.resource, "name": wanted.name}
    told = {field: value for field, value in details.items() if value}
    raise Failure(HTTPStatus.FORBIDDEN, message, details=told)
