"""Admission webhooks as clients of the API server see them: a real HTTPS server is asked."""

import asyncio
from collections.abc import AsyncIterator
from typing import cast

import pytest
from starlette.requests import HTTPConnection

from control_plane.apiserver import webhook_client
from control_plane.apiserver.failure import Failure
from control_plane.apiserver.kubelet import Kubelets
from control_plane.apiserver.pod_exec import PodExec
from control_plane.apiserver.watch import WatchStreams
from control_plane.apiserver.webhook_admission import WebhookAdmission
from control_plane.resources.manifest import Manifest, section
from tests.unit.control_plane.apiserver.conftest import Api
from tests.unit.control_plane.apiserver.webhook_server import (
    WebhookServer,
    allow,
    deny,
    http_answer,
    patching,
    webhook_server,
)

GROUP = "/apis/admissionregistration.k8s.io/v1"
CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
RULE: Manifest = {
    "operations": ["*"],
    "apiGroups": [""],
    "apiVersions": ["v1"],
    "resources": ["configmaps"],
}
LABEL: Manifest = {"op": "add", "path": "/metadata/labels", "value": {"by": "hook"}}


@pytest.fixture
async def hook() -> AsyncIterator[WebhookServer]:
    async with webhook_server() as server:
        yield server


def webhook(hook: WebhookServer, path: str = "/", **fields: object) -> Manifest:
    content: Manifest = {
        "name": f"hook{path.replace('/', '-').rstrip('-')}.example.com",
        "clientConfig": hook.client(path),
        "rules": [RULE],
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
    }
    return content | fields


async def register(api: Api, *webhooks: Manifest, kind: str = "Mutating", name: str = "hooks") -> None:
    body = {"metadata": {"name": name}, "webhooks": list(webhooks)}
    status, answer = await api.call("POST", f"{GROUP}/{kind.lower()}webhookconfigurations", body)
    assert status == 201, answer


def config_map(name: str = "one", **data: str) -> Manifest:
    return {"metadata": {"name": name}, "data": data}


async def create(api: Api, name: str = "one", **params: str) -> tuple[int, Manifest]:
    return await api.call("POST", CONFIG_MAPS, config_map(name), **params)


async def test_a_patch_changes_what_is_stored(api, hook):
    await register(api, webhook(hook))
    hook.answer = patching(LABEL)
    status, created = await create(api)
    stored = await api.store.get("ConfigMap", "default", "one")
    assert status == 201
    assert section(created, "metadata")["labels"] == section(stored, "metadata")["labels"] == {"by": "hook"}


async def test_the_review_tells_what_kubernetes_tells(api, hook):
    await register(api, webhook(hook, "/inject", timeoutSeconds=7))
    await create(api)
    (request,), (path,) = hook.requests, hook.paths
    kind, resource = (
        {"group": "", "version": "v1", "kind": "ConfigMap"},
        {"group": "", "version": "v1", "resource": "configmaps"},
    )
    assert path == "/inject?timeout=7s"
    assert request["kind"] == request["requestKind"] == kind
    assert request["resource"] == request["requestResource"] == resource
    assert (request["name"], request["namespace"], request["operation"]) == ("one", "default", "CREATE")
    assert (request["dryRun"], request["oldObject"]) == (False, None)
    assert section(request, "object")["kind"] == "ConfigMap"
    assert request["options"] == {"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1"}
    assert section(request, "userInfo")["username"]
    assert section(request, "userInfo")["groups"]
    assert "subResource" not in request


async def test_updates_and_deletions_tell_the_object_as_it_was(api, hook):
    await create(api)
    await register(api, webhook(hook), kind="Validating")
    await api.call("PUT", f"{CONFIG_MAPS}/one", config_map(a="b"))
    await api.call("DELETE", f"{CONFIG_MAPS}/one", {"propagationPolicy": "Background"})
    update, delete = hook.requests
    assert section(section(update, "object"), "data") == {"a": "b"}
    assert not section(update, "oldObject")["data"]
    assert section(update, "options")["kind"] == "UpdateOptions"
    assert (delete["operation"], delete["object"]) == ("DELETE", None)
    assert section(section(delete, "oldObject"), "data") == {"a": "b"}
    assert section(delete, "options")["propagationPolicy"] == "Background"


