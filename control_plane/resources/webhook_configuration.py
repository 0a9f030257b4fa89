"""admissionregistration.k8s.io/v1: which requests are told to which admission webhooks (pure)."""

import binascii
from base64 import b64decode
from typing import Annotated, Literal, Self, TypeAlias
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from control_plane.resources.base import Model, Resource
from control_plane.resources.field import Items, LabelName, NotSupported, Port, ServiceName, SubdomainName
from control_plane.resources.gateway_class import ClusterWideMeta
from control_plane.resources.gateway_field import invalid
from control_plane.resources.label_selector import LabelSelector

GROUP_VERSION = "admissionregistration.k8s.io/v1"
DEFAULT_TIMEOUT = 10
"""Seconds; the default of Kubernetes' v1."""
_MAX_TIMEOUT = 30
_MIN_SEGMENTS = 3
"""Of a webhook's name."""
_PEM_HEADER = b"-----BEGIN CERTIFICATE-----"


def _webhook_name(value: str) -> str:
    if value.count(".") + 1 < _MIN_SEGMENTS:
        raise invalid("should be a domain with at least three segments separated by dots")
    return value


def _ca_bundle(value: str) -> str:
    try:
        content = b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise invalid("must be base64") from None
    if content and _PEM_HEADER not in content:
        raise invalid("unable to load root certificates: unable to parse bytes as PEM block")
    return value


def _https_url(value: str) -> str:
    try:
        parts = urlsplit(value)
        _ = parts.port
    except ValueError as error:
        raise invalid(f"url must be a valid URL: {error}; desired format: https://host[/path]") from None
    if parts.scheme != "https":
        raise invalid("'https' is the only allowed URL scheme; desired format: https://host[/path]")
    if not parts.hostname:
        raise invalid("host must be specified; desired format: https://host[/path]")
    if "@" in parts.netloc:
        raise invalid("user information is not permitted in the URL")
    if "?" in value:
        raise invalid("query parameters are not permitted in the URL")
    if "#" in value:
        raise invalid("fragments are not permitted in the URL")
    return value


def _url_path(value: str) -> str:
    if not value.startswith("/"):
        raise invalid("must start with a '/'")
    if "?" in value or "#" in value or not value.isascii() or not value.isprintable() or " " in value:
        raise invalid("must be a path of printable ASCII characters, without query and fragment")
    if "//" in value or any(part in (".", "..") for part in value.split("/")):
        raise invalid("must have no empty, '.' or '..' segments")
    return value


class ServiceReference(Model):
    """Where a webhook listens, by its Service."""

    namespace: LabelName
    name: ServiceName
    path: Annotated[str, AfterValidator(_url_path)] | None = None
    port: Port = 443


class WebhookClientConfig(Model):
    url: Annotated[str, AfterValidator(_https_url)] | None = None
    service: ServiceReference | None = None
    ca_bundle: Annotated[str, AfterValidator(_ca_bundle)] = ""
    """Base64 of the roots (PEM) the server is verified against; the system's when it is empty."""

    @model_validator(mode="after")
    def _check_target(self) -> Self:
        if (self.url is None) == (self.service is None):
            raise invalid("exactly one of url or service is required")
        return self


_RuleOperation: TypeAlias = Literal["CREATE", "UPDATE", "DELETE", "CONNECT", "*"]


class RuleWithOperations(Model):
    """Which requests. `*` stands for all; `pods/status` for a subresource, `*/*` for all of them too."""

    operations: Annotated[Items[_RuleOperation], Field(min_length=1)]
    api_groups: Annotated[Items[str], Field(min_length=1)]
    api_versions: Annotated[Items[str], Field(min_length=1)]
    resources: Annotated[Items[str], Field(min_length=1)]
    scope: Literal["Cluster", "Namespaced", "*"] = "*"

    @model_validator(mode="after")
    def _check_wildcards(self) -> Self:
        for what, values in {
            "operations": self.operations,
            "apiGroups": self.api_groups,
            "apiVersions": self.api_versions,
        }.items():
            if "*" in values and len(values) > 1:
                raise invalid(f"{what}: if '*' is present, must not specify other values")
        if "*/*" in self.resources and len(self.resources) > 1:
            raise invalid("resources: if '*/*' is present, must not specify other resources")
        return self


class Webhook(Model):
    """What both sorts of webhooks have."""

    name: Annotated[SubdomainName, AfterValidator(_webhook_name)]
    client_config: WebhookClientConfig
    rules: Items[RuleWithOperations] = ()
    failure_policy: Literal["Fail", "Ignore"] = "Fail"
    match_policy: Literal["Exact", "Equivalent"] = "Equivalent"
    namespace_selector: LabelSelector = LabelSelector()
    object_selector: LabelSelector = LabelSelector()
    side_effects: Literal["None", "NoneOnDryRun"]
    timeout_seconds: Annotated[int, Field(ge=1, le=_MAX_TIMEOUT)] = DEFAULT_TIMEOUT
    admission_review_versions: Annotated[Items[str], Field(min_length=1)]
    match_conditions: NotSupported = None
    """Expressions in CEL, which this server does not evaluate."""

    @model_validator(mode="after")
    def _check_versions(self) -> Self:
        if "v1" not in self.admission_review_versions:
            raise invalid("admissionReviewVersions: must have v1, the only version spoken here")
        return self


class MutatingWebhook(Webhook):
    reinvocation_policy: Literal["Never", "IfNeeded"] = "Never"


def _unique_names(webhooks: tuple[Webhook, ...]) -> None:
    names = [webhook.name for webhook in webhooks]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise invalid(f"webhooks: the name {twice[0]!r} is there more than once")


class MutatingWebhookConfiguration(Resource):
    """Whom the API server asks to change objects before they are written."""

    API_VERSION = GROUP_VERSION
    KIND = "MutatingWebhookConfiguration"

    api_version: Literal["admissionregistration.k8s.io/v1"]
    kind: Literal["MutatingWebhookConfiguration"]
    metadata: ClusterWideMeta
    webhooks: Items[MutatingWebhook] = ()

    @model_validator(mode="after")
    def _check_names(self) -> Self:
        _unique_names(self.webhooks)
        return self


class ValidatingWebhookConfiguration(Resource):
    """Whom the API server asks whether objects may be written."""

    API_VERSION = GROUP_VERSION
    KIND = "ValidatingWebhookConfiguration"

    api_version: Literal["admissionregistration.k8s.io/v1"]
    kind: Literal["ValidatingWebhookConfiguration"]
    metadata: ClusterWideMeta
    webhooks: Items[Webhook] = ()

    @model_validator(mode="after")
    def _check_names(self) -> Self:
        _unique_names(self.webhooks)
        return self
