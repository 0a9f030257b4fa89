"""Variables and command of a container."""

import pytest

from control_plane.resources.config_map import ConfigMap
from control_plane.resources.container import Container
from control_plane.resources.pod import Pod
from lab.environment import (
    PodFacts,
    PodStartError,
    container_command,
    container_environment,
    downward_map,
    expand,
    field_value,
)
from lab.pod_sources import NeededSources, PodSources, config_map_data, needed_sources
from tests.unit.lab.builders import pod, pod_manifest


def facts() -> PodFacts:
    return PodFacts(pod(serviceAccountName="web"), "10.244.0.7", "10.244.0.1", "node")


def container(**fields: object) -> Container:
    [made] = pod(containers=[{"name": "app", **fields}]).spec.containers
    return made


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("metadata.name", "web-1"),
        ("metadata.namespace", "shop"),
        ("metadata.uid", "uid-web-1"),
        ("spec.nodeName", "node"),
        ("spec.serviceAccountName", "web"),
        ("status.podIP", "10.244.0.7"),
        ("status.hostIP", "10.244.0.1"),
        ("metadata.labels['app']", "web"),
        ("metadata.labels['none']", ""),
        ("metadata.labels", 'app="web"\n'),
        ("metadata.annotations", ""),
    ],
)
def test_a_field_reference_reads_the_pod(path: str, value: str) -> None:
    assert field_value(facts(), path) == value


def test_an_unknown_field_is_refused_by_name() -> None:
    with pytest.raises(PodStartError, match=r"spec\.colour.*known are metadata\.name"):
        field_value(facts(), "spec.colour")


def test_a_downward_map_escapes_quotes_backslashes_and_newlines() -> None:
    assert downward_map({"b": 'say "hi"\n', "a": "c:\\"}) == 'a="c:\\\\"\nb="say \\"hi\\"\\n"\n'


@pytest.mark.parametrize(
    ("text", "expanded"),
    [("$(A)/x", "1/x"), ("$(B)", "$(B)"), ("$$(A)", "$(A)"), ("$A", "$A"), ("a$$b", "a$b"), ("", "")],
)
def test_references_are_expanded_as_kubernetes_does(text: str, expanded: str) -> None:
    assert expand(text, {"A": "1"}) == expanded


def test_variables_come_from_values_earlier_variables_fields_and_config_maps() -> None:
    made = container(
        env=[
            {"name": "PORT", "value": "80"},
            {"name": "URL", "value": "http://$(HOST):$(PORT)"},
            {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            {"name": "MODE", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "mode"}}},
            {
                "name": "NONE",
                "valueFrom": {"configMapKeyRef": {"name": "c", "key": "none", "optional": True}},
            },
        ]
    )
    variables = container_environment(made, facts(), PodSources({"c": {"mode": b"fast"}}), {"HOST": "h"})
    assert variables == {
        "HOST": "h",
        "PORT": "80",
        "URL": "http://h:80",
        "IP": "10.244.0.7",
        "MODE": "fast",
    }


def test_a_missing_config_map_key_is_refused_by_name() -> None:
    made = container(env=[{"name": "M", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "mode"}}}])
    with pytest.raises(PodStartError, match='configmap "c" not found'):
        container_environment(made, facts(), PodSources(), {})
    with pytest.raises(PodStartError, match="couldn't find key mode in ConfigMap c"):
        container_environment(made, facts(), PodSources({"c": {}}), {})


def test_all_of_a_config_map_or_secret_may_become_variables_and_env_goes_before_them() -> None:
    made = container(
        envFrom=[{"configMapRef": {"name": "c"}}, {"prefix": "S_", "secretRef": {"name": "s"}}],
        env=[
            {"name": "A", "value": "own"},
            {"name": "P", "valueFrom": {"secretKeyRef": {"name": "s", "key": "p"}}},
        ],
    )
    sources = PodSources({"c": {"A": b"1", "B": b"2"}}, {"s": {"p": b"secret"}})
    variables = container_environment(made, facts(), sources, {})
    assert variables == {"A": "own", "B": "2", "S_p": "secret", "P": "secret"}
    with pytest.raises(PodStartError, match='secret "s" not found'):
        container_environment(made, facts(), PodSources({"c": {}}), {})
    optional = container(envFrom=[{"configMapRef": {"name": "none", "optional": True}}])
    assert container_environment(optional, facts(), PodSources(), {}) == {}