async def test_a_dry_run_is_told_as_one(api, hook):
    await register(api, webhook(hook))
    await create(api, dryRun="All")
    assert hook.requests[0]["dryRun"] is True
    assert section(hook.requests[0], "options")["dryRun"] == ["All"]


async def test_a_name_is_made_only_after_mutation(api, hook):
    await register(api, webhook(hook))
    await register(api, webhook(hook, "/validate"), kind="Validating")
    await api.call("POST", CONFIG_MAPS, {"metadata": {"generateName": "web-"}})
    mutating, validating = hook.requests
    assert "name" not in mutating
    assert str(validating["name"]).startswith("web-")


@pytest.mark.parametrize(
    ("status", "code", "message", "reason"),
    [
        ({"code": 403, "message": "no", "reason": "Forbidden"}, 403, ": no", "Forbidden"),
        ({"message": "no"}, 400, ": no", ""),
        ({"reason": "Because"}, 400, ": Because", "Because"),
        ({"code": 200}, 400, " without explanation", ""),
        ({"code": 799}, 400, " without explanation", ""),
    ],
)
@pytest.mark.parametrize("kind", ["Mutating", "Validating"])
async def test_a_refusal_names_the_webhook(api, hook, kind, status, code, message, reason):
    await register(api, webhook(hook), kind=kind)
    hook.answer = lambda request: deny(request, **status)
    found, answer = await create(api)
    assert found == answer["code"] == code
    assert answer["message"] == f'admission webhook "hook.example.com" denied the request{message}'
    assert answer["reason"] == reason


async def test_a_refusal_counts_though_failures_are_ignored(api, hook):
    await register(api, webhook(hook, failurePolicy="Ignore"), kind="Validating")
    hook.answer = deny
    assert (await create(api))[0] == 400


async def test_warnings_become_headers(api, hook):
    await register(api, webhook(hook))
    hook.answer = patching(LABEL, warnings=('say "no"', "é\nü", 'say "no"', ""))
    response = await api.http.post(CONFIG_MAPS, json=config_map())
    headers = [value.decode() for name, value in response.headers.raw if name == b"warning"]
    assert headers == ['299 - "say \\"no\\""', '299 - "é ü"']


def slow(request: Manifest) -> "asyncio.Future[Manifest]":
    return asyncio.get_running_loop().create_future()


ENDLESS = b"HTTP/1.1 200 OK\r\ncontent-length: 100000000\r\n\r\n" + b" " * 70_000
OTHER = b'{"apiVersion": "v1", "kind": "Pod"}'
NO_ANSWER = b'{"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview"}'
FAILURES = {
    "slow": (slow, "context deadline exceeded"),
    "garbage": (
        lambda r: http_answer(b"<html>"),
        "invalid webhook response: couldn't get version/kind; json parse",
    ),
    "a list": (lambda r: http_answer(b"[]"), "couldn't get version/kind: a JSON list is no object"),
    "no HTTP": (lambda r: b"SSH-2.0-OpenSSH\r\n", "failed to call webhook: Post"),
    "closed": (lambda r: b"", "failed to call webhook: Post"),
    "another kind": (lambda r: http_answer(OTHER), "expected webhook response of admission.k8s.io/v1"),
    "no response": (lambda r: http_answer(NO_ANSWER), "webhook response was absent"),
    "another uid": (lambda r: {"uid": "7", "allowed": True}, 'got "7"'),
    "no boolean": (lambda r: {"uid": r["uid"], "allowed": "yes"}, "allowed must be a boolean"),
    "no list": (lambda r: allow(r) | {"warnings": "w"}, "warnings must be a list of strings"),
    "no type": (lambda r: allow(r) | {"patch": "W10="}, "response.patch but not response.patchType"),
    "no patch": (
        lambda r: allow(r) | {"patchType": "JSONPatch"},
        "response.patchType but not response.patch",
    ),
    "merge": (lambda r: allow(r) | {"patch": "e30=", "patchType": "Merge"}, 'unsupported patch type "Merge"'),
    "no base64": (lambda r: allow(r) | {"patch": "{}", "patchType": "JSONPatch"}, "is not base64 of JSON"),
    "an object": (
        lambda r: allow(r) | {"patch": "e30=", "patchType": "JSONPatch"},
        "must be a list of operations",
    ),
    "oversize": (lambda r: ENDLESS, "the answer is larger than 65536 bytes"),
    "redirect": (
        lambda r: http_answer(b"", "307 Moved", headers=b"location: https://127.0.0.1:1/\r\n"),
        "redirects of webhooks are not followed",
    ),
    "500": (lambda r: http_answer(b"oh", "500 Oh"), 'an error on the server ("oh") has prevented'),
    "404": (lambda r: http_answer(b"", "404 No"), "the server could not find the requested resource"),
    "401": (lambda r: http_answer(b"", "401 No"), "for an unknown reason: status 401"),
}


