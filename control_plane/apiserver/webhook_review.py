"""`AdmissionReview` of admission.k8s.io/v1: what a webhook is told, and reading what it answers (pure)."""

import json
from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus

from control_plane.apiserver.admission_request import AdmissionRequest
from control_plane.apiserver.failure import Failure
from control_plane.resources.manifest import Manifest, section
from control_plane.resources.registry import ResourceKind

API_VERSION = "admission.k8s.io/v1"
KIND = "AdmissionReview"
_JSON_PATCH = "JSONPatch"
_HIGHEST_STATUS = 599
_OPTIONS = {"CREATE": "CreateOptions", "UPDATE": "UpdateOptions", "DELETE": "DeleteOptions"}


class BadAnswer(Exception):
    """What came back is no answer to what was asked. Counts as a call that failed."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """A webhook's answer that is one."""

    is_allowed: bool
    status: Manifest
    """`Status` of a refusal; may be empty."""
    patch: list[object]
    """Operations of RFC 6902; empty when nothing is to be changed."""
    warnings: tuple[str, ...]


def review(request: AdmissionRequest, told: ResourceKind, *, uid: str, user: Manifest) -> Manifest:
    """The review to send; `told` is the version of the kind that the webhook asked for."""
    # Of a Namespace itself Kubernetes says that it lies in itself.
    namespace = request.name if request.kind.kind == "Namespace" else request.namespace
    content: Manifest = {
        "uid": uid,
        "kind": _kind(request, told),
        "resource": _resource(told),
        "requestKind": _kind(request, request.kind),
        "requestResource": _resource(request.kind),
        "operation": request.operation,
        "userInfo": user,
        "object": _shown(request, told, request.wanted),
        "oldObject": _shown(request, told, request.current),
        "dryRun": request.dry_run,
        "options": _options(request),
    }
    optional = {
        "subResource": request.subresource,
        "requestSubResource": request.subresource,
        "name": request.name,
        "namespace": namespace,
    }
    content |= {field: value for field, value in optional.items() if value}
    return {"kind": KIND, "apiVersion": API_VERSION, "request": content}


def _kind(request: AdmissionRequest, version: ResourceKind) -> Manifest:
    if request.subresource not in ("", "status") and request.wanted is not None:
        # `pods/binding` and the like have objects of a kind of their own.
        group, _, bare = str(request.wanted.get("apiVersion", "")).rpartition("/")
        return {"group": group, "version": bare, "kind": request.wanted.get("kind")}
    return {"group": version.group, "version": version.version, "kind": version.kind}


def _resource(version: ResourceKind) -> Manifest:
    return {"group": version.group, "version": version.version, "resource": version.plural}


def _shown(request: AdmissionRequest, told: ResourceKind, manifest: Manifest | None) -> Manifest | None:
    if manifest is None or manifest.get("kind") != told.kind:
        return manifest
    return {**manifest, "apiVersion": told.api_version}


def _options(request: AdmissionRequest) -> Manifest | None:
    kind = _OPTIONS.get(request.operation)
    if kind is None:
        return None
    dry_run = {"dryRun": ["All"]} if request.dry_run else {}
    return {**request.options, "kind": kind, "apiVersion": "meta.k8s.io/v1", **dry_run}


def read_answer(content: bytes, *, uid: str, is_mutating: bool) -> Verdict:
    """Raises BadAnswer, in Kubernetes' words where it has any."""
    try:
        answer = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise BadAnswer(f"couldn't get version/kind; json parse error: {error}") from error
    if not isinstance(answer, dict):
        raise BadAnswer(f"couldn't get version/kind: a JSON {type(answer).__name__} is no object")
    if (answer.get("apiVersion"), answer.get("kind")) != (API_VERSION, KIND):
        found = f"{answer.get('apiVersion')}, Kind={answer.get('kind')}"
        raise BadAnswer(f"expected webhook response of {API_VERSION}, Kind={KIND}, got {found}")
    response = answer.get("response")
    if not isinstance(response, dict):
        raise BadAnswer("webhook response was absent")
    if response.get("uid") != uid:
        raise BadAnswer(f'expected response.uid="{uid}", got "{response.get("uid") or ""}"')
    is_allowed = response.get("allowed", False)
    if not isinstance(is_allowed, bool):
        raise BadAnswer("response.allowed must be a boolean")
    warnings = response.get("warnings") or []
    if not isinstance(warnings, list) or not all(isinstance(text, str) for text in warnings):
        raise BadAnswer("response.warnings must be a list of strings")
    patch = _patch(response) if is_mutating else _no_patch(response)
    return Verdict(is_allowed, section(response, "status"), patch, tuple(warnings))


def _patch(response: Mapping[str, object]) -> list[object]:
    patch, patch_type = response.get("patch") or "", response.get("patchType")
    if patch and patch_type is None:
        raise BadAnswer("webhook returned response.patch but not response.patchType")
    if not patch and patch_type is not None:
        raise BadAnswer("webhook returned response.patchType but not response.patch")
    if not patch:
        return []
    if patch_type != _JSON_PATCH:
        raise BadAnswer(f'unsupported patch type "{patch_type}"')
    try:
        operations = json.loads(b64decode(str(patch), validate=True))
    except (ValueError, Base64Error, RecursionError) as error:
        raise BadAnswer(f"response.patch is not base64 of JSON: {error}") from error
    if not isinstance(operations, list):
        raise BadAnswer("response.patch must be a list of operations (RFC 6902)")
    return operations


def _no_patch(response: Mapping[str, object]) -> list[object]:
    for field in ("patch", "patchType"):
        if response.get(field):
            raise BadAnswer(f"validating webhook may not return response.{field}")
    return []


def refusal(webhook: str, status: Manifest) -> Failure:
    """What the client of a request is told that a webhook refused."""
    denied = f'admission webhook "{webhook}" denied the request'
    message, reason = str(status.get("message") or ""), str(status.get("reason") or "")
    text = f"{denied}: {message or reason}" if message or reason else f"{denied} without explanation"
    code = status.get("code")
    is_failure = isinstance(code, int) and HTTPStatus.BAD_REQUEST <= code <= _HIGHEST_STATUS
    try:
        http_status = HTTPStatus(code) if is_failure and isinstance(code, int) else HTTPStatus.BAD_REQUEST
    except ValueError:
        http_status = HTTPStatus.BAD_REQUEST
    failure = Failure(http_status, text, details=section(status, "details"))
    failure.reason = reason  # none is made up for the webhook
    return failure
