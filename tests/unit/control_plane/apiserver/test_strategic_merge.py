"""Strategic merge patch: what Kubernetes' own description of it says, case by case."""

import pytest

from control_plane.apiserver.field_shape import shape_of
from control_plane.apiserver.strategic_merge import StrategicMergeError, strategic_merge
from control_plane.resources.manifest import Manifest
from control_plane.resources.registry import BY_KIND

POD = shape_of(BY_KIND["Pod"])
DEPLOYMENT = shape_of(BY_KIND["Deployment"])


def containers(*items: object) -> Manifest:
    return {"spec": {"containers": [*items]}}


A, B, C = ({"name": name, "image": f"{name}:1"} for name in "abc")


@pytest.mark.parametrize(
    ("target", "patch", "result"),
    [
        ({"a": 1, "b": {"c": 1}}, {"a": None, "b": {"d": 2}}, {"b": {"c": 1, "d": 2}}),
        ({"b": {"c": 1}}, {"b": {"$patch": "replace", "d": 2}}, {"b": {"d": 2}}),
        ({"b": {"c": 1}}, {"b": {"$patch": "delete"}}, {"b": {}}),
        (containers(A), containers(B), containers(A, B)),
        (containers(A, B), containers({"name": "b", "image": "b:2"}), containers(A, {**B, "image": "b:2"})),
        (containers(A, B), containers({"name": "a", "$patch": "delete"}), containers(B)),
        (
            containers(A),
            containers({"name": "a", "$patch": "replace", "tty": True}),
            containers({"name": "a", "tty": True}),
        ),
        (containers(A, B), containers({"$patch": "replace"}, C), containers(C)),
        (containers(A), containers({"name": "a", "args": ["x"]}), containers({**A, "args": ["x"]})),
        (
            containers({**A, "args": ["x", "y"]}),
            containers({"name": "a", "args": ["z"]}),
            containers({**A, "args": ["z"]}),
        ),
        (
            {"metadata": {"finalizers": ["x.io/a", "x.io/b"]}},
            {"metadata": {"finalizers": ["x.io/c"], "$deleteFromPrimitiveList/finalizers": ["x.io/a"]}},
            {"metadata": {"finalizers": ["x.io/b", "x.io/c"]}},
        ),
        (
            {"spec": {"containers": [A, B, C]}},
            {"spec": {"$setElementOrder/containers": [{"name": "c"}, {"name": "a"}]}},
            {"spec": {"containers": [B, C, A]}},
        ),
        (
            {"spec": {"containers": [A, B]}},
            {"spec": {"$setElementOrder/containers": [{"name": "c"}, {"name": "a"}], "containers": [C]}},
            {"spec": {"containers": [C, A, B]}},
        ),
        (
            {"spec": {"volumes": [{"name": "v", "emptyDir": {}}]}},
            {
                "spec": {
                    "volumes": [{"$retainKeys": ["name", "hostPath"], "name": "v", "hostPath": {"path": "/"}}]
                }
            },
            {"spec": {"volumes": [{"name": "v", "hostPath": {"path": "/"}}]}},
        ),
    ],
)
def test_merges(target: Manifest, patch: Manifest, result: Manifest) -> None:
    assert strategic_merge(target, patch, POD) == result


def test_a_strategy_keeps_what_it_is_told_to_keep() -> None:
    before: Manifest = {"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}}
    patch: Manifest = {"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}}
    assert strategic_merge(before, patch, DEPLOYMENT) == {"spec": {"strategy": {"type": "Recreate"}}}


def test_nothing_that_was_given_is_changed() -> None:
    target, patch = containers(A, B), containers({"name": "a", "env": [{"name": "X"}]})
    strategic_merge(target, patch, POD)
    assert (target, patch) == (containers(A, B), containers({"name": "a", "env": [{"name": "X"}]}))


@pytest.mark.parametrize(
    ("patch", "message"),
    [
        ({"$patch": "sideways"}, "none of merge, replace, delete"),
        (containers({"image": "a:1"}), "merge key: name"),
        (containers("a"), "must be objects"),
        ({"spec": {"$retainKeys": "x"}}, "must be a list"),
        ({"spec": {"$retainKeys": [], "nodeName": "n"}}, "does not name nodeName"),
        ({"metadata": {"$deleteFromPrimitiveList/finalizers": "x"}}, "must be a list"),
        ({"spec": {"$setElementOrder/containers": "x"}}, "must be a list"),
    ],
)
def test_a_patch_that_makes_no_sense_is_refused(patch: Manifest, message: str) -> None:
    with pytest.raises(StrategicMergeError, match=message):
        strategic_merge(containers(A), patch, POD)