@pytest.mark.parametrize("policy", ["Fail", "Ignore"])
@pytest.mark.parametrize("failure", FAILURES)
async def test_a_call_that_fails_is_what_the_failure_policy_says(api, hook, monkeypatch, failure, policy):
    monkeypatch.setattr(webhook_client, "MAX_ANSWER", 65536)
    if failure == "slow":
        monkeypatch.setattr(webhook_client, "SECOND", 0.05)
    hook.answer, message = FAILURES[failure]
    await register(api, webhook(hook, failurePolicy=policy, timeoutSeconds=1))
    status, answer = await create(api)
    if policy == "Ignore":
        assert status == 201
        return
    assert (status, answer["reason"]) == (500, "InternalError")
    text = str(answer["message"])
    assert text.startswith('Internal error occurred: failed calling webhook "hook.example.com": ')
    assert message in text


async def test_a_validating_webhook_may_not_patch(api, hook):
    await register(api, webhook(hook), kind="Validating")
    hook.answer = patching(LABEL)
    _, answer = await create(api)
    assert "validating webhook may not return response.patch" in str(answer["message"])


@pytest.mark.parametrize(
    ("operations", "message"),
    [
        (
            [{"op": "remove", "path": "/nowhere"}],
            "cannot be applied: operation 0: there is nothing at '/nowhere'",
        ),
        ([{"op": "replace", "path": "", "value": []}], "makes it an object of another kind"),
        ([{"op": "replace", "path": "/apiVersion", "value": "v2"}], "makes it an object of another kind"),
    ],
)
async def test_a_patch_that_cannot_be_applied_refuses_the_request(api, hook, operations, message):
    await register(api, webhook(hook, failurePolicy="Ignore"))
    hook.answer = patching(*operations)
    status, answer = await create(api)
    assert status == 500
    assert message in str(answer["message"])


async def test_a_patched_object_is_validated(api, hook):
    await register(api, webhook(hook))
    hook.answer = patching({"op": "add", "path": "/spec", "value": {}})
    status, answer = await create(api)
    assert status == 422
    assert "spec: unknown field" in str(answer["message"])


async def test_a_patch_may_not_move_the_object(api, hook):
    await register(api, webhook(hook))
    hook.answer = patching({"op": "replace", "path": "/metadata/namespace", "value": "other"})
    status, answer = await create(api)
    assert status == 400
    assert "metadata.namespace is 'other'" in str(answer["message"])


async def test_nobody_listens(api, hook):
    target = {"url": "https://127.0.0.1:1/", "caBundle": hook.ca_bundle}
    await register(api, webhook(hook, clientConfig=target))
    status, answer = await create(api)
    assert status == 500
    assert str(answer["message"]).endswith(
        'Post "https://127.0.0.1:1/?timeout=10s": dial tcp 127.0.0.1:1: connect: connection refused'
    )


