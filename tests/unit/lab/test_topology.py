"""Manifests in: the order to apply them out, or an error that says where."""

from pathlib import PurePath

import pytest

from control_plane.resources.manifest import key_of
from lab.topology import Source, TopologyError, read_topology

POD = "kind: Pod\napiVersion: v1\nmetadata: {name: a}\nspec: {containers: [{name: app, command: [run]}]}\n"
NAMESPACE = "kind: Namespace\napiVersion: v1\nmetadata: {name: shop}\n"


def read(text: str, path: str = "shop.yaml") -> list[str]:
    return [str(key_of(entry.manifest)) for entry in read_topology([Source(PurePath(path), text)])]


def test_what_others_refer_to_comes_first() -> None:
    assert read(f"{POD}---\n{NAMESPACE}") == ["Namespace shop", "Pod default/a"]


def test_objects_without_a_namespace_are_put_into_default() -> None:
    assert read(POD) == ["Pod default/a"]


def test_empty_documents_are_passed_over_and_do_not_disturb_the_count() -> None:
    [entry] = read_topology([Source(PurePath("a.yaml"), f"---\n---\n{POD}---\n")])
    assert entry.place == "a.yaml, document 2"


def test_a_list_is_its_items() -> None:
    listed = "kind: List\napiVersion: v1\nitems:\n"
    for text in (POD, NAMESPACE):
        listed += "- " + text.strip().replace("\n", "\n  ") + "\n"
    entries = read_topology([Source(PurePath("a.yaml"), f"{listed}---\nkind: List\napiVersion: v1\n")])
    assert [entry.place for entry in entries] == [
        "a.yaml, document 1, items[1]",
        "a.yaml, document 1, items[0]",
    ]


def test_files_are_read_together() -> None:
    sources = [Source(PurePath("b.yaml"), POD), Source(PurePath("a.yaml"), NAMESPACE)]
    assert [entry.place for entry in read_topology(sources)] == ["a.yaml, document 1", "b.yaml, document 1"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: [", ["shop.yaml", "not YAML"]),
        ("- 1\n", ["document 1", "must be an object"]),
        (
            f"{NAMESPACE}---\nkind: CronJob\nmetadata: {{name: a}}\n",
            ["document 2", "'CronJob'", "Deployment"],
        ),
        ("kind: List\nitems: 3\n", ["document 1", "List", "items"]),
        ("kind: List\nitems: [3]\n", ["document 1, items[0]", "must be an object"]),
        ("kind: Pod\napiVersion: v1\n", ["document 1", "Pod", "metadata.name"]),
        (POD.replace("command", "comand"), ["document 1", 'Pod "a"', "spec.containers[0].comand"]),
        (f"{POD}---\n{POD}", ["document 2", "Pod default/a", "already in shop.yaml, document 1"]),
    ],
)
def test_an_error_names_file_document_object_and_field(text: str, words: list[str]) -> None:
    with pytest.raises(TopologyError) as refusal:
        read(text)
    for word in words:
        assert word in str(refusal.value)
