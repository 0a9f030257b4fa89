"""What a pod says of the sidecar in a container of its name."""

import pytest

from injector.errors import InjectionError
from injector.manifest import Manifest, objects, section
from injector.patch import inject, judge

ENABLED: Manifest = {"metadata": {"labels": {"meshproxy.io/injection": "enabled"}}}


def pod(override: Manifest, field: str = "containers") -> Manifest:
    spec: Manifest = {"containers": [{"name": "app"}]}
    spec[field] = [*objects(spec, field), {"name": "meshproxy", "image": "auto", **override}]
    return {"metadata": {"name": "a"}, "spec": spec}


def sidecar(override: Manifest, field: str = "containers") -> Manifest:
    spec = section(inject(pod(override, field), ENABLED), "spec")
    assert [each["name"] for each in objects(spec, "containers")] == ["app"]
    found = [each for each in objects(spec, "initContainers") if each["name"] == "meshproxy"]
    assert len(found) == 1
    return found[0]


@pytest.mark.parametrize("field", ["containers", "initContainers"])
def test_what_it_says_counts_and_the_rest_stays(field: str) -> None:
    said: Manifest = {
        "restartPolicy": "Always",
        "imagePullPolicy": "Always",
        "env": [{"name": "MESHPROXY_LOG_LEVEL", "value": "debug"}, {"name": "A", "value": "b"}],
        "resources": {"limits": {"memory": "1Gi"}},
        "volumeMounts": [{"name": "own", "mountPath": "/etc/podinfo"}, {"name": "own", "mountPath": "/own"}],
        "securityContext": {"runAsUser": 1337, "readOnlyRootFilesystem": False},
        "startupProbe": {"tcpSocket": {"port": 15021}},
    }
    plain, made = sidecar({}), sidecar(said, field)
    env = {entry["name"]: entry.get("value") for entry in objects(made, "env")}
    assert (env["MESHPROXY_LOG_LEVEL"], env["A"]) == ("debug", "b")
    assert list(env)[:-1] == [entry["name"] for entry in objects(plain, "env")]
    assert made["resources"] == {
        "requests": {"cpu": "100m", "memory": "64Mi"},
        "limits": {"memory": "1Gi"},
    }
    mounts = {each["mountPath"]: each["name"] for each in objects(made, "volumeMounts")}
    assert (mounts["/etc/podinfo"], mounts["/own"]) == ("own", "own")
    assert section(made, "securityContext")["readOnlyRootFilesystem"] is False
    assert section(made, "securityContext")["runAsNonRoot"] is True
    assert made["startupProbe"] == {"tcpSocket": {"port": 15021}}
    assert (made["imagePullPolicy"], made["command"]) == ("Always", plain["command"])


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"command": ["sh"]}, "container 'meshproxy': command is the injector's; remove it. What can be set"),
        ({"securityContext": {"runAsUser": 0}}, "securityContext.runAsUser must stay 1337"),
        ({"securityContext": {"runAsNonRoot": False}}, "securityContext.runAsNonRoot must stay True"),
    ],
)
def test_what_would_take_the_sidecar_out_of_its_place_is_refused(said: Manifest, message: str) -> None:
    with pytest.raises(InjectionError, match=message):
        inject(pod(said), ENABLED)


def test_an_app_must_be_left() -> None:
    alone: Manifest = {"spec": {"containers": [{"name": "meshproxy", "image": "auto"}]}}
    with pytest.raises(InjectionError, match="no container but the sidecar's; add the app's"):
        inject(alone, ENABLED)


@pytest.mark.parametrize(
    ("said", "workers"),
    [
        ({}, None),
        ({"resources": {"limits": {"cpu": "900m"}}}, None),
        ({"resources": {"limits": {"cpu": "1001m"}}}, "2"),
        ({"resources": {"limits": {"cpu": 3}}}, "3"),
        ({"resources": {"limits": {"cpu": "1k"}}}, "64"),
        (
            {"resources": {"limits": {"cpu": "4"}}, "env": [{"name": "MESHPROXY_CONCURRENCY", "value": "1"}]},
            "1",
        ),
    ],
)
def test_workers_are_as_many_as_the_limit_has_cores(said: Manifest, workers: str | None) -> None:
    env = {entry["name"]: entry.get("value") for entry in objects(sidecar(said), "env")}
    assert env.get("MESHPROXY_CONCURRENCY") == workers


def test_the_annotation_for_workers_counts_more() -> None:
    asked = pod({"resources": {"limits": {"cpu": "4"}}})
    section(asked, "metadata")["annotations"] = {"sidecar.meshproxy.io/concurrency": "2"}
    found = objects(section(inject(asked, ENABLED), "spec"), "initContainers")[1]
    assert {"name": "MESHPROXY_CONCURRENCY", "value": "2"} in objects(found, "env")


def test_windows_pods_get_none() -> None:
    windows: Manifest = {"spec": {"os": {"name": "windows"}, "containers": [{"name": "app"}]}}
    assert judge(windows, ENABLED).skipped == "os.name is windows, and the interception is for Linux"
