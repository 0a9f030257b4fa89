"""How a Job's Pods are found."""

from control_plane.resources.job import Job
from control_plane.resources.job_selector import with_selector
from control_plane.resources.manifest import Manifest, section
from tests.unit.control_plane.resources.refusal import manifest

JOB = manifest("""
apiVersion: batch/v1
kind: Job
metadata: {name: load, namespace: shop, uid: u}
spec:
  template:
    metadata: {labels: {app: load}}
    spec: {restartPolicy: Never, containers: [{name: app, image: app}]}
""")


def test_pods_are_found_by_the_jobs_uid() -> None:
    made = Job.parse(with_selector(JOB))
    assert made.spec.selector is not None
    assert made.spec.selector.match_labels == {"batch.kubernetes.io/controller-uid": "u"}
    assert made.spec.template.metadata.labels == {
        "app": "load",
        "batch.kubernetes.io/controller-uid": "u",
        "controller-uid": "u",
        "batch.kubernetes.io/job-name": "load",
        "job-name": "load",
    }


def test_a_manual_selector_is_kept() -> None:
    manual: Manifest = {**JOB, "spec": {**section(JOB, "spec"), "manualSelector": True}}
    assert with_selector(manual) == manual