async def test_a_server_that_the_bundle_does_not_vouch_for_is_not_asked(api, hook):
    async with webhook_server() as stranger:
        target = {"url": stranger.url, "caBundle": hook.ca_bundle}
        await register(api, webhook(hook, clientConfig=target))
        _, answer = await create(api)
        assert "x509: certificate signed by unknown authority" in str(answer["message"])
        assert stranger.requests == []


# --- order ---


async def test_each_sees_what_the_one_before_has_made(api, hook):
    hook.answers = {
        "/a": patching({"op": "add", "path": "/data", "value": {"a": "1"}}),
        "/b": patching({"op": "add", "path": "/data/b", "value": "2"}),
    }
    await register(api, webhook(hook, "/b"), name="z")
    await register(api, webhook(hook, "/a"), name="a")
    _, created = await create(api)
    assert created["data"] == {"a": "1", "b": "2"}
    assert [section(request, "object").get("data") for request in hook.requests] == [{}, {"a": "1"}]


async def test_if_needed_is_asked_again_once_when_a_later_one_changed_the_object(api, hook):
    hook.answers = {
        "/b": patching(LABEL),
        "/c": patching({"op": "add", "path": "/data", "value": {"c": "3"}}),
    }
    await register(
        api,
        webhook(hook, "/never"),
        webhook(hook, "/needed", reinvocationPolicy="IfNeeded"),
        webhook(hook, "/b"),
        webhook(hook, "/c", reinvocationPolicy="IfNeeded"),
    )
    await create(api)
    asked = [path.partition("?")[0] for path in hook.paths]
    assert asked == ["/never", "/needed", "/b", "/c", "/needed"]
    assert section(section(hook.requests[-1], "object"), "data") == {"c": "3"}


async def test_no_change_no_second_round(api, hook):
    hook.answers = {"/b": patching({"op": "add", "path": "/kind", "value": "ConfigMap"})}
    await register(api, webhook(hook, "/a", reinvocationPolicy="IfNeeded"), webhook(hook, "/b"))
    await create(api)
    assert len(hook.paths) == 2


async def test_validating_webhooks_are_asked_at_once_and_see_the_result(api, hook):
    both = asyncio.Barrier(2)

    async def answer(request: Manifest) -> Manifest:
        await both.wait()
        return allow(request)

    hook.answers = {"/mutate": patching(LABEL)}
    hook.answer = answer
    await register(api, webhook(hook, "/mutate"))
    await register(api, webhook(hook, "/a"), webhook(hook, "/b"), kind="Validating")
    assert (await create(api))[0] == 201
    seen = [section(section(request, "object"), "metadata")["labels"] for request in hook.requests[1:]]
    assert seen == [{"by": "hook"}] * 2


# --- selection ---


async def test_webhook_configurations_themselves_are_told_to_nobody(api, hook):
    everything = {"operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*/*"]}
    hook.answer = deny
    await register(api, webhook(hook, rules=[everything]), kind="Validating")
    path = f"{GROUP}/validatingwebhookconfigurations/hooks"
    assert (await create(api))[0] == 400
    assert (await api.call("DELETE", path))[0] == 200
    assert (await create(api))[0] == 201


@pytest.mark.parametrize(
    ("labels", "selector", "is_asked"),
    [
        ({"env": "prod"}, {"matchLabels": {"env": "prod"}}, True),
        ({}, {"matchLabels": {"env": "prod"}}, False),
        ({}, {"matchExpressions": [{"key": "env", "operator": "DoesNotExist"}]}, True),
    ],
)
async def test_object_selector(api, hook, labels, selector, is_asked):
    await register(api, webhook(hook, objectSelector=selector))
    await api.call("POST", CONFIG_MAPS, {"metadata": {"name": "one", "labels": labels}})
    assert bool(hook.requests) == is_asked


async def test_object_selector_looks_at_the_object_as_it_was_too(api, hook):
    await api.call("POST", CONFIG_MAPS, {"metadata": {"name": "one", "labels": {"a": "b"}}})
    await register(api, webhook(hook, objectSelector={"matchLabels": {"a": "b"}}))
    await api.call("PUT", f"{CONFIG_MAPS}/one", config_map())
    assert len(hook.requests) == 1


