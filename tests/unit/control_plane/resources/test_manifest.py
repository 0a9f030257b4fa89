"""The envelope of an object as a plain dict."""

from control_plane.resources.manifest import (
    Manifest,
    ObjectKey,
    key_of,
    labels_of,
    metadata,
    resource_version_of,
    section,
    uid_of,
    with_metadata,
)

POD: Manifest = {
    "kind": "Pod",
    "metadata": {
        "name": "a",
        "namespace": "shop",
        "uid": "u",
        "resourceVersion": "7",
        "labels": {"app": "web"},
    },
}


def test_reads_the_envelope() -> None:
    assert key_of(POD) == ("Pod", "shop", "a")
    assert (uid_of(POD), resource_version_of(POD), labels_of(POD)) == ("u", "7", {"app": "web"})


def test_what_is_absent_or_of_a_wrong_type_reads_as_empty() -> None:
    assert key_of({}) == ("", "", "")
    assert metadata({"metadata": []}) == {}
    assert labels_of({"metadata": {"labels": None}}) == {}
    assert section({"spec": 3}, "spec") == {}
    assert uid_of({"metadata": {"uid": 3}}) == ""


def test_with_metadata_leaves_the_original_alone() -> None:
    changed = with_metadata(POD, uid="v")
    assert (uid_of(changed), uid_of(POD)) == ("v", "u")


def test_a_key_reads_as_people_write_it() -> None:
    assert str(ObjectKey("Pod", "shop", "a")) == "Pod shop/a"
    assert str(ObjectKey("Namespace", "", "shop")) == "Namespace shop"
