"""What a Deployment needs done to its Pods."""

import hypothesis.strategies as st
from hypothesis import given, settings

from control_plane.resources.deployment import Deployment
from control_plane.resources.manifest import Manifest
from control_plane.resources.pod import Pod
from lab.deployment_plan import (
    HASH_LABEL,
    deployment_status,
    is_complete,
    is_owned,
    plan_pods,
    pod_manifest,
    template_hash,
)
from tests.unit.lab.builders import deployment, deployment_manifest, owned_pod, pod


def pods(**kinds: int) -> list[Pod]:
    """`new_ready=1, old_unready=2` … Pods of template `new` or `old`."""
    made = []
    for kind, count in kinds.items():
        template, _, state = kind.partition("_")
        made += [owned_pod(f"{template}-{state}-{n}", template, ready=state == "ready") for n in range(count)]
    return made


def step(wanted: Deployment, **kinds: int) -> tuple[int, list[str]]:
    changes = plan_pods(wanted, pods(**kinds), "new")
    return changes.create, [pod.metadata.name for pod in changes.delete]


def test_missing_pods_are_created_all_at_once() -> None:
    assert step(deployment(3)) == (3, [])
    assert step(deployment(3), new_ready=1, new_unready=1) == (1, [])


def test_nothing_is_due_when_all_pods_are_there() -> None:
    assert step(deployment(2), new_ready=2) == (0, [])


def test_scaling_down_takes_pods_that_are_not_ready_first_and_then_the_youngest() -> None:
    found = [
        owned_pod("old", "new", ready=True, created="2026-01-01T00:00:00Z"),
        owned_pod("young", "new", ready=True, created="2026-01-02T00:00:00Z"),
        owned_pod("broken", "new", ready=False, created="2026-01-01T00:00:00Z"),
    ]
    assert [p.metadata.name for p in plan_pods(deployment(1), found, "new").delete] == ["broken", "young"]


def test_a_rolling_update_creates_before_it_deletes() -> None:
    assert step(deployment(2), old_ready=2) == (1, [])
    assert step(deployment(2), old_ready=2, new_unready=1) == (0, [])
    assert step(deployment(2), old_ready=2, new_ready=1) == (0, ["old-ready-0"])
    assert step(deployment(2), old_ready=1, new_ready=2) == (0, ["old-ready-0"])


def test_old_pods_that_are_not_ready_go_at_once() -> None:
    assert step(deployment(2), old_ready=1, old_unready=1) == (1, ["old-unready-0"])


def test_limits_may_be_numbers_percentages_and_never_both_zero() -> None:
    def rolling(surge: object, unavailable: object) -> Deployment:
        limits = {"maxSurge": surge, "maxUnavailable": unavailable}
        return deployment(4, strategy={"rollingUpdate": limits})

    assert step(rolling(2, 0), old_ready=4) == (2, [])
    assert step(rolling(0, "50%"), old_ready=4) == (0, ["old-ready-0", "old-ready-1"])
    assert step(rolling(0, 0), old_ready=4) == (1, [])


def test_recreate_waits_until_the_old_ones_are_gone() -> None:
    wanted = deployment(2, strategy={"type": "Recreate"})
    assert step(wanted, old_ready=2) == (0, ["old-ready-0", "old-ready-1"])
    assert step(wanted) == (2, [])


@settings(max_examples=60)
@given(
    replicas=st.integers(0, 6),
    surge=st.integers(0, 3),
    unavailable=st.integers(0, 3),
    readiness=st.lists(st.booleans(), min_size=60, max_size=60),
)
def test_a_rollout_ends_and_never_breaks_its_limits(
    replicas: int, surge: int, unavailable: int, readiness: list[bool]
) -> None:
    limits = {"maxSurge": surge, "maxUnavailable": unavailable}
    wanted = deployment(replicas, strategy={"rollingUpdate": limits})
    effective = (surge, unavailable) if surge or unavailable else (1, 0)
    found = [owned_pod(f"old-{n}", "old", ready=True) for n in range(replicas)]
    for number, becomes_ready in enumerate(readiness):
        changes = plan_pods(wanted, found, "new")
        gone = {pod.metadata.name for pod in changes.delete}
        found = [pod for pod in found if pod.metadata.name not in gone]
        found += [owned_pod(f"new-{number}-{n}", "new", ready=False) for n in range(changes.create)]
        assert len(found) <= replicas + effective[0]
        assert sum(pod.status.is_ready for pod in found) >= replicas - effective[1]
        if becomes_ready or number > 40:
            found = [owned_pod(p.metadata.name, p.metadata.labels[HASH_LABEL], ready=True) for p in found]
    assert [pod.metadata.labels[HASH_LABEL] for pod in found] == ["new"] * replicas


def test_the_hash_depends_on_the_content_only() -> None:
    one: Manifest = {"a": 1, "b": {"c": 2, "d": 3}}
    same: Manifest = {"b": {"d": 3, "c": 2}, "a": 1}
    assert template_hash(one) == template_hash(same) != template_hash({"a": 2})


def test_a_pod_is_made_from_the_template_and_belongs_to_the_deployment() -> None:
    made = Pod.parse(pod_manifest(deployment_manifest(), "abc", "x7f"))
    assert made.metadata.name == "web-abc-x7f"
    assert made.metadata.labels == {"app": "web", HASH_LABEL: "abc"}
    assert made.metadata.annotations == {"note": "kept"}
    assert is_owned(made, deployment())
    assert not is_owned(pod(), deployment())


def test_a_long_name_is_cut_so_that_the_pods_stay_valid() -> None:
    manifest = deployment_manifest()
    manifest["metadata"] = {"name": "x" * 39 + "-" + "y" * 100, "namespace": "shop", "uid": "u"}
    assert Pod.parse(pod_manifest(manifest, "abc", "x7f")).metadata.name == "x" * 39 + "-abc-x7f"


def completed(found: list[Pod], replicas: int = 2) -> bool:
    wanted = deployment(replicas)
    status = deployment_status(wanted, found, "new")
    return is_complete(Deployment.parse({**deployment_manifest(replicas), "status": status}))


def test_a_deployment_is_complete_when_all_pods_are_new_and_ready() -> None:
    assert completed(pods(new_ready=2))
    assert not completed(pods(new_ready=1, new_unready=1))
    assert not completed(pods(new_ready=1, old_ready=1))
    assert not completed(pods(new_ready=2, old_unready=1))
    assert completed([], replicas=0)


def test_the_status_counts_pods_and_says_whether_enough_are_there() -> None:
    status = deployment_status(deployment(2), pods(new_ready=1, old_unready=1), "new")
    assert (status["replicas"], status["updatedReplicas"], status["readyReplicas"]) == (2, 1, 1)
    assert "'status': 'False'" in str(status["conditions"])
    assert "'status': 'True'" in str(deployment_status(deployment(2), pods(new_ready=2), "new")["conditions"])
