"""In and out again gives the pod as it was."""

import copy

import pytest

from injector.errors import InjectionError
from injector.manifest import Manifest
from injector.patch import inject
from injector.pod_template import change_pods
from injector.uninject import uninject

ENABLED: Manifest = {"metadata": {"name": "shop", "labels": {"meshproxy.io/injection": "enabled"}}}
PODS: list[Manifest] = [
    {"metadata": {"name": "a"}, "spec": {"containers": [{"name": "app"}]}},
    {
        "metadata": {
            "name": "b",
            "labels": {"app": "b", "meshproxy.io/tls-mode": "own"},
            "annotations": {"prometheus.io/scrape": "true", "prometheus.io/port": "9100", "x": "y"},
        },
        "spec": {
            "initContainers": [{"name": "first"}],
            "containers": [
                {
                    "name": "app",
                    "ports": [{"name": "web", "containerPort": 80}],
                    "livenessProbe": {"httpGet": {"port": "web"}},
                },
                {"name": "meshproxy", "image": "auto", "resources": {"limits": {"cpu": "2"}}},
            ],
            "volumes": [{"name": "data"}],
        },
    },
    {
        "metadata": {"name": "edge", "labels": {"gateway.networking.k8s.io/gateway-name": "edge"}},
        "spec": {"containers": [{"name": "meshproxy", "image": "auto"}]},
    },
]


@pytest.mark.parametrize("pod", PODS)
def test_in_and_out_again(pod: Manifest) -> None:
    injected = inject(pod, ENABLED)
    before = copy.deepcopy(injected)
    assert injected != pod
    assert uninject(injected) == pod
    assert injected == before


def test_a_pod_without_a_sidecar_stays() -> None:
    assert uninject(PODS[0]) is PODS[0]


@pytest.mark.parametrize("text", ["injected", "[]", "{}"])
def test_another_injectors_mark_is_refused(text: str) -> None:
    marked = {"metadata": {"annotations": {"meshproxy.io/status": text}}, "spec": {}}
    with pytest.raises(InjectionError, match=r"is not one of ours: .* take the sidecar out by hand"):
        uninject(marked)


def test_probes_that_cannot_be_put_back_are_said_so() -> None:
    injected = inject(PODS[1], ENABLED)
    spec = injected["spec"]
    assert isinstance(spec, dict)
    for entry in spec["initContainers"][1]["env"]:
        if entry["name"] == "MESHPROXY_APP_PROBES":
            entry["value"] = "{"
    with pytest.raises(InjectionError, match="MESHPROXY_APP_PROBES cannot be read"):
        uninject(injected)


@pytest.mark.parametrize(
    ("kind", "spec"),
    [
        ("Deployment", {"template": {"spec": {"containers": [{"name": "app"}]}}}),
        (
            "StatefulSet",
            {"template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "app"}]}}},
        ),
        ("CronJob", {"jobTemplate": {"spec": {"template": {"spec": {"containers": [{"name": "app"}]}}}}}),
    ],
)
def test_pods_are_found_inside_what_makes_them(kind: str, spec: Manifest) -> None:
    manifest: Manifest = {"kind": kind, "metadata": {"name": "web", "namespace": "shop"}, "spec": spec}
    seen = []

    def put_in(pod: Manifest, workload: str) -> Manifest:
        seen.append((workload, pod["metadata"]))
        return inject(pod, ENABLED)

    injected = change_pods(manifest, put_in)
    assert [workload for workload, _ in seen] == ["web"]
    assert all(meta["namespace"] == "shop" for _, meta in seen if isinstance(meta, dict))
    assert "meshproxy-init" in str(injected)
    assert "'namespace': 'shop'" not in str(injected["spec"])
    assert change_pods(injected, lambda pod, workload: uninject(pod)) == manifest
    assert change_pods(manifest, lambda pod, workload: pod) is manifest


def test_lists_and_other_kinds() -> None:
    service: Manifest = {"kind": "Service", "metadata": {"name": "web"}}
    pods: Manifest = {"kind": "List", "items": [{"kind": "Pod", **PODS[0]}, service, "x"]}
    injected = change_pods(pods, lambda pod, workload: inject(pod, ENABLED))
    items = injected["items"]
    assert isinstance(items, list)
    assert items[1] is service
    assert "initContainers" in items[0]["spec"]
    assert change_pods(service, lambda pod, workload: {}) is service
    assert change_pods(pods, lambda pod, workload: pod) is pods
