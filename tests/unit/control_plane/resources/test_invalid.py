"""Why an object was refused, field by field."""

import pytest

from control_plane.resources.deployment import Deployment
from control_plane.resources.http_route import HttpRoute
from control_plane.resources.invalid import Cause, InvalidResource, field_path
from tests.unit.control_plane.resources.refusal import manifest

ROUTE = """
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: split, namespace: shop, labels: {"a/b": "-", "c d": x}}
spec:
  useDefaultGateways: All
  parentRefs: [{group: "", kind: Service, name: catalog}]
  rules:
  - colour: red
    backendRefs: [{name: a, port: 1}, {name: b, port: "1", weight: -1}, {port: 1}]
"""


def test_every_refused_field_is_a_cause() -> None:
    with pytest.raises(InvalidResource) as refusal:
        HttpRoute.parse(manifest(ROUTE))
    assert (refusal.value.kind, refusal.value.name) == ("HTTPRoute", "split")
    found = {cause.field: (cause.reason, cause.message) for cause in refusal.value.causes}
    assert found.keys() == {
        "metadata.labels[a/b]",
        "metadata.labels[c d]",
        "spec.useDefaultGateways",
        "spec.rules[0].colour",
        "spec.rules[0].backendRefs[1].port",
        "spec.rules[0].backendRefs[1].weight",
        "spec.rules[0].backendRefs[2].name",
    }
    assert found["spec.useDefaultGateways"] == ("FieldValueNotSupported", "not supported yet")
    assert found["spec.rules[0].colour"] == ("FieldValueForbidden", "unknown field")
    assert found["spec.rules[0].backendRefs[2].name"] == ("FieldValueRequired", "required")
    assert found["spec.rules[0].backendRefs[1].port"][0] == "FieldValueTypeInvalid"
    reason, message = found["spec.rules[0].backendRefs[1].weight"]
    assert reason == "FieldValueInvalid"
    assert message == "invalid value -1: must be greater than or equal to 0"


def test_the_message_lists_the_fields() -> None:
    error = InvalidResource("Pod", "a", [Cause("spec.x", "unknown field"), Cause("", "odd")])
    assert str(error) == 'Pod "a" is invalid: spec.x: unknown field; odd'


def test_a_too_short_list_is_reported_only_when_it_is_one() -> None:
    text = ROUTE[: ROUTE.index("  rules:")] + "  rules: []\n"
    with pytest.raises(InvalidResource, match=r"spec\.rules: must have at least 1 item;"):
        HttpRoute.parse(manifest(text))


def test_a_long_value_is_cut() -> None:
    long = manifest(ROUTE.replace("name: split", f"name: {'A' * 500}"))
    with pytest.raises(InvalidResource) as refusal:
        HttpRoute.parse(long)
    (cause,) = (cause for cause in refusal.value.causes if cause.field == "metadata.name")
    assert len(cause.message) < 250


@pytest.mark.parametrize(
    ("location", "path"),
    [
        ((), ""),
        (("spec", "rules", 0, "matches", 12), "spec.rules[0].matches[12]"),
        (("metadata", "labels", "a/b"), "metadata.labels[a/b]"),
        (("data", "-", "[key]"), "data[-]"),
    ],
)
def test_field_path(location: tuple[int | str, ...], path: str) -> None:
    assert field_path(location) == path


@pytest.mark.parametrize(
    ("spec", "field", "message"),
    [
        ({"replicas": "3"}, "replicas", "invalid value '3': must be a valid integer; leave out the quotes"),
        ({"replicas": True}, "replicas", "invalid value true: must be a valid integer"),
        ({"paused": "yes"}, "paused", "invalid value 'yes': must be a valid boolean; leave out the quotes"),
        ({"template": {"spec": {"containers": []}}}, "template.spec.containers", "must have at least 1 item"),
        (
            {"template": {"spec": {"containers": [{"name": "a", "env": [{"name": "A", "value": 1}]}]}}},
            "template.spec.containers[0].env[0].value",
            "invalid value 1: must be a valid string; put it in quotes",
        ),
    ],
)
def test_what_is_wrong_is_said_in_words_of_yaml(spec: dict[str, object], field: str, message: str) -> None:
    template = {"spec": {"containers": [{"name": "a"}]}}
    whole = {"selector": {"matchLabels": {"a": "b"}}, "template": template, **spec}
    wanted = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": whole}
    with pytest.raises(InvalidResource) as refusal:
        Deployment.parse(wanted)
    assert [(cause.field, cause.message) for cause in refusal.value.causes] == [(f"spec.{field}", message)]
