"""The webhook as a function of AdmissionReviews, and what it is registered for."""

import base64
import json

import pytest

from control_plane.apiserver.json_patch import apply_patch
from control_plane.resources.manifest import Manifest, objects, section
from control_plane.resources.webhook_configuration import MutatingWebhookConfiguration
from injector.patch import inject
from injector.registration import ENABLED_PATH, OTHER_PATH, registration, with_address, with_ca_bundle
from injector.template import InjectorSettings
from injector.webhook import BadReview, respond

SETTINGS = InjectorSettings()
ENABLED: Manifest = {"metadata": {"name": "shop", "labels": {"meshproxy.io/injection": "enabled"}}}


def pod(**metadata: object) -> Manifest:
    container = {"name": "app", "image": "app:1", "ports": [{"containerPort": 8080}]}
    meta = {"name": "web", "namespace": "shop", **metadata}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": {"containers": [container]}}


def review(manifest: Manifest | None, **request: object) -> Manifest:
    content: Manifest = {
        "uid": "u-1",
        "kind": {"group": "", "version": "v1", "kind": "Pod"},
        "operation": "CREATE",
        "namespace": "shop",
        "object": manifest,
    }
    return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": content | request}


def answer(given: Manifest, *, enabled: bool = True) -> Manifest:
    """The `response`."""
    result = respond(given, in_enabled_namespace=enabled, settings=SETTINGS)
    assert (result["apiVersion"], result["kind"]) == ("admission.k8s.io/v1", "AdmissionReview")
    return section(result, "response")


def patched(manifest: Manifest, response: Manifest) -> object:
    if "patch" not in response:
        return manifest
    assert response["patchType"] == "JSONPatch"
    return apply_patch(manifest, json.loads(base64.b64decode(str(response["patch"]))))


def test_the_patch_makes_what_the_injector_makes_and_is_made_once():
    response = answer(review(pod()))
    assert (response["uid"], response["allowed"]) == ("u-1", True)
    result = patched(pod(), response)
    assert result == inject(pod(), ENABLED, SETTINGS) != pod()
    assert isinstance(result, dict)
    assert answer(review(result)) == {"uid": "u-1", "allowed": True}


@pytest.mark.parametrize(
    ("enabled", "metadata", "is_injected"),
    [
        (True, {}, True),
        (False, {}, False),
        (True, {"labels": {"meshproxy.io/inject": "false"}}, False),
        (False, {"labels": {"meshproxy.io/inject": "true"}}, True),
        (True, {"annotations": {"meshproxy.io/inject": "false"}}, False),
        (False, {"annotations": {"meshproxy.io/inject": "true"}}, True),
    ],
)
def test_namespace_and_pod_decide(enabled, metadata, is_injected):
    assert ("patch" in answer(review(pod(**metadata)), enabled=enabled)) == is_injected


def test_warnings_come_with_the_answer():
    response = answer(review(pod(annotations={"meshproxy.io/excludeOutboundPort": "1"})))
    assert response["allowed"] is True
    assert "excludeOutboundPort" in str(response["warnings"])


def test_what_cannot_work_is_refused_with_the_mend():
    response = answer(review(pod(labels={"meshproxy.io/inject": "yes"})))
    assert response["allowed"] is False
    status = section(response, "status")
    assert (status["code"], status["reason"]) == (403, "Forbidden")
    assert 'use "true" or "false"' in str(status["message"])


@pytest.mark.parametrize(
    "request_",
    [
        {"operation": "UPDATE"},
        {"subResource": "binding"},
        {"kind": {"group": "", "version": "v1", "kind": "Service"}},
        {"kind": None},
        {"object": None},
    ],
)
def test_what_is_no_new_pod_is_left_alone(request_):
    assert answer(review(pod(), **request_)) == {"uid": "u-1", "allowed": True}


@pytest.mark.parametrize(
    "body",
    [None, [], {}, review(pod()) | {"apiVersion": "admission.k8s.io/v1beta1"}, review(pod()) | {"request": 1}]
    + [review(pod(), uid=uid) for uid in ("", 1, None)],
)
def test_what_is_no_review_is_refused(body):
    with pytest.raises(BadReview):
        respond(body, in_enabled_namespace=True, settings=SETTINGS)


def test_the_registration_is_valid_and_contracts_what_it_must():
    configuration = MutatingWebhookConfiguration.parse(registration(""))
    assert [webhook.failure_policy for webhook in configuration.webhooks] == ["Fail", "Fail", "Ignore"]
    for webhook in configuration.webhooks:
        (rule,) = webhook.rules
        assert (rule.operations, rule.resources, rule.scope) == (("CREATE",), ("pods",), "Namespaced")
        assert (webhook.side_effects, webhook.reinvocation_policy) == ("None", "Never")
        assert (webhook.admission_review_versions, webhook.timeout_seconds) == (("v1",), 10)


@pytest.mark.parametrize("labels", [{}, {"meshproxy.io/injection": "enabled"}])
@pytest.mark.parametrize("system", ["kube-system", "meshproxy-system", "kube-public", "kube-node-lease"])
def test_the_injector_can_never_be_in_its_own_way(system, labels):
    for webhook in MutatingWebhookConfiguration.parse(registration("")).webhooks:
        assert not webhook.namespace_selector.matches({"kubernetes.io/metadata.name": system, **labels})


@pytest.mark.parametrize(
    ("namespace", "of_pod", "asked"),
    [
        ({"meshproxy.io/injection": "enabled"}, {}, "namespace"),
        ({"meshproxy.io/injection": "enabled"}, {"meshproxy.io/inject": "true"}, "namespace"),
        ({"meshproxy.io/injection": "enabled"}, {"meshproxy.io/inject": "yes"}, "namespace"),
        ({"meshproxy.io/injection": "enabled"}, {"meshproxy.io/inject": "false"}, None),
        ({}, {"meshproxy.io/inject": "true"}, "pod"),
        ({"meshproxy.io/injection": "disabled"}, {"meshproxy.io/inject": "true"}, "pod"),
        ({}, {"meshproxy.io/inject": "false"}, None),
        ({}, {"meshproxy.io/inject": "yes"}, "annotation"),
        ({}, {}, "annotation"),
    ],
)
def test_exactly_one_webhook_is_asked_about_a_pod_or_none(namespace, of_pod, asked):
    names = {"kubernetes.io/metadata.name": "shop", **namespace}
    found = [
        webhook.name.partition(".")[0]
        for webhook in MutatingWebhookConfiguration.parse(registration("")).webhooks
        if webhook.namespace_selector.matches(names) and webhook.object_selector.matches(of_pod)
    ]
    assert found == ([asked] if asked else [])


def test_a_bundle_is_put_into_every_webhook():
    configuration = registration("YQ==")
    assert bundles(configuration) == {"YQ=="}
    assert bundles(with_ca_bundle(configuration, "Yg==")) == {"Yg=="}


def test_an_api_server_that_cannot_reach_the_service_calls_a_url():
    configuration = registration("", "https://localhost:7")
    urls = [each.client_config.url for each in MutatingWebhookConfiguration.parse(configuration).webhooks]
    assert urls == [f"https://localhost:7{path}" for path in (ENABLED_PATH, OTHER_PATH, OTHER_PATH)]
    assert with_address(registration("", "https://localhost:6"), configuration) == configuration


def bundles(configuration: Manifest) -> set[object]:
    return {section(each, "clientConfig")["caBundle"] for each in objects(configuration, "webhooks")}
