"""What volumes hold, and how it gets onto the disk."""

import os
from pathlib import Path

import pytest

from control_plane.resources.invalid import InvalidResource
from control_plane.resources.manifest import Manifest
from control_plane.resources.volume import Volume
from lab.environment import PodFacts, PodStartError
from lab.pod_sources import PodSources
from lab.volume import (
    VolumeFile,
    make_empty_dir,
    secret_owner,
    token_projections,
    volume_files,
    write_volume,
)
from tests.unit.lab.builders import pod

FACTS = PodFacts(pod(), "10.244.0.7", "10.244.0.1", "node")
LABELS = {"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}
ME = (os.getuid(), os.getgid())


def volume(**source: object) -> Volume:
    [made] = pod(volumes=[{"name": "v", **source}]).spec.volumes
    return made


def files(source: Manifest, maps: dict[str, dict[str, bytes]] | None = None) -> dict[str, VolumeFile]:
    sources = PodSources(maps or {}, {"s": {"p": b"x"}})
    return volume_files(volume(**source), FACTS, sources, {"token": "secret"})


def test_a_config_map_gives_a_file_for_each_key() -> None:
    assert files({"configMap": {"name": "c"}}, {"c": {"a": b"1"}}) == {"a": VolumeFile(b"1", 0o644)}


def test_items_choose_keys_paths_and_modes() -> None:
    source = {"configMap": {"name": "c", "items": [{"key": "a", "path": "d/x", "mode": 0o400}]}}
    assert files(source, {"c": {"a": b"1", "b": b"2"}}) == {"d/x": VolumeFile(b"1", 0o400)}


def test_a_missing_config_map_or_key_is_refused_unless_it_is_optional() -> None:
    with pytest.raises(PodStartError, match='configmap "c" not found'):
        files({"configMap": {"name": "c"}})
    keyed = {"name": "c", "items": [{"key": "z", "path": "z"}]}
    with pytest.raises(PodStartError, match="non-existent configmap key: z"):
        files({"configMap": keyed}, {"c": {}})
    assert files({"configMap": {"name": "c", "optional": True}}) == {}
    assert files({"configMap": {**keyed, "optional": True}}, {"c": {}}) == {}


def test_the_downward_api_gives_fields_as_files() -> None:
    found = files({"downwardAPI": {"items": [{**LABELS, "mode": 0o600}]}})
    assert found == {"labels": VolumeFile(b'app="web"\n', 0o600)}


def test_a_projected_volume_joins_its_sources_and_a_token_is_secret() -> None:
    sources = [
        {"configMap": {"name": "c"}},
        {"downwardAPI": {"items": [LABELS]}},
        {"serviceAccountToken": {"path": "token", "audience": "meshproxy-ca"}},
    ]
    assert files({"projected": {"sources": sources}}, {"c": {"a": b"1"}}) == {
        "a": VolumeFile(b"1", 0o644),
        "labels": VolumeFile(b'app="web"\n', 0o644),
        "token": VolumeFile(b"secret", 0o600, is_secret=True),
    }


def test_token_projections_are_found() -> None:
    sources = [{"serviceAccountToken": {"path": "t", "expirationSeconds": 600}}, {"configMap": {"name": "c"}}]
    assert [t.expiration_seconds for t in token_projections(volume(projected={"sources": sources}))] == [600]
    assert token_projections(volume(emptyDir={})) == []


def test_an_empty_dir_holds_nothing_and_a_secret_its_keys() -> None:
    assert files({"emptyDir": {}}) == {}
    assert files({"secret": {"secretName": "s", "defaultMode": 0o400}}) == {"p": VolumeFile(b"x", 0o400)}
    projected = {"sources": [{"secret": {"name": "s"}}]}
    assert files({"projected": projected}) == {"p": VolumeFile(b"x", 0o644)}


def test_resources_are_files_too() -> None:
    field = {"resource": "limits.cpu", "containerName": "app"}
    assert files({"downwardAPI": {"items": [{"path": "cpu", "resourceFieldRef": field}]}}) == {
        "cpu": VolumeFile(b"0", 0o644)
    }


@pytest.mark.parametrize(
    ("source", "named"),
    [
        ({"persistentVolumeClaim": {"claimName": "x"}}, "persistentVolumeClaim"),
        ({"hostPath": {"path": "/"}}, "hostPath"),
        ({"projected": {"sources": [{"clusterTrustBundle": {"path": "x"}}]}}, "clusterTrustBundle"),
    ],
)
def test_volumes_the_lab_has_nothing_of_are_refused_by_name(source: Manifest, named: str) -> None:
    with pytest.raises(PodStartError, match=named):
        files(source)


def test_a_group_may_read_what_is_not_secret(tmp_path: Path) -> None:
    write_volume(tmp_path, {"a": VolumeFile(b"1", 0o400)}, ME, os.getgid())
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o440
    make_empty_dir(tmp_path / "e", os.getgid())
    assert (tmp_path / "e").stat().st_mode & 0o7777 == 0o2777


def test_secrets_belong_to_the_first_container_that_mounts_the_volume() -> None:
    containers = [{"name": "app"}, {"name": "proxy", "volumeMounts": [{"name": "v", "mountPath": "/t"}]}]
    made = pod(containers=containers, volumes=[{"name": "v", "emptyDir": {}}])
    assert secret_owner(made, "v", {"app": (1, 1), "proxy": (1337, 1337)}) == (1337, 1337)
    assert secret_owner(made, "other", {}) == (0, 0)


def test_writing_replaces_files_and_removes_those_no_longer_wanted(tmp_path: Path) -> None:
    write_volume(tmp_path / "v", {"a": VolumeFile(b"1", 0o644), "d/b": VolumeFile(b"2", 0o600, True)}, ME)
    write_volume(tmp_path / "v", {"d/b": VolumeFile(b"3", 0o600, True)}, ME)
    assert not (tmp_path / "v" / "a").exists()
    assert (tmp_path / "v" / "d" / "b").read_text() == "3"
    assert (tmp_path / "v" / "d" / "b").stat().st_mode & 0o777 == 0o600


def test_a_path_that_is_written_in_a_roundabout_way_stays(tmp_path: Path) -> None:
    write_volume(tmp_path, {"d//./b": VolumeFile(b"1", 0o644)}, ME)
    assert (tmp_path / "d" / "b").read_text() == "1"


@pytest.mark.parametrize("path", ["..", "a/../../b", "/etc/x", ".", "./", "a\0b", ""])
def test_a_path_that_is_none_below_the_volume_is_refused(path: str) -> None:
    with pytest.raises(InvalidResource, match="path: must be relative"):
        volume(configMap={"name": "c", "items": [{"key": "a", "path": path}]})


def test_a_half_written_file_of_a_killed_writer_is_replaced(tmp_path: Path) -> None:
    (tmp_path / ".a.new").write_text("half")
    write_volume(tmp_path, {"a": VolumeFile(b"whole", 0o644)}, ME)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_an_empty_dir_may_be_written_by_every_user(tmp_path: Path) -> None:
    make_empty_dir(tmp_path / "e")
    make_empty_dir(tmp_path / "e")
    assert (tmp_path / "e").stat().st_mode & 0o777 == 0o777