async def test_namespace_selector(api, hook):
    named = {
        "matchExpressions": [
            {"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": ["default"]}
        ]
    }
    rule = RULE | {"resources": ["configmaps", "namespaces", "nodes"]}
    await register(api, webhook(hook, namespaceSelector=named, rules=[rule]))
    await create(api)
    assert hook.requests == []
    await api.call("POST", "/api/v1/namespaces", {"metadata": {"name": "shop"}})
    await api.call("POST", "/api/v1/namespaces/shop/configmaps", config_map())
    await api.call("POST", "/api/v1/nodes", {"metadata": {"name": "n"}})
    asked = [(section(request, "kind")["kind"], request.get("namespace")) for request in hook.requests]
    assert asked == [("Namespace", "shop"), ("ConfigMap", "shop"), ("Node", None)]


@pytest.mark.parametrize(
    ("rule", "is_asked"),
    [
        ({"operations": ["UPDATE", "CREATE"]}, True),
        ({"operations": ["DELETE"]}, False),
        ({"apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*"]}, True),
        ({"apiGroups": ["apps"]}, False),
        ({"apiVersions": ["v2"]}, False),
        ({"resources": ["configmaps/status"]}, False),
        ({"resources": ["*/*"]}, True),
        ({"resources": ["configmaps/*"]}, True),
        ({"scope": "Namespaced"}, True),
        ({"scope": "Cluster"}, False),
    ],
)
async def test_rules(api, hook, rule, is_asked):
    await register(api, webhook(hook, rules=[RULE | {"resources": ["secrets"]}, RULE | rule]))
    await create(api)
    assert bool(hook.requests) == is_asked


@pytest.mark.parametrize(
    ("resource", "asked"), [("pods", [None]), ("pods/status", ["status"]), ("pods/*", [None, "status"])]
)
async def test_subresources_have_rules_of_their_own(api, hook, resource, asked):
    pod = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    path = "/api/v1/namespaces/default/pods"
    await register(api, webhook(hook, rules=[RULE | {"resources": [resource]}]))
    _, created = await api.call("POST", path, pod)
    status, answer = await api.call("PUT", f"{path}/p/status", created | {"status": {"phase": "Running"}})
    assert status == 200, answer
    assert [request.get("subResource") for request in hook.requests] == asked


async def test_bindings_are_told_as_what_they_are(api, hook):
    pod = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    path = "/api/v1/namespaces/default/pods"
    await api.call("POST", path, pod)
    await register(api, webhook(hook, rules=[RULE | {"resources": ["pods/binding"]}]), kind="Validating")
    binding = {"metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n"}}
    status, answer = await api.call("POST", f"{path}/p/binding", binding)
    assert status == 201, answer
    (request,) = hook.requests
    assert section(request, "kind") == {"group": "", "version": "v1", "kind": "Binding"}
    assert (section(request, "resource")["resource"], request["subResource"]) == ("pods", "binding")
    assert (request["operation"], section(section(request, "object"), "target")["name"]) == ("CREATE", "n")


@pytest.mark.parametrize(("policy", "asked"), [("Equivalent", ["v1beta1"]), ("Exact", [])])
async def test_equivalent_versions_are_converted(api, hook, policy, asked):
    group = "gateway.networking.k8s.io"
    rule = {
        "operations": ["*"],
        "apiGroups": [group],
        "apiVersions": ["v1beta1"],
        "resources": ["httproutes"],
    }
    await register(api, webhook(hook, rules=[rule], matchPolicy=policy))
    hook.answer = patching(LABEL)
    body = {"metadata": {"name": "r"}, "spec": {}}
    status, created = await api.call("POST", f"/apis/{group}/v1/namespaces/default/httproutes", body)
    assert (status, created["apiVersion"]) == (201, f"{group}/v1")
    told = [section(request, "object")["apiVersion"] for request in hook.requests]
    assert told == [f"{group}/{version}" for version in asked]
    assert [section(request, "requestKind")["version"] for request in hook.requests] == ["v1"] * len(asked)


