"""The status of a pod from what is known of its containers."""

from control_plane.resources.manifest import Manifest
from lab.container import ContainerRecord
from lab.pod_status import PodOutline, PodPlace, PodVerdict, pod_status, resume
from tests.unit.lab.builders import pod

NO_VERDICT = PodVerdict()
PROBE = {"tcpSocket": {"port": 80}}


def records() -> list[ContainerRecord]:
    """An init container, a sidecar with a startup probe, an app with a readiness probe."""
    made = pod(
        initContainers=[
            {"name": "init"},
            {"name": "proxy", "restartPolicy": "Always", "startupProbe": PROBE},
        ],
        containers=[{"name": "app", "image": "shop:1", "readinessProbe": PROBE}],
    )
    return [
        *(ContainerRecord(container, is_init=True) for container in made.spec.init_containers),
        *(ContainerRecord(container) for container in made.spec.containers),
    ]


def status_of(
    found: list[ContainerRecord],
    previous: tuple[Manifest, ...] = (),
    verdict: PodVerdict = NO_VERDICT,
    restart_policy: str = "Always",
    gates: tuple[str, ...] = (),
) -> Manifest:
    outline = PodOutline("u", restart_policy, gates, previous)
    return pod_status(found, PodPlace("10.244.0.7", "10.244.0.1", "t0"), outline, "now", verdict)


def conditions(status: Manifest) -> dict[str, tuple[str, str, str]]:
    entries = status["conditions"]
    assert isinstance(entries, list)
    return {e["type"]: (e["status"], e["lastTransitionTime"], e.get("message", "")) for e in entries}


def finish(record: ContainerRecord, return_code: int = 0) -> None:
    record.on_start(1, "t1")
    record.on_exit(return_code, "t2")
    record.is_done = True


def test_a_pod_without_a_place_has_no_addresses() -> None:
    status = pod_status(records(), PodPlace(), PodOutline(), "now")
    assert {"podIP", "hostIP", "startTime"}.isdisjoint(status)


def test_a_new_pod_is_pending_and_says_what_it_waits_for() -> None:
    status = status_of(records())
    assert (status["phase"], status["podIP"], status["hostIP"]) == ("Pending", "10.244.0.7", "10.244.0.1")
    found = conditions(status)
    assert found["Initialized"][0] == "False"
    listed = "containers with unready status: [app proxy]: app: PodInitializing; proxy: PodInitializing"
    assert found["Ready"] == ("False", "now", listed)
    assert found["Initialized"][2] == "containers with incomplete status: [init proxy]"
    assert found["PodReadyToStartContainers"][0] == "True"


def test_a_pod_is_initialized_once_init_containers_succeeded_and_sidecars_started() -> None:
    init, proxy, app = records()
    finish(init)
    proxy.on_start(2, "t2")
    assert conditions(status_of([init, proxy, app]))["Initialized"][0] == "False"
    proxy.on_started()
    assert conditions(status_of([init, proxy, app]))["Initialized"][0] == "True"


def test_a_pod_is_ready_when_its_containers_and_sidecars_are() -> None:
    init, proxy, app = records()
    finish(init)
    proxy.on_start(2, "t2")
    proxy.on_started()
    app.on_start(3, "t3")
    status = status_of([init, proxy, app])
    assert status["phase"] == "Running"
    assert conditions(status)["Ready"][2].endswith("app: no probe has succeeded yet")
    app.is_ready = True
    assert conditions(status_of([init, proxy, app]))["Ready"][0] == "True"


def test_what_is_wrong_with_the_whole_pod_comes_first() -> None:
    status = status_of([], verdict=PodVerdict("no address is left"))
    assert conditions(status)["Ready"] == ("False", "now", "no address is left")
    assert status["message"] == "no address is left"


def test_conditions_that_did_not_change_keep_their_times() -> None:
    previous = ({"type": "Ready", "status": "False", "lastTransitionTime": "before"},)
    found = conditions(status_of(records(), previous))
    assert (found["Ready"][1], found["ContainersReady"][1]) == ("before", "now")


def test_reasons_name_the_last_exit_the_failed_probe_and_the_end() -> None:
    init, proxy, app = records()
    app.on_start(3, "t3")
    app.probe_message = "statuscode: 503"
    assert "app: statuscode: 503" in conditions(status_of([init, proxy, app]))["Ready"][2]
    app.on_exit(-9, "t4")
    assert "app: not running: last exit code 137" in conditions(status_of([init, proxy, app]))["Ready"][2]
    app.is_done = True
    assert "app: ended with 137" in conditions(status_of([init, proxy, app]))["Ready"][2]


def test_a_pod_that_is_not_restarted_ends_as_succeeded_or_failed() -> None:
    *_, app = records()
    finish(app)
    assert status_of([app], restart_policy="Never")["phase"] == "Succeeded"
    finish(app, 1)
    assert status_of([app], restart_policy="OnFailure")["phase"] == "Failed"


