"""Steps of a Deployment that a whole rollout does not meet."""

from control_plane.resources.deployment import Deployment
from control_plane.resources.manifest import Manifest, metadata, objects, section
from control_plane.resources.timestamp import rfc3339
from lab.controllers.action import Create, UpdateStatus
from lab.controllers.deployment import DeploymentView, plan_deployment
from lab.controllers.deployment_status import is_rolled_out
from lab.controllers.moment import seconds_of
from lab.controllers.revision import revision_of, template_hash
from tests.unit.lab.builders import deployment_manifest

NOW = 1_800_000_000.0


def plan(manifest: Manifest, *taken: str) -> list[object]:
    view = DeploymentView(
        Deployment.parse(manifest), manifest, {}, lambda name: name in taken, lambda one: False
    )
    return list(plan_deployment(view, NOW, rfc3339(NOW)).actions)


def test_a_name_that_is_taken_is_counted_and_another_one_chosen() -> None:
    wanted = deployment_manifest()
    template = section(section(wanted, "spec"), "template")
    [status] = plan(wanted, f"web-{template_hash(template)}")
    assert isinstance(status, UpdateStatus)
    assert section(status.manifest, "status")["collisionCount"] == 1
    [made, *_] = plan({**wanted, "status": {"collisionCount": 1}}, f"web-{template_hash(template)}")
    assert isinstance(made, Create)
    assert metadata(made.manifest)["name"] == f"web-{template_hash(template, 1)}"


def test_one_that_is_being_deleted_makes_nothing_and_tells_its_counts() -> None:
    going = deployment_manifest()
    section(going, "metadata")["deletionTimestamp"] = rfc3339(NOW)
    [status] = plan(going)
    assert isinstance(status, UpdateStatus)


def test_without_replicas_nothing_is_said_to_be_scaled() -> None:
    actions = plan(deployment_manifest(0, minReadySeconds=3))
    assert [type(action).__name__ for action in actions] == ["Create", "Patch", "UpdateStatus"]
    created = actions[0]
    assert isinstance(created, Create)
    assert section(created.manifest, "spec")["minReadySeconds"] == 3


def test_who_is_resumed_says_so() -> None:
    paused = {"type": "Progressing", "status": "Unknown", "reason": "DeploymentPaused", "message": ""}
    resumed = plan({**deployment_manifest(), "status": {"conditions": [paused]}})[-1]
    assert isinstance(resumed, UpdateStatus)
    said = {one["type"]: one["reason"] for one in objects(section(resumed.manifest, "status"), "conditions")}
    assert said["Progressing"] == "DeploymentResumed"


def test_it_is_rolled_out_when_the_status_of_its_generation_says_so() -> None:
    def with_status(generation: int, available: int) -> Deployment:
        counts = {"replicas": 2, "updatedReplicas": 2, "availableReplicas": available}
        return Deployment.parse(
            {**deployment_manifest(), "status": {"observedGeneration": generation, **counts}}
        )

    assert is_rolled_out(with_status(3, 2))
    assert not is_rolled_out(with_status(2, 2))
    assert not is_rolled_out(with_status(3, 1))


def test_texts_that_are_no_numbers_or_times_count_as_none() -> None:
    assert revision_of({"deployment.kubernetes.io/revision": "first"}) == 0
    assert seconds_of("yesterday") == 0.0
