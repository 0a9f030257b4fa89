"""What a Job needs done to its Pods."""

from collections.abc import Sequence

from control_plane.resources.job import Job
from control_plane.resources.manifest import Manifest, objects, section
from control_plane.resources.pod import Pod
from control_plane.resources.timestamp import rfc3339
from lab.controllers.action import Create, Delete, Plan, UpdateStatus
from lab.controllers.job import plan_job
from tests.unit.lab.builders import pod_manifest

NOW = 1_800_000_000.0


def job_manifest(status: Manifest | None = None, **spec: object) -> Manifest:
    template = {"spec": {"restartPolicy": "Never", "containers": [{"name": "app"}]}}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "load", "namespace": "shop", "uid": "uid-load"},
        "spec": {"template": template, **spec},
        "status": status or {},
    }


def pod(
    name: str, phase: str = "Running", *, ended: float = 0.0, restarts: int = 0, going: bool = False
) -> Pod:
    manifest = pod_manifest(name)
    meta = section(manifest, "metadata")
    if going:
        meta["deletionTimestamp"] = rfc3339(NOW)
    terminated = {"terminated": {"exitCode": 1, "finishedAt": rfc3339(ended)}} if ended else {}
    container = {
        "name": "app",
        "restartCount": restarts,
        "state": terminated,
        "ready": False,
        "image": "",
        "imageID": "",
    }
    manifest["status"] = {"phase": phase, "containerStatuses": [container]}
    return Pod.parse(manifest)


def plan(manifest: Manifest, pods: Sequence[Pod] = (), now: float = NOW) -> Plan:
    return plan_job(Job.parse(manifest), manifest, pods, now, rfc3339(now))


def creations(made: Plan) -> int:
    return sum(isinstance(action, Create) for action in made.actions)


def deletions(made: Plan) -> list[str]:
    return [action.key.name for action in made.actions if isinstance(action, Delete)]


def status_of(made: Plan) -> Manifest:
    return next(section(one.manifest, "status") for one in made.actions if isinstance(one, UpdateStatus))


def said(made: Plan) -> dict[object, object]:
    return {one["type"]: one["reason"] for one in objects(status_of(made), "conditions")}


def test_as_many_pods_as_may_run_at_once() -> None:
    made = plan(job_manifest(completions=5, parallelism=3))
    assert creations(made) == 3
    assert status_of(made)["startTime"] == rfc3339(NOW)
    assert creations(plan(job_manifest(completions=2, parallelism=3))) == 2
    assert creations(plan(job_manifest(completions=2, parallelism=0))) == 0


def test_who_runs_beyond_parallelism_is_ended() -> None:
    assert deletions(plan(job_manifest(completions=5), [pod("a"), pod("b")])) == ["a"]


def test_pods_of_a_queue_are_awaited_after_the_first_success() -> None:
    queue = job_manifest(parallelism=2)
    running = plan(queue, [pod("a", "Succeeded"), pod("b")])
    assert (creations(running), deletions(running)) == (0, [])
    done = plan(queue, [pod("a", "Succeeded"), pod("b", "Succeeded")])
    assert said(done) == {"SuccessCriteriaMet": "CompletionsReached", "Complete": "CompletionsReached"}


def test_after_a_failure_the_next_pod_waits_longer_each_time() -> None:
    once = plan(job_manifest(), [pod("a", "Failed", ended=NOW - 4.0)])
    assert (creations(once), once.again_in) == (0, 6.0)
    twice = [pod("a", "Failed", ended=NOW - 30.0), pod("b", "Failed", ended=NOW - 15.0)]
    assert plan(job_manifest(), twice).again_in == 5.0
    assert creations(plan(job_manifest(), twice, NOW + 5.0)) == 1


def test_too_many_failures_end_it_once_nothing_runs_any_more() -> None:
    limited = job_manifest(backoffLimit=0, parallelism=2)
    made = plan(limited, [pod("a", "Failed", ended=NOW), pod("b")])
    assert deletions(made) == ["b"]
    assert said(made) == {"FailureTarget": "BackoffLimitExceeded"}
    going = {**limited, "status": status_of(made)}
    waiting = plan(going, [pod("a", "Failed", ended=NOW), pod("b", going=True)])
    assert "Failed" not in said(waiting)
    assert said(plan(going, [pod("a", "Failed", ended=NOW)]))["Failed"] == "BackoffLimitExceeded"


def test_restarts_in_place_count_as_failures() -> None:
    template = {"spec": {"restartPolicy": "OnFailure", "containers": [{"name": "app"}]}}
    limited = job_manifest(backoffLimit=2, template=template)
    assert creations(plan(limited, [pod("a", restarts=1)])) == 0
    assert said(plan(limited, [pod("a", restarts=2)])) == {"FailureTarget": "BackoffLimitExceeded"}


def test_its_time_is_limited() -> None:
    started: Manifest = {"startTime": rfc3339(NOW - 10.0)}
    limited = job_manifest(started, activeDeadlineSeconds=15)
    assert plan(limited, [pod("a")]).again_in == 5.0
    over = plan(limited, [pod("a")], NOW + 5.0)
    assert said(over) == {"FailureTarget": "DeadlineExceeded"}
    assert deletions(over) == ["a"]


def test_a_suspended_job_runs_nothing_until_it_is_resumed() -> None:
    made = plan(job_manifest(suspend=True), [pod("a")])
    assert deletions(made) == ["a"]
    assert said(made) == {"Suspended": "JobSuspended"}
    resumed = plan(job_manifest(status_of(made)))
    assert creations(resumed) == 1
    assert said(resumed) == {"Suspended": "JobResumed"}


FINISHED: Manifest = {
    "conditions": [{"type": "Complete", "status": "True", "lastTransitionTime": rfc3339(NOW - 10.0)}]
}


def test_a_finished_job_is_left_alone_or_deleted_when_its_time_has_come() -> None:
    assert plan(job_manifest(FINISHED), [pod("a")]) == Plan()
    assert plan(job_manifest(FINISHED, ttlSecondsAfterFinished=30)) == Plan((), 20.0)
    assert deletions(plan(job_manifest(FINISHED, ttlSecondsAfterFinished=10))) == ["load"]


def test_one_that_is_being_deleted_is_left_to_the_garbage_collector() -> None:
    going = job_manifest()
    section(going, "metadata")["deletionTimestamp"] = rfc3339(NOW)
    assert plan(going) == Plan()


def test_successes_stay_counted_when_their_pods_are_gone() -> None:
    made = plan(job_manifest({"succeeded": 1}, completions=2))
    assert creations(made) == 1
    assert status_of(made)["succeeded"] == 1


def test_nothing_is_written_when_nothing_changed() -> None:
    first = plan(job_manifest(), [pod("a")])
    assert plan(job_manifest(status_of(first)), [pod("a")]).actions == ()