def container_statuses(status: Manifest) -> list[Manifest]:
    found = status["containerStatuses"]
    assert isinstance(found, list)
    return found


def test_container_statuses_tell_the_state_and_the_last_one() -> None:
    init, proxy, app = records()
    [waiting] = container_statuses(status_of([init, proxy, app]))
    assert waiting["state"] == {"waiting": {"reason": "PodInitializing"}}
    app.on_start(3, "t3")
    app.on_exit(-9, "t4")
    app.on_wait("CrashLoopBackOff", "ended with 137")
    [crashed] = container_statuses(status_of([init, proxy, app]))
    times = {"startedAt": "t3", "finishedAt": "t4"}
    last = {"exitCode": 137, "reason": "Error", "containerID": "lab://u/app/0", **times}
    assert crashed["state"] == {"waiting": {"reason": "CrashLoopBackOff", "message": "ended with 137"}}
    assert crashed["lastState"] == {"terminated": last}
    app.on_start(4, "t5")
    [running] = container_statuses(status_of([init, proxy, app]))
    assert (running["state"], running["restartCount"], running["image"]) == (
        {"running": {"startedAt": "t5"}},
        1,
        "shop:1",
    )
    finish(app)
    [ended] = container_statuses(status_of([init, proxy, app], restart_policy="Never"))
    assert "terminated" in str(ended["state"])


def test_an_init_container_is_ready_once_it_succeeded() -> None:
    init, proxy, app = records()
    finish(init)
    found = status_of([init, proxy, app])["initContainerStatuses"]
    assert isinstance(found, list)
    assert [entry["ready"] for entry in found] == [True, False]


def test_restart_counts_go_on_after_a_new_kubelet() -> None:
    old = records()
    for record in old:
        record.on_start(1, "t1")
    old[2].restarts = 4
    status = status_of(old)
    new = records()
    resume(new, status)
    new[2].on_start(9, "t9")
    assert new[2].restarts == 5
    resume(new, {})


def test_a_container_that_ran_when_its_kubelet_was_killed_was_killed_too() -> None:
    *_, old = records()
    old.on_start(1, "t1")
    *_, new = records()
    resume([new], status_of([old]))
    assert (new.exit_code, new.last_started_at, new.runs) == (137, "t1", 1)
    finish(old, 3)
    *_, ended = records()
    resume([ended], status_of([old], restart_policy="Never"))
    assert (ended.exit_code, ended.finished_at) == (3, "t2")


def test_a_job_is_over_when_its_sidecar_is_too() -> None:
    _, proxy, app = records()
    proxy.on_start(1, "t1")
    finish(app)
    assert status_of([proxy, app], restart_policy="Never")["phase"] == "Running"
    finish(proxy, -15)
    status = status_of([proxy, app], restart_policy="Never")
    assert status["phase"] == "Succeeded"
    assert conditions(status)["Ready"][0] == "False"


def test_a_pod_fails_when_an_init_container_fails_for_good() -> None:
    init, _, app = records()
    finish(init, 1)
    app.is_given_up = app.is_done = True
    status = status_of([init, app], restart_policy="Never")
    assert status["phase"] == "Failed"
    assert container_statuses(status)[0]["state"] == {"waiting": {"reason": "PodInitializing"}}


def test_a_pod_that_was_active_too_long_has_failed() -> None:
    status = status_of(records(), verdict=PodVerdict("too long", "DeadlineExceeded"))
    assert (status["phase"], status["reason"], status["message"]) == (
        "Failed",
        "DeadlineExceeded",
        "too long",
    )


def test_readiness_gates_are_waited_for_and_conditions_of_others_stay() -> None:
    *_, app = records()
    app.on_start(1, "t1")
    app.is_ready = True
    status = status_of([app], gates=("example.com/gate",))
    assert "example.com/gate" in conditions(status)["Ready"][2]
    assert conditions(status)["ContainersReady"][0] == "True"
    gate: Manifest = {"type": "example.com/gate", "status": "True", "lastTransitionTime": "t5"}
    opened = status_of([app], (gate,), gates=("example.com/gate",))
    assert conditions(opened)["Ready"][0] == "True"
    assert conditions(opened)["example.com/gate"][0] == "True"


def test_every_address_and_the_generation_are_told() -> None:
    *_, app = records()
    place = PodPlace("10.0.0.1", "10.0.0.2", "t0", ("10.0.0.1", "fd00::1"), ("10.0.0.2", "fd00::2"))
    status = pod_status([app], place, PodOutline(generation=3), "now")
    assert status["podIPs"] == [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}]
    assert status["hostIPs"] == [{"ip": "10.0.0.2"}, {"ip": "fd00::2"}]
    assert status["observedGeneration"] == 3
