"""The `MutatingWebhookConfiguration` of the injector (pure): which pods the API server tells us of.

Three webhooks, so that an injector that is down holds up only pods that are sure to want a sidecar: those of
enabled Namespaces, and those whose label asks for one. The third is asked about all others, because an
annotation may ask too, which no selector can see; there, silence counts as consent.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from injector.annotations import INJECT
from injector.manifest import Manifest, objects, section
from injector.patch import NAMESPACE_LABEL

NAME: Final = "meshproxy-injector"
SERVICE: Final = "injector"
NAMESPACE: Final = "meshproxy-system"
DNS_NAMES: Final = (f"{SERVICE}.{NAMESPACE}.svc", f"{SERVICE}.{NAMESPACE}.svc.cluster.local")
"""What API servers call us; the issuer grants them to our identity only."""
EXCLUDED_NAMESPACES: Final = ("kube-node-lease", "kube-public", "kube-system", NAMESPACE)
"""What a cluster, and the mesh itself, need to come up: the injector can never be in its own way."""
ENABLED_PATH: Final = "/inject/enabled-namespace"
OTHER_PATH: Final = "/inject"
TIMEOUT: Final = 10
"""Seconds; Kubernetes' default, written down so that it is ours."""


def registration(ca_bundle: str, url: str = "") -> Manifest:
    """`ca_bundle`: base64 of PEM. `url`: how an API server that cannot reach our Service reaches us, such as
    `https://localhost:15017`."""
    enabled = _expression(NAMESPACE_LABEL, "In", ["enabled"])
    not_enabled = _expression(NAMESPACE_LABEL, "NotIn", ["enabled"])
    webhooks = [
        _webhook("namespace", ENABLED_PATH, "Fail", enabled, _expression(INJECT, "NotIn", ["false"])),
        _webhook("pod", OTHER_PATH, "Fail", not_enabled, _expression(INJECT, "In", ["true"])),
        _webhook(
            "annotation", OTHER_PATH, "Ignore", not_enabled, _expression(INJECT, "NotIn", ["true", "false"])
        ),
    ]
    if url:
        webhooks = [_by_url(webhook, url) for webhook in webhooks]
    metadata: Manifest = {"name": NAME, "labels": {"app.kubernetes.io/name": SERVICE}}
    configuration: Manifest = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration",
        "metadata": metadata,
        "webhooks": webhooks,
    }
    return with_ca_bundle(configuration, ca_bundle)


def _by_url(webhook: Manifest, url: str) -> Manifest:
    path = section(section(webhook, "clientConfig"), "service")["path"]
    return {**webhook, "clientConfig": {"url": f"{url}{path}"}}


def with_ca_bundle(configuration: Manifest, ca_bundle: str) -> Manifest:
    """A copy in which every webhook is verified against `ca_bundle`."""
    webhooks = [
        {**webhook, "clientConfig": {**section(webhook, "clientConfig"), "caBundle": ca_bundle}}
        for webhook in objects(configuration, "webhooks")
    ]
    return {**configuration, "webhooks": webhooks}


def with_address(configuration: Manifest, wanted: Manifest) -> Manifest:
    """A copy whose webhooks are called where those of the same name in `wanted` are."""
    configs = {
        webhook.get("name"): section(webhook, "clientConfig") for webhook in objects(wanted, "webhooks")
    }
    webhooks = [
        {**webhook, "clientConfig": configs.get(webhook.get("name"), section(webhook, "clientConfig"))}
        for webhook in objects(configuration, "webhooks")
    ]
    return {**configuration, "webhooks": webhooks}


def _webhook(
    name: str,
    path: str,
    failure_policy: str,
    of_namespace: Mapping[str, object],
    of_pod: Mapping[str, object],
) -> Manifest:
    service: Manifest = {"name": SERVICE, "namespace": NAMESPACE, "path": path, "port": 443}
    system = _expression("kubernetes.io/metadata.name", "NotIn", EXCLUDED_NAMESPACES)
    return {
        "name": f"{name}.injector.meshproxy.io",
        "clientConfig": {"service": service},
        "rules": [
            {
                "operations": ["CREATE"],
                "apiGroups": [""],
                "apiVersions": ["v1"],
                "resources": ["pods"],
                "scope": "Namespaced",
            }
        ],
        "namespaceSelector": {"matchExpressions": [system, of_namespace]},
        "objectSelector": {"matchExpressions": [of_pod]},
        "failurePolicy": failure_policy,
        "matchPolicy": "Equivalent",
        "reinvocationPolicy": "Never",
        "sideEffects": "None",
        "timeoutSeconds": TIMEOUT,
        "admissionReviewVersions": ["v1"],
    }


def _expression(key: str, operator: str, values: Sequence[str]) -> Manifest:
    return {"key": key, "operator": operator, "values": list(values)}
