"""The Python client of Kubernetes, unmodified, against our API server."""

import asyncio
from pathlib import Path

import pytest
from kubernetes import client, config, utils, watch

from control_plane.kubeconfig import write_kubeconfig
from tests.unit.control_plane.apiserver.serving import serving

DEPLOYMENT = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "web"},
    "spec": {
        "replicas": 2,
        "selector": {"matchLabels": {"app": "web"}},
        "template": {
            "metadata": {"labels": {"app": "web"}},
            "spec": {"containers": [{"name": "app", "image": "shop:1"}]},
        },
    },
}
ROUTE = {
    "apiVersion": "gateway.networking.k8s.io/v1",
    "kind": "HTTPRoute",
    "metadata": {"name": "split"},
    "spec": {"rules": [{"backendRefs": [{"name": "web", "port": 80}]}]},
}


def use(api: client.ApiClient) -> None:
    """What its users do; it blocks, so it runs in a thread."""
    core, apps, custom = client.CoreV1Api(api), client.AppsV1Api(api), client.CustomObjectsApi(api)
    assert {one.metadata.name for one in core.list_namespace().items} >= {"default", "kube-system"}
    utils.create_from_dict(api, DEPLOYMENT, namespace="default")
    made = apps.read_namespaced_deployment("web", "default")
    assert (made.spec.replicas, made.spec.strategy.type) == (2, "RollingUpdate")
    apps.patch_namespaced_deployment("web", "default", {"spec": {"replicas": 3}})
    made = apps.read_namespaced_deployment("web", "default")
    made.metadata.labels = {"tier": "front"}
    assert apps.replace_namespaced_deployment("web", "default", made).spec.replicas == 3
    seen = watch.Watch().stream(core.list_namespaced_config_map, "default", timeout_seconds=1)
    core.create_namespaced_config_map("default", client.V1ConfigMap(metadata={"name": "c"}, data={"a": "b"}))
    assert ("ADDED", "c") in {(one["type"], one["object"].metadata.name) for one in seen}
    part = core.list_service_account_for_all_namespaces(limit=1)
    rest = core.list_service_account_for_all_namespaces(limit=9, _continue=part.metadata._continue)
    assert len(part.items + rest.items) == 3
    group, version = ROUTE["apiVersion"].split("/")
    custom.create_namespaced_custom_object(group, version, "default", "httproutes", ROUTE)
    assert custom.list_cluster_custom_object(group, version, "httproutes")["items"][0]["kind"] == "HTTPRoute"
    assert client.VersionApi(api).get_code().git_version.startswith("v1.")
    discover(api)
    review = client.V1SelfSubjectAccessReview(
        spec={"resourceAttributes": {"verb": "get", "resource": "pods"}}
    )
    assert client.AuthorizationV1Api(api).create_self_subject_access_review(review).status.allowed
    core.delete_namespaced_config_map("c", "default")
    with pytest.raises(client.ApiException) as refused:
        core.read_namespaced_config_map("c", "default")
    assert (refused.value.status, refused.value.reason) == (404, "Not Found")


def discover(api: client.ApiClient) -> None:
    """These ask with a slash at the end."""
    assert client.CoreApi(api).get_api_versions().versions == ["v1"]
    assert "apps" in {group.name for group in client.ApisApi(api).get_api_versions().groups}
    assert client.AppsApi(api).get_api_group().preferred_version.version == "v1"
    assert "deployments" in {one.name for one in client.AppsV1Api(api).get_api_resources().resources}


async def test_its_users_find_what_they_know(tmp_path: Path) -> None:
    async with serving(tmp_path) as served:
        write_kubeconfig(tmp_path / "kubeconfig", served.config)
        with config.new_client_from_config(str(tmp_path / "kubeconfig")) as api:
            await asyncio.to_thread(use, api)
