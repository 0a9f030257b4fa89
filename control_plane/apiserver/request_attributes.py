"""What a request is about (pure): verb, resource and place, read from method and path as Kubernetes does."""

from collections.abc import Mapping
from dataclasses import dataclass

_VERBS = {
    "GET": "get",
    "HEAD": "get",
    "POST": "create",
    "PUT": "update",
    "PATCH": "patch",
    "DELETE": "delete",
}
_COLLECTION_VERBS = {"get": "list", "delete": "deletecollection"}
_NAME_SELECTOR = "metadata.name="
_CONNECTED = frozenset({"exec", "attach", "portforward"})
"""Subresources of Pods that a GET opens a connection to: who may do so must be allowed to create them."""


@dataclass(frozen=True, slots=True)
class Attributes:
    """Of a resource request, or of one for another path."""

    verb: str
    path: str = ""
    """Of requests that are about no resource; empty for others."""
    group: str = ""
    version: str = ""
    resource: str = ""
    """Plural."""
    subresource: str = ""
    namespace: str = ""
    name: str = ""

    @property
    def full_resource(self) -> str:
        """`pods/log`."""
        return f"{self.resource}/{self.subresource}" if self.subresource else self.resource


def attributes_of(method: str, path: str, query: Mapping[str, str]) -> Attributes:
    """Of a request line."""
    verb = _VERBS.get(method, method.lower())
    match path.strip("/").split("/"):
        case ["api", version, *rest] if rest:
            return _resource(verb, "", version, rest, query)
        case ["apis", group, version, *rest] if rest:
            return _resource(verb, group, version, rest, query)
        case _:
            return Attributes(method.lower() if verb != "get" else "get", path)


def _resource(verb: str, group: str, version: str, rest: list[str], query: Mapping[str, str]) -> Attributes:
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 1:
        namespace = rest[1]
        # `namespaces/shop` is about the Namespace itself, as are its own subresources.
        if len(rest) > 2 and rest[2] not in ("status", "finalize"):
            rest = rest[2:]
    resource, name, subresource = (*rest, "", "")[:3]
    if not name:
        verb = _COLLECTION_VERBS.get(verb, verb)
        if verb == "list" and query.get("watch", "").lower() in ("true", "1"):
            verb = "watch"
        if verb in ("list", "watch") and query.get("fieldSelector", "").startswith(_NAME_SELECTOR):
            name = query["fieldSelector"].removeprefix(_NAME_SELECTOR).partition(",")[0]
    if subresource in _CONNECTED:
        verb = "create"
    return Attributes(verb, "", group, version, resource, subresource, namespace, name)
