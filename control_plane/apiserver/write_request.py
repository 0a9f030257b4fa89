"""How a request writes: who, whether in earnest, and with what patch (pure)."""

import contextlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import TypeAlias

import yaml

from control_plane.apiserver.failure import Failure
from control_plane.apiserver.field_shape import shape_of
from control_plane.apiserver.json_patch import JsonPatchError, apply_patch
from control_plane.apiserver.managed_fields import LONGEST_NAME
from control_plane.apiserver.merge_patch import merge
from control_plane.apiserver.request_body import parse_object, parse_value
from control_plane.apiserver.strategic_merge import StrategicMergeError, strategic_merge
from control_plane.resources.manifest import Manifest
from control_plane.resources.registry import ResourceKind

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_MERGE_PATCH = "application/strategic-merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"
_UNKNOWN_MANAGER = "unknown"
_ERROR_IN_REQUEST = "the server rejected our request due to an error in our request"

Change: TypeAlias = Callable[[Manifest], Manifest]
"""From the current object to the wanted one."""


@dataclass(frozen=True, slots=True)
class Write:
    """What the query and the headers of a request say about its writing."""

    manager: str = _UNKNOWN_MANAGER
    """`fieldManager`, else the first word of `User-Agent`."""
    dry_run: bool = False
    force: bool = False
    """Of server-side apply: take fields from other managers."""


ANYBODY = Write()


def write_of(query: Mapping[str, str], user_agent: str) -> Write:
    """Raises Failure (400, 422)."""
    dry_run, manager = query.get("dryRun", ""), query.get("fieldManager", "")
    if dry_run not in ("", "All"):
        raise Failure(HTTPStatus.BAD_REQUEST, f"dryRun must be All, not {dry_run!r}")
    if len(manager) > LONGEST_NAME or not manager.isprintable():
        message = f"fieldManager: Invalid value: must be printable and at most {LONGEST_NAME} characters"
        raise Failure(HTTPStatus.UNPROCESSABLE_ENTITY, message)
    by_agent = user_agent.partition("/")[0][:LONGEST_NAME]
    force = query.get("force", "").lower() in ("1", "true", "t")
    return Write(manager or by_agent or _UNKNOWN_MANAGER, dry_run == "All", force)


def media_types(kind: ResourceKind) -> tuple[str, ...]:
    """The patches a kind takes: custom resources have no strategic merge."""
    strategic = (STRATEGIC_MERGE_PATCH,) if is_native(kind) else ()
    return (JSON_PATCH, MERGE_PATCH, *strategic, APPLY_PATCH)


def is_native(kind: ResourceKind) -> bool:
    """Whether it is one of Kubernetes' own kinds, not a custom resource."""
    is_ours_or_gateway = kind.group.startswith("gateway.") or kind.group.endswith("meshproxy.io")
    return not is_ours_or_gateway


def check_media_type(kind: ResourceKind, media_type: str) -> None:
    """Raises Failure (415) naming those that are accepted."""
    if media_type not in (known := media_types(kind)):
        message = (
            "the body of the request was in an unknown format - accepted media types include: "
            f"{', '.join(known)}"
        )
        raise Failure(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, message)


def patching(kind: ResourceKind, media_type: str, content: bytes) -> Change:
    """What a patch other than an apply does to an object. Raises Failure (400), the change also 422."""
    if media_type == JSON_PATCH:
        return _json_patching(content)
    patch = parse_object(content)
    if media_type == MERGE_PATCH:
        return lambda current: merge(current, patch)
    shape = shape_of(kind)

    def change(current: Manifest) -> Manifest:
        try:
            return strategic_merge(current, patch, shape)
        except StrategicMergeError as exc:
            raise Failure(HTTPStatus.BAD_REQUEST, str(exc)) from exc

    return change


def _json_patching(content: bytes) -> Change:
    operations = parse_value(content)
    if not isinstance(operations, list):
        raise Failure(HTTPStatus.BAD_REQUEST, "a JSON patch must be a list of operations")

    def change(current: Manifest) -> Manifest:
        try:
            patched = apply_patch(current, operations)
        except JsonPatchError as exc:
            raise Failure(HTTPStatus.UNPROCESSABLE_ENTITY, f"{_ERROR_IN_REQUEST}: {exc}") from exc
        if not isinstance(patched, dict):
            raise Failure(HTTPStatus.BAD_REQUEST, "a JSON patch must leave an object")
        return patched

    return change


_LONGEST_YAML = 128 * 1024
"""Bytes; reading it takes a second, in which nobody else is answered. Clients send JSON, as kubectl does."""


class _Loader(yaml.SafeLoader):
    """YAML as JSON: a date stays the text it is, and nothing stands for more than what is written."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases (*name) are not taken: write out what they stand for")
        return super().compose_node(parent, index)


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def applied_configuration(content: bytes) -> Manifest:
    """The body of an apply: YAML, of which JSON is a part. Raises Failure (400)."""
    with contextlib.suppress(ValueError, RecursionError):
        json.loads(content)
        return parse_object(content)
    if len(content) > _LONGEST_YAML:
        message = (
            f"the body is no JSON, and YAML of more than {_LONGEST_YAML} bytes is not taken: send it as JSON"
        )
        raise Failure(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, message)
    try:
        loaded = yaml.load(content, Loader=_Loader)  # noqa: S506 - a SafeLoader
        text = json.dumps(loaded)
    except (yaml.YAMLError, TypeError, ValueError, RecursionError) as exc:
        raise Failure(HTTPStatus.BAD_REQUEST, f"error decoding YAML: {exc}") from exc
    return parse_object(text.encode())


def check_apply(query: Mapping[str, str], media_type: str) -> None:
    """Options that one way of patching needs and the others do not have. Raises Failure (422)."""
    invalid = 'PatchOptions.meta.k8s.io "" is invalid: '
    if media_type == APPLY_PATCH and not query.get("fieldManager"):
        message = f"{invalid}fieldManager: Required value: is required for apply patch"
        raise Failure(HTTPStatus.UNPROCESSABLE_ENTITY, message)
    if media_type != APPLY_PATCH and "force" in query:
        message = f"{invalid}force: Forbidden: may not be specified for non-apply patch"
        raise Failure(HTTPStatus.UNPROCESSABLE_ENTITY, message)
