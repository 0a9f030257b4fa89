"""The lab's files: state, pod records, paths."""

from pathlib import Path

import pytest

from lab.lab_file import LabPlan, plan_of_zones
from lab.paths import LabPaths
from lab.plan_file import read_plan, write_plan
from lab.pod_record import ContainerPlace, PodRecord, find_pod, read_pod_record, write_pod_record
from lab.process import ProcessId
from lab.state import LabOptions, LabState, read_state, write_state


def test_state_is_read_as_it_was_written(tmp_path: Path) -> None:
    state = LabState(LabOptions(leaf_ttl=10), "https://127.0.0.1:1", True, {"kubelet": ProcessId(7, 8)})
    write_state(tmp_path / "state.json", state)
    assert read_state(tmp_path / "state.json") == state
    assert [path.name for path in tmp_path.iterdir()] == ["state.json"]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"processes": {}, "options": {"a": 1}}'])
def test_a_state_that_cannot_be_read_counts_as_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "state.json").write_text(text)
    assert read_state(tmp_path / "state.json") is None
    assert read_state(tmp_path / "absent.json") is None


def test_lab_names_are_directory_names() -> None:
    assert LabPaths.of("demo").root == Path("/run/meshproxy/demo")
    for name in ("", "..", "a/b", "Demo", "-a", "a" * 33):
        with pytest.raises(ValueError, match="lab name"):
            LabPaths.of(name)


def put(paths: LabPaths, namespace: str, name: str) -> PodRecord:
    record = PodRecord(namespace, name, "uid", "10.244.0.7", "app", {"app": ContainerPlace(7, 1, 2)})
    folder = paths.pods / f"{namespace}_{name}_uid"
    folder.mkdir(parents=True)
    write_pod_record(folder / "pod.json", record)
    return record


def test_a_pod_is_found_by_name_by_namespace_and_by_its_deployment(tmp_path: Path) -> None:
    paths = LabPaths(tmp_path)
    one, two = put(paths, "a", "web-1"), put(paths, "b", "web-1")
    assert find_pod(paths, "web-1") == one
    assert find_pod(paths, "b/web-1") == two
    assert find_pod(paths, "b/web") == two
    assert find_pod(paths, "we") is None
    assert find_pod(paths, "c/web-1") is None


def test_a_pod_that_has_gone_meanwhile_is_none(tmp_path: Path) -> None:
    assert read_pod_record(tmp_path / "pod.json") is None


def test_a_plan_is_read_as_it_was_written(tmp_path: Path) -> None:
    paths = LabPaths(tmp_path)
    assert read_plan(paths) == LabPlan()
    write_plan(paths, plan_of_zones("a,eu/b"))
    assert read_plan(paths) == plan_of_zones("a,eu/b")
