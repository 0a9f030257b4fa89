"""How large the ReplicaSets of a Deployment shall be."""

import hypothesis.strategies as st
from hypothesis import given, settings

from control_plane.resources.deployment import Deployment
from control_plane.resources.replica_set import ReplicaSet
from lab.controllers.rollout import (
    is_saturated,
    is_scaling,
    limits,
    most,
    new_size,
    recreate_step,
    rolling_step,
    shared,
)
from tests.unit.lab.builders import deployment


def rolling(replicas: int, surge: object, unavailable: object) -> Deployment:
    settings_ = {"rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}}
    return deployment(replicas, strategy=settings_)


def replica_set(name: str, size: int, available: int | None = None, **annotations: str) -> ReplicaSet:
    spec = deployment().spec
    marks = {f"deployment.kubernetes.io/{key}-replicas": value for key, value in annotations.items()}
    return ReplicaSet.parse(
        {
            "apiVersion": "apps/v1",
            "kind": "ReplicaSet",
            "metadata": {"name": name, "namespace": "shop", "creationTimestamp": name, "annotations": marks},
            "spec": {
                "replicas": size,
                "selector": {"matchLabels": dict(spec.selector.match_labels)},
                "template": spec.template.model_dump(by_alias=True, exclude_unset=True, mode="json"),
            },
            "status": {"replicas": size, "availableReplicas": size if available is None else available},
        }
    )


def test_limits_may_be_numbers_and_percentages_and_never_both_nothing() -> None:
    assert limits(deployment(10)) == (3, 2)
    assert limits(rolling(10, "50%", 0)) == (5, 0)
    assert limits(rolling(1, "0%", "25%")) == (0, 1)
    assert limits(rolling(2, 0, 5)) == (0, 2)
    assert limits(deployment(4, strategy={"type": "Recreate"})) == (0, 0)
    assert most(rolling(10, 4, 0)) == 14


def test_a_new_replica_set_grows_as_far_as_there_is_room() -> None:
    assert new_size(rolling(4, 1, 0), 0, 4) == 1
    assert new_size(rolling(4, 1, 0), 1, 5) == 1
    assert new_size(rolling(4, 1, 0), 6, 6) == 4
    assert new_size(deployment(4, strategy={"type": "Recreate"}), 0, 4) == 4


def test_old_pods_that_serve_nobody_go_first() -> None:
    broken, good = replica_set("1-broken", 2, 0), replica_set("2-good", 3)
    new = replica_set("3-new", 2)
    assert rolling_step(rolling(5, 2, 0), new, [good, broken]) == {"1-broken": 0}
    assert rolling_step(rolling(5, 2, 0), replica_set("3-new", 2, 0), [good, broken]) == {}
    assert rolling_step(rolling(5, 2, 1), new, [good, broken]) == {"1-broken": 0, "2-good": 2}


def test_recreating_takes_all_that_is_old() -> None:
    assert recreate_step([replica_set("1-a", 2), replica_set("2-b", 0)]) == {"1-a": 0}


def test_a_change_of_size_is_told_from_a_step_by_the_annotation() -> None:
    assert is_scaling(deployment(3), [replica_set("1", 2, desired="2")])
    assert not is_scaling(deployment(2), [replica_set("1", 2, desired="2"), replica_set("2", 1)])
    assert not is_scaling(deployment(3), [replica_set("1", 0, desired="2")])


def test_one_active_replica_set_has_the_whole_size() -> None:
    assert shared(deployment(3), None, [replica_set("1", 2), replica_set("2", 0)]) == {"1": 3}
    assert shared(deployment(2), None, [replica_set("1", 2)]) == {}
    assert shared(deployment(2), None, []) == {}
    assert shared(deployment(2), None, [replica_set("1", 0), replica_set("2", 0)]) == {"2": 2}


def test_once_the_new_one_is_enough_the_others_go() -> None:
    new = replica_set("2", 3, desired="3")
    assert is_saturated(deployment(3), new)
    assert shared(deployment(3), new, [replica_set("1", 1), new]) == {"1": 0}
    assert not is_saturated(deployment(3), None)


def test_recreating_ones_are_not_shared() -> None:
    recreate = deployment(4, strategy={"type": "Recreate"})
    assert shared(recreate, None, [replica_set("1", 1), replica_set("2", 1)]) == {}


def test_shares_are_in_proportion_and_the_largest_takes_the_rest() -> None:
    old, new = replica_set("1", 8, max="12"), replica_set("2", 4, max="12")
    assert shared(rolling(20, 2, 2), new, [old, new]) == {"1": 15, "2": 7}
    assert shared(rolling(5, 1, 1), new, [old, new]) == {"1": 4, "2": 2}
    assert shared(rolling(0, 2, 2), new, [old, new]) == {"1": 0, "2": 0}
    assert shared(rolling(10, 2, 2), new, [old, new]) == {"1": 8, "2": 4}


@settings(max_examples=60)
@given(
    replicas=st.integers(0, 6),
    surge=st.integers(0, 3),
    unavailable=st.integers(0, 3),
    old_sizes=st.lists(st.integers(0, 4), max_size=3),
    readiness=st.lists(st.booleans(), min_size=60, max_size=60),
)
def test_a_rollout_ends_and_never_breaks_its_limits(
    replicas: int, surge: int, unavailable: int, old_sizes: list[int], readiness: list[bool]
) -> None:
    wanted = rolling(replicas, surge, unavailable if surge else max(1, unavailable))
    sizes = {f"{number}-old": size for number, size in enumerate(old_sizes)} | {"9-new": 0}
    available = dict(sizes)
    highest = max(sum(sizes.values()), most(wanted))
    lowest = min(sum(sizes.values()), replicas - limits(wanted).unavailable)
    for number, becomes_ready in enumerate(readiness):
        sets = {name: replica_set(name, size, available[name]) for name, size in sizes.items()}
        new = sets.pop("9-new")
        sizes |= rolling_step(wanted, new, list(sets.values()))
        available = {name: min(available[name], size) for name, size in sizes.items()}
        assert sum(sizes.values()) <= highest
        assert sum(available.values()) >= lowest
        if becomes_ready or number > 40:
            available = dict(sizes)
    assert sizes == dict.fromkeys(sizes, 0) | {"9-new": replicas}
