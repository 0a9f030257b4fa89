"""Whether a webhook is to be asked about a request, and in which version of its kind (pure)."""

from collections.abc import Iterator

from control_plane.apiserver.admission_request import AdmissionRequest
from control_plane.resources.manifest import Manifest, labels_of
from control_plane.resources.registry import BY_KIND, ResourceKind
from control_plane.resources.webhook_configuration import RuleWithOperations, Webhook

EXEMPT_KINDS = frozenset({"MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"})
"""No webhook is asked about these: a broken one could not be taken away any more."""


def matched_version(webhook: Webhook, request: AdmissionRequest) -> ResourceKind | None:
    """The version of the request's kind that a rule names; None when no rule means this request.

    With `matchPolicy: Equivalent` that may be another than the request's own.
    """
    versions = [request.kind]
    if webhook.match_policy == "Equivalent":
        base = BY_KIND[request.kind.kind]
        versions += [one for one in base.in_every_version() if one.api_version != request.kind.api_version]
    matches = (version for version in versions for rule in webhook.rules if _applies(rule, request, version))
    return next(matches, None)


def _applies(rule: RuleWithOperations, request: AdmissionRequest, version: ResourceKind) -> bool:
    return (
        _is_in(rule.operations, request.operation)
        and _is_in(rule.api_groups, version.group)
        and _is_in(rule.api_versions, version.version)
        and rule.scope in ("*", "Namespaced" if version.namespaced else "Cluster")
        and any(_names(resource, version.plural, request.subresource) for resource in rule.resources)
    )


def _is_in(values: tuple[str, ...], wanted: str) -> bool:
    return "*" in values or wanted in values


def _names(resource: str, plural: str, subresource: str) -> bool:
    """`pods` means only the object, `pods/*` it and all its subresources, `*` every object."""
    wanted, _, wanted_subresource = resource.partition("/")
    return wanted in ("*", plural) and wanted_subresource in ("*", subresource)


def selects_object(webhook: Webhook, request: AdmissionRequest) -> bool:
    """`objectSelector` holds for the object as it shall be or as it was."""
    return any(webhook.object_selector.matches(labels_of(manifest)) for manifest in _objects(request))


def _objects(request: AdmissionRequest) -> Iterator[Manifest]:
    yield from (manifest for manifest in (request.wanted, request.current) if manifest is not None)


def selects_namespace(webhook: Webhook, request: AdmissionRequest, namespace: Manifest | None) -> bool:
    """`namespaceSelector` holds for the labels of `namespace`, which is the Namespace of the object, or the
    object when that is one itself; None for everything else, which every selector lets through.
    """
    return namespace is None or webhook.namespace_selector.matches(labels_of(namespace))
