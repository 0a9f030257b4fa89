"""What is filled in where nothing is said, and that it stays valid and stays the same."""

import pytest

from control_plane.apiserver.defaulting import NAME_LABEL, defaulted
from control_plane.resources.registry import BY_KIND
from tests.unit.control_plane.apiserver.conftest import Api

CONTAINER = {
    "name": "app",
    "image": "shop",
    "ports": [{"containerPort": 80}],
    "livenessProbe": {"httpGet": {"port": 80}},
}
TEMPLATE = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [CONTAINER]}}
SELECTOR = {"matchLabels": {"app": "web"}}
OBJECTS = [
    {"apiVersion": "v1", "kind": "Pod", "spec": {"containers": [CONTAINER]}},
    {"apiVersion": "apps/v1", "kind": "Deployment", "spec": {"selector": SELECTOR, "template": TEMPLATE}},
    {"apiVersion": "apps/v1", "kind": "ReplicaSet", "spec": {"selector": SELECTOR, "template": TEMPLATE}},
    {"apiVersion": "v1", "kind": "Service", "spec": {"ports": [{"port": 80}]}},
    {"apiVersion": "v1", "kind": "Secret", "stringData": {"k": "v"}},
    {"apiVersion": "v1", "kind": "Namespace"},
]


@pytest.mark.parametrize("manifest", OBJECTS, ids=lambda one: one["kind"])
def test_what_is_filled_in_is_valid_and_stays(manifest: dict):
    named = {**manifest, "metadata": {"name": "x"}}
    filled = defaulted(manifest["kind"], named)
    assert filled != named
    assert defaulted(manifest["kind"], filled) == filled
    BY_KIND[manifest["kind"]].model.parse(filled)


def test_a_deployment():
    spec = defaulted("Deployment", OBJECTS[1])["spec"]
    assert spec["replicas"] == 1
    assert spec["strategy"]["rollingUpdate"] == {"maxUnavailable": "25%", "maxSurge": "25%"}
    pod = spec["template"]["spec"]
    assert (pod["restartPolicy"], pod["containers"][0]["ports"][0]["protocol"]) == ("Always", "TCP")
    assert pod["containers"][0]["livenessProbe"]["httpGet"] == {"port": 80, "path": "/", "scheme": "HTTP"}
    assert "serviceAccountName" not in pod
    other = {**OBJECTS[1]["spec"], "strategy": {"type": "Recreate"}, "replicas": 0}
    spec = defaulted("Deployment", {"spec": other})["spec"]
    assert (spec["replicas"], spec["strategy"]) == (0, {"type": "Recreate"})


@pytest.mark.parametrize(
    ("image", "policy"),
    [
        ("shop", "Always"),
        ("registry:5000/shop", "Always"),
        ("shop:latest", "Always"),
        ("registry:5000/shop:1", "IfNotPresent"),
        ("shop@sha256:00", "IfNotPresent"),
    ],
)
def test_images(image: str, policy: str):
    pod = defaulted("Pod", {"spec": {"containers": [{"image": image}]}})
    assert pod["spec"]["containers"][0]["imagePullPolicy"] == policy


def test_a_pod_and_its_parts():
    spec = {
        "serviceAccountName": "shop",
        "volumes": [
            {"configMap": {"name": "c"}},
            {"projected": {"sources": [{"serviceAccountToken": {"path": "t"}}, {"configMap": {}}]}},
        ],
        "initContainers": [
            {
                "env": [{"valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
                "lifecycle": {"preStop": {"httpGet": {"port": 1}}},
                "startupProbe": {"grpc": {"port": 2}},
            }
        ],
    }
    found = defaulted("Pod", {"spec": spec})["spec"]
    assert found["serviceAccount"] == "shop"
    assert found["volumes"][0]["configMap"]["defaultMode"] == 0o644
    assert found["volumes"][1]["projected"]["sources"][0]["serviceAccountToken"]["expirationSeconds"] == 3600
    (container,) = found["initContainers"]
    assert container["env"][0]["valueFrom"]["fieldRef"]["apiVersion"] == "v1"
    assert container["lifecycle"]["preStop"]["httpGet"]["scheme"] == "HTTP"
    assert container["startupProbe"]["grpc"]["service"] == ""


def test_services():
    ports = [{"port": 80}, {"port": 81, "targetPort": "web"}]
    spec = defaulted(
        "Service", {"spec": {"type": "NodePort", "sessionAffinity": "ClientIP", "ports": ports}}
    )["spec"]
    assert [port["targetPort"] for port in spec["ports"]] == [80, "web"]
    assert spec["externalTrafficPolicy"] == "Cluster"
    assert spec["sessionAffinityConfig"]["clientIP"]["timeoutSeconds"] == 10_800
    named = defaulted("Service", {"spec": {"type": "ExternalName", "externalName": "a.example"}})["spec"]
    assert "internalTrafficPolicy" not in named


def test_jobs():
    template = {"spec": {"containers": [], "restartPolicy": "Never"}}
    alone = defaulted("Job", {"spec": {"template": template}})["spec"]
    assert (alone["completions"], alone["parallelism"], alone["backoffLimit"]) == (1, 1, 6)
    assert "completions" not in defaulted("Job", {"spec": {"parallelism": 2}})["spec"]


def test_the_rest():
    ports = defaulted("EndpointSlice", {"ports": [{"port": 1}]})["ports"]
    assert ports == [{"port": 1, "name": "", "protocol": "TCP"}]
    secret = defaulted("Secret", {"data": {"a": "eA=="}, "stringData": {"b": "y"}})
    assert secret == {"type": "Opaque", "data": {"a": "eA==", "b": "eQ=="}}
    space = defaulted("Namespace", {"metadata": {"name": "shop"}})
    assert space["metadata"]["labels"] == {NAME_LABEL: "shop"}


@pytest.mark.parametrize(
    "kind", ["Pod", "Deployment", "Service", "Job", "Secret", "EndpointSlice", "Namespace"]
)
@pytest.mark.parametrize("manifest", [{}, {"spec": 1}, {"spec": {"ports": 1}}, {"spec": {"containers": [1]}}])
def test_nonsense_is_left_to_validation(kind: str, manifest: dict):
    defaulted(kind, manifest)


async def test_what_is_stored_has_them(api: Api):
    code, made = await api.call(
        "POST", "/api/v1/namespaces/default/services", {**OBJECTS[3], "metadata": {"name": "x"}}
    )
    assert (code, made["spec"]["type"]) == (201, "ClusterIP")  # type: ignore[index]
    path = "/api/v1/namespaces/default/services/x"
    _, again = await api.call("PUT", path, {**OBJECTS[3], "metadata": {"name": "x"}})
    assert again["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]  # type: ignore[index]
