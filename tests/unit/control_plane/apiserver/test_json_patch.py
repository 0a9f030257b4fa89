"""JSON Patch: the examples of RFC 6902, appendix A, and what must be refused."""

import pytest

from control_plane.apiserver import json_patch
from control_plane.apiserver.json_patch import JsonPatchError, PatchTestFailed, apply_patch


@pytest.mark.parametrize(
    ("document", "patch", "result"),
    [
        ({"foo": "bar"}, [{"op": "add", "path": "/baz", "value": "qux"}], {"foo": "bar", "baz": "qux"}),
        ({"foo": [1, 3]}, [{"op": "add", "path": "/foo/1", "value": 2}], {"foo": [1, 2, 3]}),
        ({"foo": [1]}, [{"op": "add", "path": "/foo/-", "value": [2]}], {"foo": [1, [2]]}),
        ({"foo": 1}, [{"op": "add", "path": "", "value": [1]}], [1]),
        ({"foo": [1]}, [{"op": "add", "path": "/foo/1", "value": 2}], {"foo": [1, 2]}),
        ({"foo": 1, "baz": 2}, [{"op": "remove", "path": "/baz"}], {"foo": 1}),
        ({"foo": [1, 2, 3]}, [{"op": "remove", "path": "/foo/1"}], {"foo": [1, 3]}),
        ({"foo": 1}, [{"op": "replace", "path": "/foo", "value": 2}], {"foo": 2}),
        ({"foo": [1]}, [{"op": "replace", "path": "/foo/0", "value": 2}], {"foo": [2]}),
        ({"foo": [1]}, [{"op": "replace", "path": "", "value": None}], None),
        (
            {"foo": {"bar": 1}, "qux": {}},
            [{"op": "move", "from": "/foo/bar", "path": "/qux/thud"}],
            {"foo": {}, "qux": {"thud": 1}},
        ),
        ({"foo": [1, 2, 3]}, [{"op": "move", "from": "/foo/0", "path": "/foo/2"}], {"foo": [2, 3, 1]}),
        ({"foo": 1}, [{"op": "move", "from": "/foo", "path": "/foo"}], {"foo": 1}),
        ({"foo": [1]}, [{"op": "copy", "from": "/foo", "path": "/bar"}], {"foo": [1], "bar": [1]}),
        ({"a/b": 1, "m~n": 2}, [{"op": "remove", "path": "/a~1b"}], {"m~n": 2}),
        ({"m~n": 2, "~1": 3}, [{"op": "test", "path": "/~01", "value": 3}], {"m~n": 2, "~1": 3}),
        ({"": {"": 1}}, [{"op": "replace", "path": "//", "value": 2}], {"": {"": 2}}),
        ({"a": {"b": [1.0]}}, [{"op": "test", "path": "/a", "value": {"b": [1]}}], {"a": {"b": [1.0]}}),
    ],
)
def test_operations_do_what_the_rfc_says(document, patch, result):
    assert apply_patch(document, patch) == result


@pytest.mark.parametrize(
    "operation",
    [
        "add",
        {"op": "merge", "path": ""},
        {"op": "add", "path": "/a"},
        {"op": "add", "path": "a", "value": 1},
        {"op": "add", "path": 1, "value": 1},
        {"op": "add", "path": "/a~2", "value": 1},
        {"op": "add", "path": "/absent/b", "value": 1},
        {"op": "add", "path": "/text/b", "value": 1},
        {"op": "add", "path": "/list/3", "value": 1},
        {"op": "add", "path": "/list/01", "value": 1},
        {"op": "add", "path": "/list/-1", "value": 1},
        {"op": "add", "path": "/list/1234567890", "value": 1},
        {"op": "remove", "path": "/absent"},
        {"op": "remove", "path": ""},
        {"op": "remove", "path": "/list/-"},
        {"op": "remove", "path": "/list/2"},
        {"op": "replace", "path": "/absent", "value": 1},
        {"op": "replace", "path": "/list/2", "value": 1},
        {"op": "move", "path": "/b"},
        {"op": "move", "from": "/map", "path": "/map/b"},
        {"op": "copy", "from": "/absent", "path": "/b"},
    ],
)
def test_what_cannot_be_applied_is_refused_with_its_place(operation):
    document = {"text": "t", "list": [1, 2], "map": {}}
    fine = {"op": "add", "path": "/new", "value": 1}
    with pytest.raises(JsonPatchError, match="operation 1: "):
        apply_patch(document, [fine, operation])
    assert document == {"text": "t", "list": [1, 2], "map": {}}


@pytest.mark.parametrize(
    ("value", "tested"), [(1, True), (False, 0), ([1], [True]), ({"a": 1}, {}), ([], [1])]
)
def test_a_test_compares_as_json_does(value, tested):
    with pytest.raises(PatchTestFailed, match="testing value /a failed"):
        apply_patch({"a": value}, [{"op": "test", "path": "/a", "value": tested}])


def test_the_result_shares_nothing_with_patch_or_document():
    value: dict[str, object] = {}
    result = apply_patch(
        {}, [{"op": "add", "path": "/a", "value": value}, {"op": "add", "path": "/a/b", "value": 1}]
    )
    assert (value, result) == ({}, {"a": {"b": 1}})


def test_copies_cannot_multiply_without_end(monkeypatch):
    monkeypatch.setattr(json_patch, "MAX_COPIED", 100)
    double = [{"op": "copy", "from": "", "path": "/a"}, {"op": "copy", "from": "", "path": "/b"}]
    with pytest.raises(JsonPatchError, match="more than 100 bytes"):
        apply_patch({"x": 1}, double * 10)


def test_the_number_of_operations_is_bounded():
    with pytest.raises(JsonPatchError, match="the maximum allowed is 10000"):
        apply_patch({}, [{}] * 10_001)
