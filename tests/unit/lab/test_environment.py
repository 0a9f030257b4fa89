"""Variables and command of a container."""

import pytest

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
    needed_config_maps,
)
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
    variables = container_environment(made, facts(), {"c": {"mode": "fast"}}, {"HOST": "h"})
    assert variables == {
        "HOST": "h",
        "PORT": "80",
        "URL": "http://h:80",
        "IP": "10.244.0.7",
        "MODE": "fast",
        "NONE": "",
    }


def test_a_missing_config_map_key_is_refused_by_name() -> None:
    made = container(env=[{"name": "M", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "mode"}}}])
    with pytest.raises(PodStartError, match="env M: ConfigMap c has no key mode"):
        container_environment(made, facts(), {}, {})


def test_the_command_is_command_and_args_expanded() -> None:
    made = container(command=["run", "$(A)"], args=["--port=$(A)"])
    assert container_command(made, {"A": "1"}) == ["run", "1", "--port=1"]


@pytest.mark.parametrize(("image", "said"), [("", "set `command`"), ("nginx", "'nginx' is not used")])
def test_a_container_without_a_command_is_refused(image: str, said: str) -> None:
    with pytest.raises(PodStartError, match=said):
        container_command(container(image=image, args=["x"]), {})


def test_config_maps_of_variables_and_volumes_are_found() -> None:
    manifest = pod_manifest(
        containers=[
            {
                "name": "app",
                "env": [
                    {"name": "A", "valueFrom": {"configMapKeyRef": {"name": "one", "key": "k"}}},
                    {"name": "B", "value": "x"},
                    {"name": "C", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                ],
            }
        ],
        volumes=[
            {"name": "v", "configMap": {"name": "two"}},
            {"name": "w", "projected": {"sources": [{"configMap": {"name": "three"}}]}},
            {"name": "e", "emptyDir": {}},
        ],
    )
    assert needed_config_maps(Pod.parse(manifest)) == {"one", "two", "three"}
