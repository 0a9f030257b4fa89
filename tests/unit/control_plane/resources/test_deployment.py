"""Deployment."""

import pytest

from control_plane.resources.deployment import Deployment
from control_plane.resources.invalid import InvalidResource
from control_plane.resources.replica_set import ReplicaSet
from tests.unit.control_plane.resources.refusal import causes, manifest, with_spec

DEPLOYMENT = manifest("""
apiVersion: apps/v1
kind: Deployment
metadata: {name: catalog, namespace: shop}
spec:
  selector: {matchLabels: {app: catalog}}
  strategy: {type: RollingUpdate, rollingUpdate: {maxSurge: 1, maxUnavailable: 50%}}
  template:
    metadata: {creationTimestamp: null, labels: {app: catalog, version: v1}}
    spec: {containers: [{name: app, command: [app]}]}
status: {replicas: 1, readyReplicas: 1, conditions: [{type: Available, status: "True", lastUpdateTime: x}]}
""")
TEMPLATE_SPEC = {"containers": [{"name": "app"}]}


def test_defaults() -> None:
    assert Deployment.parse(DEPLOYMENT).spec.replicas == 1


@pytest.mark.parametrize(
    ("spec", "field", "message"),
    [
        ({"replicas": -1}, "spec.replicas", "greater than or equal to 0"),
        ({"selector": {}}, "spec", "selector: must not be empty"),
        ({"selector": {"matchLabels": {}}}, "spec", "selector: must not be empty"),
        ({"selector": {"matchLabels": {"app": "other"}}}, "spec", "app=other is not among"),
        (
            {"selector": {"matchExpressions": [{"key": "app", "operator": "DoesNotExist"}]}},
            "spec",
            "matchExpressions: template.metadata.labels do not satisfy them",
        ),
        ({"strategy": {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": "0%"}}}, "*", "may not be 0 when"),
        ({"strategy": {"type": "Recreate", "rollingUpdate": {}}}, "*", "may not be specified"),
        ({"minReadySeconds": 600}, "spec", "must be greater than minReadySeconds"),
        (
            {
                "template": {
                    "metadata": {"labels": {"app": "catalog"}},
                    "spec": {**TEMPLATE_SPEC, "restartPolicy": "Never"},
                }
            },
            "spec",
            "must be Always",
        ),
        ({"template": {"spec": {"containers": []}}}, "spec.template.spec.containers", "at least 1"),
        (
            {
                "template": {
                    "metadata": {"labels": {"app": "catalog"}},
                    "spec": {**TEMPLATE_SPEC, "activeDeadlineSeconds": 5},
                }
            },
            "spec",
            "activeDeadlineSeconds: must not be set",
        ),
    ],
)
def test_refuses(spec: dict[str, object], field: str, message: str) -> None:
    found = causes(with_spec(DEPLOYMENT, **spec))
    assert message in (found[field] if field != "*" else "".join(found.values()))


REPLICA_SET = {
    **DEPLOYMENT,
    "kind": "ReplicaSet",
    "spec": {},
    "status": {"replicas": 1, "fullyLabeledReplicas": 1},
}


def test_a_replica_set_has_the_same_rules_for_its_template() -> None:
    spec = DEPLOYMENT["spec"]
    assert isinstance(spec, dict)
    made = {**REPLICA_SET, "spec": {"selector": spec["selector"], "template": spec["template"]}}
    assert ReplicaSet.parse(made).spec.replicas == 1
    with pytest.raises(InvalidResource, match="app=other"):
        ReplicaSet.parse(with_spec(made, selector={"matchLabels": {"app": "other"}}))