# --- Services ---


async def service(api: Api, *, port: int, ready: bool = True) -> None:
    meta = {"name": "hook", "namespace": "default"}
    spec = {"ports": [{"port": 443, "targetPort": 8443, "name": "https"}]}
    await api.call("POST", "/api/v1/namespaces/default/services", {"metadata": meta, "spec": spec})
    body = {
        "metadata": meta | {"labels": {"kubernetes.io/service-name": "hook"}},
        "addressType": "IPv4",
        "ports": [{"name": "metrics", "port": 1}, {"name": "https", "port": port}],
        "endpoints": [{"addresses": ["10.1.2.3"], "conditions": {"ready": ready}}],
    }
    path = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices"
    status, answer = await api.call("POST", path, body)
    assert status == 201, answer


def by_service(hook: WebhookServer, **fields: object) -> Manifest:
    reference = {"name": "hook", "namespace": "default", "path": "/inject"} | fields
    return webhook(hook, clientConfig={"service": reference, "caBundle": hook.ca_bundle})


@pytest.fixture
def dialled(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Connections go to 127.0.0.1, whatever address was meant; returns those meant."""
    import anyio

    meant: list[str] = []
    connect = anyio.connect_tcp

    async def local(remote_host: str, remote_port: int, **more: object) -> object:
        meant.append(remote_host)
        return await connect("127.0.0.1", remote_port, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(anyio, "connect_tcp", local)
    return meant


async def test_a_service_is_reached_by_its_endpoints_and_known_by_its_name(api, hook, dialled):
    await service(api, port=hook.port)
    await register(api, by_service(hook))
    status, answer = await create(api)
    assert status == 201, answer
    assert dialled == ["10.1.2.3"]
    assert hook.paths == ["/inject?timeout=10s"]
    assert b"\r\nHost: hook.default.svc\r\n" in hook.heads[0]


async def test_the_certificate_must_be_the_services(api, dialled):
    async with webhook_server(dns_names=("other.default.svc",)) as hook:
        await service(api, port=hook.port)
        await register(api, by_service(hook))
        status, answer = await create(api)
        assert status == 500
        text = str(answer["message"])
        assert 'Post "https://hook.default.svc:443/inject?timeout=10s": tls: failed to verify' in text


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"name": "absent"}, 'failed to call webhook: service "absent" not found'),
        ({"port": 80}, 'no service port 80 found for service "hook"'),
        ({}, 'no endpoints available for service "hook"'),
    ],
)
async def test_a_service_that_cannot_be_reached_is_named(api, hook, fields, message):
    await service(api, port=hook.port, ready=False)
    await register(api, by_service(hook, **fields))
    status, answer = await create(api)
    assert status == 500
    assert message in str(answer["message"])


# --- the kinds ---


@pytest.mark.parametrize(
    ("fields", "place"),
    [
        ({"name": "short.name"}, "three segments"),
        ({"clientConfig": {}}, "exactly one of url or service"),
        ({"clientConfig": {"url": "http://h/"}}, "'https' is the only allowed URL scheme"),
        ({"clientConfig": {"url": "https:///p"}}, "host must be specified"),
        ({"clientConfig": {"url": "https://u@h/"}}, "user information is not permitted"),
        ({"clientConfig": {"url": "https://h/?a"}}, "query parameters are not permitted"),
        ({"clientConfig": {"url": "https://h/#a"}}, "fragments are not permitted"),
        ({"clientConfig": {"url": "https://h:99999/"}}, "must be a valid URL"),
        ({"clientConfig": {"url": "https://h/", "caBundle": "%"}}, "must be base64"),
        ({"clientConfig": {"url": "https://h/", "caBundle": "YQ=="}}, "unable to parse bytes as PEM"),
        (
            {"clientConfig": {"service": {"name": "s", "namespace": "n", "path": "p"}}},
            "must start with a '/'",
        ),
        ({"clientConfig": {"service": {"name": "s", "namespace": "n", "path": "/a?b"}}}, "without query"),
        ({"clientConfig": {"service": {"name": "s", "namespace": "n", "path": "/a//b"}}}, "no empty"),
        ({"rules": [RULE | {"operations": ["*", "CREATE"]}]}, "if '*' is present"),
        ({"rules": [RULE | {"resources": ["*/*", "pods"]}]}, "if '*/*' is present"),
        ({"rules": [RULE | {"apiGroups": []}]}, "webhooks[0].rules[0].apiGroups"),
        ({"sideEffects": "Some"}, "webhooks[0].sideEffects"),
        ({"timeoutSeconds": 31}, "webhooks[0].timeoutSeconds"),
        ({"timeoutSeconds": 0}, "webhooks[0].timeoutSeconds"),
        ({"admissionReviewVersions": ["v1beta1"]}, "must have v1"),
        (
            {"matchConditions": [{"name": "n", "expression": "true"}]},
            "webhooks[0].matchConditions: not supported",
        ),
        ({"reinvocationPolicy": "Always"}, "webhooks[0].reinvocationPolicy"),
    ],
)
async def test_a_configuration_that_is_wrong_is_refused_by_field(api, hook, fields, place):
    body = {"metadata": {"name": "hooks"}, "webhooks": [webhook(hook, **fields)]}
    status, answer = await api.call("POST", f"{GROUP}/mutatingwebhookconfigurations", body)
    assert status == 422
    assert place in str(answer["message"])


@pytest.mark.parametrize("kind", ["mutating", "validating"])
async def test_names_are_unique_in_a_configuration(api, hook, kind):
    body = {"metadata": {"name": "hooks"}, "webhooks": [webhook(hook), webhook(hook)]}
    status, answer = await api.call("POST", f"{GROUP}/{kind}webhookconfigurations", body)
    assert status == 422
    assert "the name 'hook.example.com' is there more than once" in str(answer["message"])


async def test_a_patch_of_a_deletion_is_refused(api, hook):
    await create(api)
    await register(api, webhook(hook))
    hook.answer = patching(LABEL)
    status, answer = await api.call("DELETE", f"{CONFIG_MAPS}/one")
    assert status == 500
    assert "not supported for this operation" in str(answer["message"])
    assert cast("str", answer["reason"]) == "InternalError"


async def test_commands_in_containers_are_told_as_connect(api, hook):
    rule = RULE | {"operations": ["CONNECT"], "resources": ["pods/exec"]}
    await register(api, webhook(hook, rules=[rule]), kind="Validating")
    asked: list[Manifest] = []

    def refuse(request: Manifest) -> Manifest:
        asked.append(request)
        return deny(request, message="nobody looks inside")

    hook.answer = refuse
    path = "/api/v1/namespaces/default/pods/p/exec"
    query = b"command=ls&command=-l&container=c&stdout=true"
    admission = WebhookAdmission(api.store, user=lambda: {"username": "me"})
    exec_ = PodExec(cast("Kubelets", None), cast("WatchStreams", None), admission)
    scope = {"type": "http", "path": path, "query_string": query, "headers": []}
    scope["path_params"] = {"namespace": "default", "name": "p"}
    with pytest.raises(Failure, match="denied the request: nobody looks inside"):
        await exec_.admit(HTTPConnection(scope))
    (request,) = asked
    assert (request["operation"], request["subResource"], request["name"]) == ("CONNECT", "exec", "p")
    assert section(request, "kind")["kind"] == "PodExecOptions"
    assert section(request, "object")["command"] == ["ls", "-l"]
    assert (section(request, "object")["container"], section(request, "object")["stdout"]) == ("c", True)
    assert request["options"] is None
    await register(api, webhook(hook, rules=[rule]), name="m")
    hook.answer = patching({"op": "add", "path": "/stdin", "value": True})
    with pytest.raises(Failure, match="attempted to modify what is executed"):
        await exec_.admit(HTTPConnection(scope))
