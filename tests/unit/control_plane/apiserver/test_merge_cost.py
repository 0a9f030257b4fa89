"""What a write costs: one client's large object must not keep the API server from all others.

Looks at elements are counted, not seconds: each may be looked at a few times, not once for each other one.
"""

from http import HTTPStatus

import pytest

from control_plane.apiserver.failure import Failure
from control_plane.apiserver.field_shape import Shape, shape_of
from control_plane.apiserver.managed_fields import Manager
from control_plane.apiserver.server_side_apply import apply_configuration
from control_plane.apiserver.strategic_merge import strategic_merge
from control_plane.apiserver.write_request import applied_configuration
from control_plane.resources.manifest import Manifest, metadata, objects, section
from control_plane.resources.registry import BY_KIND

MANY = 300
POD = shape_of(BY_KIND["Pod"])


class Counted(dict[str, object]):
    """An element that counts who asks for its name."""

    looks = 0

    def get(self, key: str, default: object = None) -> object:
        Counted.looks += 1
        return super().get(key, default)


def variables(prefix: str) -> list[object]:
    return [Counted(name=f"{prefix}{number}", value="x") for number in range(MANY)]


def pod(env: list[object], **more: object) -> Manifest:
    return {"spec": {"containers": [{"name": "app", "env": env, **more}]}}


def environment(manifest: Manifest) -> list[Manifest]:
    [container] = objects(section(manifest, "spec"), "containers")
    return objects(container, "env")


def test_a_strategic_merge_finds_elements_without_looking_at_all_of_them() -> None:
    Counted.looks = 0
    order = [{"name": f"B{number}"} for number in reversed(range(MANY))]
    merged = strategic_merge(pod(variables("A")), pod(variables("B"), **{"$setElementOrder/env": order}), POD)
    assert len(environment(merged)) == 2 * MANY
    assert Counted.looks <= 20 * MANY


def test_values_without_names_are_compared_once() -> None:
    compared = 0

    class Value(str):
        __slots__ = ()

        def __eq__(self, other: object) -> bool:
            nonlocal compared
            compared += 1
            return str.__eq__(self, other)

        __hash__ = str.__hash__

    old: Manifest = {"metadata": {"finalizers": [Value(f"x.io/{number}") for number in range(MANY)]}}
    new: Manifest = {
        "metadata": {
            "finalizers": [f"y.io/{number}" for number in range(MANY)],
            "$deleteFromPrimitiveList/finalizers": [f"z.io/{number}" for number in range(MANY)],
        }
    }
    merged = metadata(strategic_merge(old, new, POD))["finalizers"]
    assert isinstance(merged, list)
    assert len(merged) == 2 * MANY
    assert compared <= 20 * MANY


def test_an_apply_that_gives_up_many_elements_goes_through_them_once(monkeypatch: pytest.MonkeyPatch) -> None:
    named = 0
    key_of = Shape.key_of

    def counting(shape: Shape, element: object) -> str:
        nonlocal named
        named += 1
        return key_of(shape, element)

    monkeypatch.setattr(Shape, "key_of", counting)
    manager = Manager("Apply", "one", "v1")
    live = apply_configuration({}, pod(variables("A")), POD, manager, force=False, now="1")
    result = apply_configuration(live, pod(variables("B")), POD, manager, force=False, now="2")
    assert [one["name"] for one in environment(result)] == [f"B{number}" for number in range(MANY)]
    assert named <= 40 * MANY


def test_yaml_that_stands_for_more_than_it_is_is_refused() -> None:
    bomb = b"a: &a [x,x,x,x,x,x,x,x,x]\n"
    for one, other in zip("abcdefghi", "bcdefghij", strict=True):
        bomb += f"{other}: &{other} [{','.join([f'*{one}'] * 9)}]\n".encode()
    with pytest.raises(Failure, match="aliases") as refused:
        applied_configuration(bomb)
    assert refused.value.status is HTTPStatus.BAD_REQUEST
    assert applied_configuration(b"a: &unused [1]") == {"a": [1]}


def test_yaml_is_short_and_json_may_be_long() -> None:
    long = b"x" * 200_000
    with pytest.raises(Failure, match="send it as JSON") as refused:
        applied_configuration(b"a: " + long)
    assert refused.value.status is HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    assert applied_configuration(b'{"a": "' + long + b'"}') == {"a": long.decode()}
