"""What a deletion makes of an object, by its kind and what it says."""

import pytest

from control_plane.resources.manifest import Manifest, metadata, with_metadata
from control_plane.store.deletion import AS_IT_SAYS, DeletionRequest, finalizers_of, is_free, marked

NODE: Manifest = {"nodeName": "node"}


def pod(spec: Manifest, phase: str = "Running") -> Manifest:
    meta: Manifest = {"name": "a", "generation": 1}
    return {"kind": "Pod", "metadata": meta, "spec": spec, "status": {"phase": phase}}


@pytest.mark.parametrize(
    ("manifest", "asked", "seconds"),
    [
        (pod(NODE), None, 30),
        (pod({**NODE, "terminationGracePeriodSeconds": 7}), None, 7),
        (pod(NODE), 2, 2),
        (pod(NODE), 0, 0),
        (pod(NODE), -5, 1),
        (pod({}), 20, 0),
        (pod(NODE, "Succeeded"), None, 0),
        ({"kind": "Service", "metadata": {"name": "a"}}, 20, 0),
    ],
)
def test_grace(manifest: Manifest, asked: int | None, seconds: int) -> None:
    result = marked(manifest, DeletionRequest(grace=asked), now=100.0)
    assert metadata(result)["deletionGracePeriodSeconds"] == seconds
    assert (
        metadata(result)["deletionTimestamp"]
        == f"1970-01-01T00:{(100 + seconds) // 60:02}:{(100 + seconds) % 60:02}Z"
    )
    assert is_free(result) == (seconds == 0)


@pytest.mark.parametrize(("own", "asked"), [(10**15, None), (30, 10**17), (30, 2**63)])
def test_no_grace_period_is_too_long_for_a_date(own: int, asked: int | None) -> None:
    wanted = pod({**NODE, "terminationGracePeriodSeconds": own})
    result = metadata(marked(wanted, DeletionRequest(grace=asked), now=100.0))
    assert result["deletionGracePeriodSeconds"] == 2**31 - 1
    assert str(result["deletionTimestamp"]).startswith("2038-")


def test_a_deletion_under_way_only_becomes_faster() -> None:
    first = marked(pod(NODE), AS_IT_SAYS, now=0.0)
    assert metadata(first)["generation"] == 2
    assert marked(first, AS_IT_SAYS, now=9.0) is first
    assert marked(first, DeletionRequest(grace=60), now=9.0) is first
    faster = metadata(marked(first, DeletionRequest(grace=10), now=9.0))
    assert (faster["deletionTimestamp"], faster["deletionGracePeriodSeconds"]) == ("1970-01-01T00:00:10Z", 10)
    assert faster["generation"] == 2


@pytest.mark.parametrize(
    ("before", "propagation", "after"),
    [
        (["x.io/a"], "", ["x.io/a"]),
        (["x.io/a"], "Foreground", ["x.io/a", "foregroundDeletion"]),
        (["foregroundDeletion"], "Orphan", ["orphan"]),
        (["orphan", "x.io/a"], "Background", ["x.io/a"]),
        (["foregroundDeletion"], "Foreground", ["foregroundDeletion"]),
    ],
)
def test_propagation(before: list[str], propagation: str, after: list[str]) -> None:
    manifest = with_metadata({"kind": "Service", "metadata": {"name": "a"}}, finalizers=before)
    result = marked(manifest, DeletionRequest(propagation=propagation), now=0.0)
    assert finalizers_of(result) == after
    assert not is_free(result) or not after


def test_a_namespace_says_that_it_is_terminating() -> None:
    result = marked({"kind": "Namespace", "metadata": {"name": "a"}}, AS_IT_SAYS, now=0.0)
    assert result["status"] == {"phase": "Terminating"}
