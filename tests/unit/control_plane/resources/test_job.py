"""Job."""

import pytest

from control_plane.resources.job import Job
from tests.unit.control_plane.resources.refusal import causes, manifest, with_spec

JOB = manifest("""
apiVersion: batch/v1
kind: Job
metadata: {name: load, namespace: shop}
spec:
  template:
    spec: {restartPolicy: Never, containers: [{name: app, image: app}]}
""")


def test_one_success_ends_a_job_that_does_not_say_how_many() -> None:
    assert Job.parse(JOB).wanted_completions == 1
    assert Job.parse(with_spec(JOB, completions=0)).wanted_completions == 0


@pytest.mark.parametrize(
    ("spec", "field", "message"),
    [
        ({"template": {"spec": {"containers": [{"name": "app"}]}}}, "spec", '"OnFailure", "Never"'),
        ({"completionMode": "Indexed"}, "spec.completionMode", "NonIndexed"),
        ({"podFailurePolicy": {}}, "spec.podFailurePolicy", "not supported yet"),
        ({"parallelism": -1}, "spec.parallelism", "greater than or equal to 0"),
    ],
)
def test_refuses(spec: dict[str, object], field: str, message: str) -> None:
    assert message in causes(with_spec(JOB, **spec))[field]
