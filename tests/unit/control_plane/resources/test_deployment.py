"""Deployment."""

import pytest

from control_plane.resources.deployment import Deployment
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
        ({"selector": {}}, "spec.selector.matchLabels", "required"),
        ({"selector": {"matchLabels": {}}}, "spec.selector.matchLabels", "at least 1"),
        ({"selector": {"matchLabels": {"app": "other"}}}, "spec", "app=other is not among"),
        (
            {"selector": {"matchLabels": {"app": "catalog"}, "matchExpressions": []}},
            "spec.selector.matchExpressions",
            "not supported yet",
        ),
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
        ({"paused": True}, "spec.paused", "not supported yet"),
    ],
)
def test_refuses(spec: dict[str, object], field: str, message: str) -> None:
    assert message in causes(with_spec(DEPLOYMENT, **spec))[field]
