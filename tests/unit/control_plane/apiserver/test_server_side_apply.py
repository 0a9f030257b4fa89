"""Server-side apply: merging, conflicts, and what a manager gives up."""

import json
from http import HTTPStatus

import pytest

from control_plane.apiserver.failure import Failure
from control_plane.apiserver.field_shape import shape_of
from control_plane.apiserver.managed_fields import Manager, managers_of, on_update
from control_plane.apiserver.server_side_apply import LAST_APPLIED, apply_configuration
from control_plane.resources.manifest import Manifest, metadata, section
from control_plane.resources.registry import BY_KIND

SHAPE = shape_of(BY_KIND["Deployment"])
APPLIER, OTHER = Manager("Apply", "one", "apps/v1"), Manager("Apply", "two", "apps/v1")
EDITOR = Manager("Update", "editor", "apps/v1")


def web(*containers: Manifest, **spec: object) -> Manifest:
    template = {"template": {"spec": {"containers": [*containers]}}} if containers else {}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web"},
        "spec": {**spec, **template},
    }


def container(name: str, **fields: object) -> Manifest:
    return {"name": name, "image": f"{name}:1", **fields}


def apply(live: Manifest, wanted: Manifest, by: Manager = APPLIER, *, force: bool = False) -> Manifest:
    return apply_configuration(live, wanted, SHAPE, by, force=force, now="1")


def pods(manifest: Manifest) -> object:
    return section(section(section(manifest, "spec"), "template"), "spec").get("containers")


def test_lists_are_merged_by_key_and_what_others_set_stays() -> None:
    live = apply({}, web(container("a"), replicas=2))
    both = apply(live, web(container("b")), OTHER)
    assert pods(both) == [container("a"), container("b")]
    assert section(both, "spec")["replicas"] == 2
    assert {manager.name for manager in managers_of(both)} == {"one", "two"}


def test_applying_again_changes_nothing() -> None:
    live = apply({}, web(container("a"), replicas=2))
    assert (
        apply_configuration(live, web(container("a"), replicas=2), SHAPE, APPLIER, force=False, now="9")
        == live
    )


def test_a_conflict_names_manager_and_field_and_may_be_forced() -> None:
    live = apply({}, web(container("a"), replicas=2))
    wanted = web(container("a", image="a:2"), replicas=3)
    with pytest.raises(Failure, match="Apply failed with 2 conflicts") as refusal:
        apply(live, wanted, OTHER)
    assert refusal.value.status is HTTPStatus.CONFLICT
    assert str(refusal.value).endswith(
        'conflicts with "one":\n- .spec.replicas\n- .spec.template.spec.containers[name="a"].image'
    )
    details = refusal.value.details or {}
    assert details["causes"] == [
        {"reason": "FieldManagerConflict", "message": 'conflict with "one"', "field": field}
        for field in (".spec.replicas", '.spec.template.spec.containers[name="a"].image')
    ]
    forced = apply(live, wanted, OTHER, force=True)
    assert pods(forced) == [container("a", image="a:2")]
    assert ("f:spec", "f:replicas") not in managers_of(forced)[APPLIER].fields


def test_an_update_is_named_with_its_version_and_time() -> None:
    live = apply({}, web(replicas=2))
    scaled = on_update(
        live, {**live, "spec": {"replicas": 5}}, SHAPE, EDITOR, scope="", now="2026-01-01T00:00:00Z"
    )
    with pytest.raises(Failure) as refusal:
        apply(scaled, web(replicas=2))
    assert str(refusal.value) == (
        'Apply failed with 1 conflict: conflict with "editor" using apps/v1 at 2026-01-01T00:00:00Z: '
        ".spec.replicas"
    )
    assert section(apply(scaled, web(replicas=5)), "spec")["replicas"] == 5  # the same value is shared


def test_what_is_no_longer_applied_goes_unless_somebody_else_owns_it() -> None:
    live = apply(
        {}, web(container("a", env=[{"name": "X", "value": "1"}]), container("b"), replicas=2, paused=True)
    )
    shared = apply(live, web(container("b")), OTHER)
    rest = apply(shared, web(container("a")))
    assert pods(rest) == [container("a"), container("b")]
    assert section(rest, "spec").keys() == {"template"}
    assert pods(apply(rest, web(container("a", image="b")), force=True)) == [
        container("a", image="b"),
        container("b"),
    ]


def test_the_key_of_an_element_stays_with_what_others_set_in_it() -> None:
    live = apply({}, web(container("a", ports=[{"containerPort": 80}])))
    edited = json.loads(json.dumps(live))
    edited["spec"]["template"]["spec"]["containers"][0]["tty"] = True
    edited = on_update(live, edited, SHAPE, EDITOR, scope="", now="2")
    assert pods(apply(edited, web(replicas=1))) == [{"name": "a", "tty": True}]


def test_what_kubectl_applied_client_side_is_its_own() -> None:
    kubectl = Manager("Apply", "kubectl", "apps/v1")
    before = web(container("a"), replicas=2)
    text = json.dumps(before)
    live = on_update(
        {},
        {**before, "metadata": {"name": "web", "annotations": {LAST_APPLIED: text}}},
        SHAPE,
        Manager("Update", "kubectl-client-side-apply", "apps/v1"),
        scope="",
        now="1",
    )
    wanted = web(container("a", image="a:2"), replicas=2)
    result = apply(live, wanted, kubectl)
    assert pods(result) == [container("a", image="a:2")]
    annotation = section(metadata(result), "annotations")[LAST_APPLIED]
    assert json.loads(str(annotation)) == wanted
    with pytest.raises(Failure, match="1 conflict"):
        apply(live, wanted, OTHER)
    broken = {**live, "metadata": {**metadata(live), "annotations": {LAST_APPLIED: "{"}}}
    with pytest.raises(Failure, match="1 conflict"):
        apply(broken, wanted, kubectl)


def test_managers_cannot_be_applied() -> None:
    wanted = {**web(replicas=1), "metadata": {"name": "web", "managedFields": [{"manager": "x"}]}}
    with pytest.raises(Failure, match="managedFields must be nil"):
        apply({}, wanted)
