"""Who labels a Namespace for another mesh, or wrongly, is told."""

import pytest

from control_plane.apiserver.injection_advice import advice
from control_plane.resources.base import Resource
from control_plane.resources.registry import parse
from tests.unit.control_plane.apiserver.conftest import Api


def namespace(
    labels: dict[str, str], annotations: dict[str, str] | None = None, kind: str = "Namespace"
) -> Resource:
    meta = {"name": "shop", "labels": labels, "annotations": annotations or {}}
    return parse({"apiVersion": "v1", "kind": kind, "metadata": meta})


OURS = {"meshproxy.io/injection": "enabled"}
ISTIO = {"istio-injection": "enabled"}


@pytest.mark.parametrize(
    "quiet",
    [
        namespace({}),
        namespace(OURS),
        namespace({"meshproxy.io/injection": "disabled"}),
        namespace({**OURS, **ISTIO}),
        namespace(ISTIO, kind="ConfigMap"),
    ],
)
def test_nothing_is_said_where_all_is_well(quiet: Resource) -> None:
    assert list(advice(quiet, None)) == []


@pytest.mark.parametrize(
    ("labels", "annotations", "name"),
    [
        (ISTIO, {}, "istio-injection"),
        ({"istio.io/rev": "default"}, {}, "istio.io/rev"),
        ({}, {"linkerd.io/inject": "enabled"}, "linkerd.io/inject"),
    ],
)
def test_labels_of_other_meshes(labels: dict[str, str], annotations: dict[str, str], name: str) -> None:
    [text] = advice(namespace(labels, annotations), namespace({}))
    assert text == f"{name} has no effect: pods get a sidecar by the label meshproxy.io/injection=enabled"


def test_a_value_that_enables_nothing() -> None:
    [text] = advice(namespace({"meshproxy.io/injection": "true"}), None)
    assert "is 'true', which enables nothing" in text


def test_it_is_said_once() -> None:
    assert list(advice(namespace({**ISTIO, "team": "a"}), namespace(ISTIO))) == []


async def test_it_travels_as_a_warning(api: Api) -> None:
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop", "labels": ISTIO}}
    answer = await api.http.post("/api/v1/namespaces", json=body)
    assert answer.status_code == 201
    assert "istio-injection has no effect" in answer.headers["warning"]
