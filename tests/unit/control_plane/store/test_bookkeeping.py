"""The metadata a store owns."""

import pytest

from control_plane.resources.manifest import Manifest, metadata
from control_plane.store.api import VersionConflict
from control_plane.store.bookkeeping import (
    check_preconditions,
    created,
    status_updated,
    updated,
    with_version,
)

CURRENT = created(
    {"kind": "Pod", "metadata": {"name": "a"}, "spec": {"x": 1}}, uid="u", timestamp="t", version=5
)


def wanted(**fields: object) -> Manifest:
    return {"kind": "Pod", "metadata": {"name": "a"}, "spec": {"x": 1}, **fields}


def test_created() -> None:
    owned = {"uid": "u", "creationTimestamp": "t", "generation": 1, "resourceVersion": "5"}
    assert metadata(CURRENT) == {"name": "a", **owned}


def test_updated_bumps_the_generation_for_what_is_desired_only() -> None:
    assert updated(CURRENT, wanted(), version=6) is None
    changed = updated(CURRENT, wanted(spec={"x": 2}, status={"ignored": True}), version=6)
    assert changed is not None
    assert "status" not in changed
    assert metadata(changed) == {**metadata(CURRENT), "generation": 2, "resourceVersion": "6"}
    labelled = updated(CURRENT, wanted(metadata={"name": "a", "labels": {"b": "c"}}), version=6)
    assert labelled is not None
    assert metadata(labelled)["generation"] == 1


def test_an_object_without_a_generation_starts_one() -> None:
    changed = updated({"metadata": {}, "spec": 1}, {"spec": 2}, version=6)
    assert changed is not None
    assert metadata(changed)["generation"] == 1


def test_status_is_kept_by_one_and_replaced_by_the_other() -> None:
    running = status_updated(CURRENT, wanted(spec={"x": 2}, status={"phase": "Running"}), version=6)
    assert running is not None
    assert (running["spec"], running["status"]) == ({"x": 1}, {"phase": "Running"})
    assert updated(running, wanted(), version=7) is None
    assert status_updated(running, running, version=7) is None
    emptied = status_updated(running, wanted(), version=7)
    assert emptied is not None
    assert "status" not in emptied


def test_a_change_carries_its_own_version() -> None:
    assert metadata(with_version(CURRENT, version=9))["resourceVersion"] == "9"


def test_preconditions() -> None:
    check_preconditions(CURRENT, uid="", resource_version="")
    check_preconditions(CURRENT, uid="u", resource_version="5")
    with pytest.raises(VersionConflict, match="UID in precondition: v, UID in object meta: u"):
        check_preconditions(CURRENT, uid="v", resource_version="")
    with pytest.raises(VersionConflict, match="resourceVersion is 5, not 4"):
        check_preconditions(CURRENT, uid="u", resource_version="4")