def test_resources_are_told_in_units_and_what_has_no_limit_has_the_nodes() -> None:
    def value(resource: str, **more: str) -> str:
        source = {"resourceFieldRef": {"resource": resource, **more}}
        made = container(env=[{"name": "R", "valueFrom": source}], resources={"limits": {"memory": "64Mi"}})
        spec = pod(containers=[made.model_dump(by_alias=True, exclude_unset=True, mode="json")])
        known = PodFacts(spec, "10.0.0.1", "10.0.0.2", "node", allocatable={"cpu": "4"})
        return container_environment(made, known, PodSources(), {})["R"]

    assert value("limits.memory", divisor="1Mi") == "64"
    assert value("limits.cpu", divisor="1m") == "4000"
    assert value("requests.cpu") == "0"
    with pytest.raises(PodStartError, match="'colour'"):
        value("colour")
    with pytest.raises(PodStartError, match="'other'"):
        value("limits.cpu", containerName="other")


def test_variables_from_files_of_volumes_are_refused() -> None:
    source = {"fileKeyRef": {"volumeName": "v", "path": "f", "key": "k"}}
    with pytest.raises(PodStartError, match="fileKeyRef"):
        container_environment(container(env=[{"name": "F", "valueFrom": source}]), facts(), PodSources(), {})


def test_the_command_is_command_and_args_expanded() -> None:
    made = container(command=["run", "$(A)"], args=["--port=$(A)"])
    assert container_command(made, {"A": "1"}) == ["run", "1", "--port=1"]


@pytest.mark.parametrize(("image", "said"), [("", "set `command`"), ("nginx", "'nginx' is not used")])
def test_a_container_without_a_command_is_refused(image: str, said: str) -> None:
    with pytest.raises(PodStartError, match=said):
        container_command(container(image=image, args=["--port=1"]), {})
    with pytest.raises(PodStartError, match=said):
        container_command(container(image=image), {})


def test_args_alone_are_the_command_since_images_have_no_entry_point() -> None:
    assert container_command(container(image="busybox", args=["sh", "-c", "true"]), {}) == [
        "sh",
        "-c",
        "true",
    ]


def test_config_maps_and_secrets_of_variables_and_volumes_are_found() -> None:
    manifest = pod_manifest(
        containers=[
            {
                "name": "app",
                "env": [
                    {"name": "A", "valueFrom": {"configMapKeyRef": {"name": "one", "key": "k"}}},
                    {"name": "B", "value": "x"},
                    {"name": "S", "valueFrom": {"secretKeyRef": {"name": "s1", "key": "k"}}},
                    {"name": "C", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                ],
                "envFrom": [{"configMapRef": {"name": "four"}}, {"secretRef": {"name": "s2"}}],
            }
        ],
        volumes=[
            {"name": "s", "secret": {"secretName": "s3"}},
            {"name": "t", "projected": {"sources": [{"secret": {"name": "s4"}}]}},
            {"name": "v", "configMap": {"name": "two"}},
            {"name": "w", "projected": {"sources": [{"configMap": {"name": "three"}}]}},
            {"name": "e", "emptyDir": {}},
        ],
    )
    assert needed_sources(Pod.parse(manifest)) == NeededSources(
        frozenset({"one", "two", "three", "four"}), frozenset({"s1", "s2", "s3", "s4"})
    )


def test_values_of_a_config_map_are_bytes() -> None:
    meta = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}}
    made = ConfigMap.parse({**meta, "data": {"a": "1"}, "binaryData": {"b": "/w=="}})
    assert config_map_data(made) == {"a": b"1", "b": b"\xff"}
