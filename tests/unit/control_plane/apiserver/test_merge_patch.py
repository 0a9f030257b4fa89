"""JSON merge patch, with the examples of RFC 7396, appendix A, that concern objects."""

import pytest

from control_plane.apiserver.merge_patch import merge
from control_plane.resources.manifest import Manifest


@pytest.mark.parametrize(
    ("target", "patch", "result"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
        ({"a": "text"}, {"a": {"b": 1}}, {"a": {"b": 1}}),
    ],
)
def test_merge(target: Manifest, patch: Manifest, result: Manifest) -> None:
    assert merge(target, patch) == result


def test_the_target_is_left_alone() -> None:
    target: Manifest = {"a": {"b": "c"}}
    merge(target, {"a": {"b": "d"}})
    assert target == {"a": {"b": "c"}}
