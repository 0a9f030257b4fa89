"""Reviews: questions about who somebody is and what they may do, answered and not stored (pure).

`kubectl auth whoami` and `kubectl auth can-i` ask the `SelfSubject…` ones.
"""

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Literal, TypeVar

from pydantic import Field, ValidationError

from control_plane.apiserver.authorization import is_allowed, rules_of
from control_plane.apiserver.failure import Failure
from control_plane.apiserver.identity import User
from control_plane.apiserver.request_attributes import Attributes
from control_plane.resources.base import Model, without_nulls
from control_plane.resources.invalid import InvalidResource, causes_of
from control_plane.resources.manifest import Manifest, section

ModelT = TypeVar("ModelT", bound=Model)

AUTHENTICATION = "authentication.k8s.io/v1"
AUTHORIZATION = "authorization.k8s.io/v1"


class ResourceAttributes(Model):
    namespace: str = ""
    verb: str = ""
    group: str = ""
    version: str = ""
    resource: str = ""
    subresource: str = ""
    name: str = ""


class NonResourceAttributes(Model):
    path: str = ""
    verb: str = ""


class AccessReviewSpec(Model):
    resource_attributes: ResourceAttributes | None = None
    non_resource_attributes: NonResourceAttributes | None = None


class RulesReviewSpec(Model):
    namespace: str = Field(min_length=1)


class TokenReviewSpec(Model):
    token: str = Field(min_length=1, repr=False)
    audiences: tuple[str, ...] = Field(default=(), strict=False)


class Review(Model):
    """The envelope of every review; what is in `metadata` and `status` is ignored."""

    api_version: str
    kind: Literal["SelfSubjectReview", "SelfSubjectAccessReview", "SelfSubjectRulesReview", "TokenReview"]
    metadata: dict[str, object] = Field(default_factory=dict)
    spec: dict[str, object] = Field(default_factory=dict)
    status: dict[str, object] = Field(default_factory=dict)


def self_review(user: User, body: Manifest) -> Manifest:
    """Who the caller is."""
    return {"userInfo": user.info()}


def access_review(user: User, body: Manifest) -> Manifest:
    """Whether the caller may do one thing. Raises Failure, InvalidResource."""
    spec = _parsed(AccessReviewSpec, "SelfSubjectAccessReview", body)
    if (spec.resource_attributes is None) == (spec.non_resource_attributes is None):
        message = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
        raise Failure(HTTPStatus.UNPROCESSABLE_ENTITY, f"spec.resourceAttributes: Invalid value: {message}")
    allowed = is_allowed(user.role, _asked(spec))
    reason = f"role {user.role.value}" if allowed else ""
    return {"allowed": allowed, **({"reason": reason} if reason else {})}


def _asked(spec: AccessReviewSpec) -> Attributes:
    if spec.non_resource_attributes is not None:
        path = spec.non_resource_attributes.path or "/"
        return Attributes(spec.non_resource_attributes.verb, path)
    wanted = spec.resource_attributes
    assert wanted is not None, "one of both is given"
    resource, _, subresource = wanted.resource.partition("/")
    return Attributes(
        wanted.verb,
        group=wanted.group,
        version=wanted.version,
        resource=resource,
        subresource=wanted.subresource or subresource,
        namespace=wanted.namespace,
        name=wanted.name,
    )


def rules_review(user: User, body: Manifest) -> Manifest:
    """Everything the caller may do in a namespace: the same in all."""
    _parsed(RulesReviewSpec, "SelfSubjectRulesReview", body)
    rules = rules_of(user.role)
    return {
        "resourceRules": [rule.manifest() for rule in rules if not rule.paths],
        "nonResourceRules": [rule.manifest() for rule in rules if rule.paths],
        "incomplete": False,
    }


ReviewFunction = Callable[[User, Manifest], Manifest]
"""The caller and the review → its `status`."""

REVIEWS: Mapping[str, tuple[str, str, ReviewFunction]] = {
    "selfsubjectreviews": (AUTHENTICATION, "SelfSubjectReview", self_review),
    "selfsubjectaccessreviews": (AUTHORIZATION, "SelfSubjectAccessReview", access_review),
    "selfsubjectrulesreviews": (AUTHORIZATION, "SelfSubjectRulesReview", rules_review),
}
"""By plural: apiVersion, kind, and what answers."""


def parse_token_review(body: Manifest) -> TokenReviewSpec:
    """Raises InvalidResource."""
    return _parsed(TokenReviewSpec, "TokenReview", body)


def check_envelope(body: Manifest, api_version: str, kind: str) -> None:
    """Raises Failure (400) for another kind's body, InvalidResource for unknown fields."""
    body = {"apiVersion": api_version, "kind": kind, **body}
    for field, value in (("apiVersion", api_version), ("kind", kind)):
        if body[field] != value:
            raise Failure(HTTPStatus.BAD_REQUEST, f"{field} is {body[field]!r}; this path serves {value!r}")
    _validated(Review, kind, body)


def _parsed(model: type[ModelT], kind: str, body: Manifest) -> ModelT:
    return _validated(model, kind, section(body, "spec"))


def _validated(model: type[ModelT], kind: str, value: Manifest) -> ModelT:
    try:
        return model.model_validate(without_nulls(value))
    except ValidationError as exc:
        raise InvalidResource(kind, "", causes_of(exc)) from exc
