"""The difference of two documents, applied by a library of others, gives the second."""

import copy

import jsonpatch
import pytest
from hypothesis import given
from hypothesis import strategies as st

from injector.json_patch import difference

SCALARS = st.none() | st.booleans() | st.integers(-3, 3) | st.floats(-1, 1) | st.text("ab/~", max_size=3)
NAMED = st.builds(lambda name, x: {"name": name, "x": x}, st.sampled_from("abcd"), SCALARS)
DOCUMENTS = st.recursive(
    SCALARS | st.lists(NAMED, max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text("ab/~", max_size=2), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(DOCUMENTS, DOCUMENTS)
def test_applied_it_gives_the_other_document(before: object, after: object) -> None:
    first = copy.deepcopy(before)
    made = jsonpatch.apply_patch(before, difference(before, after))
    assert repr(made) == repr(after) or made == after
    assert difference(made, after) == []
    assert before == first


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ({}, {}, []),
        ({"a": 1}, {"a": True}, [{"op": "replace", "path": "/a", "value": True}]),
        ({"a": 1}, {"a": 1.0}, []),
        ({"a/b": {"c~d": 1}}, {"a/b": {}}, [{"op": "remove", "path": "/a~1b/c~0d"}]),
        ({}, {"x": [1]}, [{"op": "add", "path": "/x", "value": [1]}]),
        (
            [{"name": "app"}],
            [{"name": "init"}, {"name": "app", "x": 1}],
            [
                {"op": "add", "path": "/0", "value": {"name": "init"}},
                {"op": "add", "path": "/1/x", "value": 1},
            ],
        ),
        ([{"name": "a"}, {"name": "b"}], [{"name": "b"}], [{"op": "remove", "path": "/0"}]),
        (["a", "b"], ["a", "c", "b"], [{"op": "add", "path": "/1", "value": "c"}]),
        (
            [{"name": "a"}, {"name": "b"}],
            [{"name": "b"}, {"name": "a"}],
            [
                {"op": "replace", "path": "/0/name", "value": "b"},
                {"op": "replace", "path": "/1/name", "value": "a"},
            ],
        ),
        (
            [{"name": "a"}, {"name": "a", "x": 1}, {"name": "a", "x": 2}],
            [{"name": "a", "x": 3}],
            [
                {"op": "add", "path": "/0/x", "value": 3},
                {"op": "remove", "path": "/2"},
                {"op": "remove", "path": "/1"},
            ],
        ),
        (
            [{"name": "a"}, {"name": "b"}],
            [{"name": "b"}, {"name": "c"}, {"name": "a"}, {"name": "d"}],
            [
                {"op": "replace", "path": "/0/name", "value": "b"},
                {"op": "replace", "path": "/1/name", "value": "c"},
                {"op": "add", "path": "/2", "value": {"name": "a"}},
                {"op": "add", "path": "/3", "value": {"name": "d"}},
            ],
        ),
        (1, "x", [{"op": "replace", "path": "", "value": "x"}]),
    ],
)
def test_it_says_no_more_than_needed(before: object, after: object, expected: list[object]) -> None:
    assert difference(before, after) == expected
