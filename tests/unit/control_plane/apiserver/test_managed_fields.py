"""Who owns which field: the sets, and what an update makes of them."""

import pytest

from control_plane.apiserver.field_set import from_fields_v1, path_text, to_fields_v1
from control_plane.apiserver.field_shape import shape_of
from control_plane.apiserver.managed_fields import Manager, managers_of, on_update
from control_plane.resources.manifest import Manifest, metadata, objects, with_metadata
from control_plane.resources.registry import BY_KIND

SHAPE = shape_of(BY_KIND["Pod"])
ONE, TWO = Manager("Update", "one", "v1"), Manager("Update", "two", "v1")


def pod(image: str = "a:1", **labels: str) -> Manifest:
    spec = {"containers": [{"name": "app", "image": image, "ports": [{"containerPort": 80}]}]}
    meta: Manifest = {"name": "a", "namespace": "shop"}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {**meta, "labels": labels} if labels else meta,
        "spec": spec,
    }


def updated(before: Manifest, after: Manifest, by: Manager, now: str = "1") -> Manifest:
    kept = with_metadata(after, managedFields=metadata(before).get("managedFields", []))
    return on_update(before, kept, SHAPE, by, scope="", now=now)


def owned(manifest: Manifest, manager: Manager) -> set[str]:
    return {path_text(path) for path in managers_of(manifest)[manager].fields}


def test_the_creator_owns_everything_but_the_envelope() -> None:
    created = updated({}, pod(app="web"), ONE)
    (entry,) = objects(metadata(created), "managedFields")
    assert {name: value for name, value in entry.items() if name != "fieldsV1"} == {
        "manager": "one",
        "operation": "Update",
        "apiVersion": "v1",
        "time": "1",
        "fieldsType": "FieldsV1",
    }
    fields = entry["fieldsV1"]
    assert isinstance(fields, dict)
    assert fields["f:metadata"] == {"f:labels": {".": {}, "f:app": {}}}
    assert fields["f:spec"]["f:containers"]['k:{"name":"app"}'] == {
        ".": {},
        "f:name": {},
        "f:image": {},
        "f:ports": {
            ".": {},
            'k:{"containerPort":80,"protocol":"TCP"}': {".": {}, "f:containerPort": {}},
        },
    }


def test_who_changes_a_field_owns_it_and_the_other_does_not() -> None:
    changed = updated(updated({}, pod("a:1", app="web"), ONE), pod("a:2", app="web"), TWO, "2")
    image = '.spec.containers[name="app"].image'
    assert owned(changed, TWO) == {image}
    assert image not in owned(changed, ONE)
    assert [entry["time"] for entry in objects(metadata(changed), "managedFields")] == ["1", "2"]


def test_what_is_removed_is_nobodys_and_no_change_changes_nothing() -> None:
    created = updated({}, pod(app="web"), ONE)
    removed = updated(created, pod(), TWO, "2")
    assert ".metadata.labels.app" not in owned(removed, ONE)
    assert TWO not in managers_of(removed)
    assert updated(created, created, ONE, "3") == created
    assert updated(created, created, TWO, "3") == created


def test_a_client_may_bring_managers_forget_them_or_send_nonsense() -> None:
    created = updated({}, pod(app="web"), ONE)
    entry: Manifest = {"manager": "x", "operation": "Apply", "apiVersion": "v1", "fieldsV1": {"f:spec": {}}}
    brought = with_metadata(
        created, managedFields=[entry, {"operation": "Other"}, {**entry, "fieldsV1": {"?": 1}}]
    )
    result = on_update(created, brought, SHAPE, TWO, scope="", now="2")
    assert [manager.name for manager in managers_of(result)] == ["x"]
    forgotten = with_metadata(created, managedFields=[{}])
    assert "managedFields" not in metadata(on_update(created, forgotten, SHAPE, TWO, scope="", now="2"))


def test_a_status_is_owned_apart() -> None:
    created = updated({}, pod(), ONE)
    kubelet = Manager("Update", "kubelet", "v1", "status")
    running = {**created, "status": {"phase": "Running"}}
    written = on_update(created, running, SHAPE, kubelet, scope="status", now="2")
    assert owned(written, kubelet) == {".status", ".status.phase"}
    assert objects(metadata(written), "managedFields")[-1]["subresource"] == "status"


def test_the_oldest_of_too_many_are_put_together() -> None:
    current = updated({}, pod(), ONE, "00")
    for number in range(1, 14):
        by = Manager("Update", f"m{number}", "v1")
        labels = {f"l{one}": "x" for one in range(number + 1)}
        current = updated(current, pod("a:1", **labels), by, f"{number:02}")
    managers = managers_of(current)
    assert len(managers) == 11
    assert ".metadata.labels.l1" in owned(current, Manager("Update", "ancient-changes", "v1"))


@pytest.mark.parametrize(
    "fields",
    [
        {"f:spec": {"f:a": {}, "f:b": {".": {}, "f:c": {}}}},
        {"f:metadata": {"f:finalizers": {".": {}, 'v:"x.io/a"': {}}}},
    ],
)
def test_fields_v1_are_read_and_written(fields: Manifest) -> None:
    assert to_fields_v1(from_fields_v1(fields)) == fields


def test_paths_as_kubernetes_names_them() -> None:
    paths = from_fields_v1({"f:a": {'k:{"p":80,"q":"TCP"}': {"f:b": {}}, 'v:"x"': {}}})
    assert sorted(map(path_text, paths)) == ['.a[="x"]', '.a[p=80,q="TCP"].b']
    with pytest.raises(ValueError, match="is not a set of fields"):
        from_fields_v1({"f:a": {"b": {}}})


@pytest.mark.parametrize("part", ["k:no JSON", "k:[1]", "v:{", "x:a"])
def test_a_set_whose_elements_have_no_readable_name_counts_as_nobodys(part: str) -> None:
    fields = {"f:spec": {"f:containers": {part: {".": {}, "f:image": {}}}}}
    entry = {"manager": "evil", "operation": "Apply", "apiVersion": "v1", "fieldsV1": fields}
    assert managers_of(with_metadata(pod(), managedFields=[entry])) == {}
