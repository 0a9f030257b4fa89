"""`AdmissionReview` in, `AdmissionReview` out (pure): the webhook itself, apart from HTTP and certificates.

Whether a Namespace asks for sidecars is what the API server found when it chose the webhook: it knows the
labels of this moment, and a copy kept here could be older than the pod.
"""

import base64
import json

from injector.errors import InjectionError
from injector.manifest import Manifest, section
from injector.patch import NAMESPACE_LABEL, judge
from injector.template import InjectorSettings

_API_VERSION = "admission.k8s.io/v1"
_KIND = "AdmissionReview"
_FORBIDDEN = 403


class BadReview(ValueError):
    """What came is no review; the message says what is wrong with it."""


def respond(review: object, *, in_enabled_namespace: bool, settings: InjectorSettings) -> Manifest:
    """The answer. Raises BadReview."""
    request = _request(review)
    response = {"uid": request["uid"], **_judgement(request, in_enabled_namespace, settings)}
    return {"apiVersion": _API_VERSION, "kind": _KIND, "response": response}


def _request(review: object) -> Manifest:
    if not isinstance(review, dict) or (review.get("apiVersion"), review.get("kind")) != (
        _API_VERSION,
        _KIND,
    ):
        raise BadReview(f"the body must be an {_KIND} of {_API_VERSION}")
    request = section(review, "request")
    if not isinstance(request.get("uid"), str) or not request["uid"]:
        raise BadReview("request.uid must be a text")
    return request


def _judgement(request: Manifest, in_enabled_namespace: bool, settings: InjectorSettings) -> Manifest:
    pod = section(request, "object")
    kind = section(request, "kind")
    is_new_pod = (kind.get("group"), kind.get("kind")) == ("", "Pod") and request.get("operation") == "CREATE"
    if not is_new_pod or not pod or request.get("subResource"):
        return {"allowed": True}
    labels = {NAMESPACE_LABEL: "enabled"} if in_enabled_namespace else {}
    namespace: Manifest = {"metadata": {"name": request.get("namespace"), "labels": labels}}
    try:
        injection = judge(pod, namespace, settings)
    except InjectionError as error:
        status = {"code": _FORBIDDEN, "reason": "Forbidden", "message": str(error)}
        return {"allowed": False, "status": status}
    response: Manifest = {"allowed": True}
    if injection.warnings:
        response["warnings"] = list(injection.warnings)
    if patch := injection.patch:
        encoded = base64.b64encode(json.dumps(patch, separators=(",", ":")).encode()).decode()
        response |= {"patchType": "JSONPatch", "patch": encoded}
    return response
