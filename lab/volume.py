"""Volumes of a pod: which files they hold (pure), and writing them below the pod's directory.

A file is replaced by renaming a finished one over it: a reader sees the old or the new content, never half
of one.
"""

import contextlib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from control_plane.resources.container import Container
from control_plane.resources.pod import Pod
from control_plane.resources.volume import DownwardApiFile, KeyToPath, ServiceAccountTokenProjection, Volume
from lab.environment import PodFacts, PodStartError, field_value, resource_value

_TOKEN_MODE = 0o600


@dataclass(frozen=True, slots=True)
class VolumeFile:
    """One file of a volume."""

    content: str
    mode: int
    is_secret: bool = False
    """Belongs to the user of the container that mounts the volume, and to nobody else."""


def volume_files(
    volume: Volume,
    facts: PodFacts,
    config_maps: Mapping[str, Mapping[str, str]],
    tokens: Mapping[str, str],
) -> dict[str, VolumeFile]:
    """Relative path → file. `tokens`: path of each service-account token of this volume → the token.

    An emptyDir has none. Raises PodStartError for a missing ConfigMap or key, and for Secrets.
    """
    if volume.secret is not None:
        raise PodStartError(f"volume {volume.name}: Secrets are not served yet, use a ConfigMap")
    if volume.config_map is not None:
        config = volume.config_map
        return _config_files(config.name, config.items, config.optional, config_maps, config.default_mode)
    if volume.downward_api is not None:
        return _downward_files(volume.downward_api.items, facts, volume.downward_api.default_mode)
    files: dict[str, VolumeFile] = {}
    if volume.projected is not None:
        mode = volume.projected.default_mode
        for source in volume.projected.sources:
            if source.config_map is not None:
                config_map = source.config_map
                files |= _config_files(
                    config_map.name, config_map.items, config_map.optional, config_maps, mode
                )
            if source.downward_api is not None:
                files |= _downward_files(source.downward_api.items, facts, mode)
            if source.service_account_token is not None:
                path = source.service_account_token.path
                files[path] = VolumeFile(tokens[path], _TOKEN_MODE, is_secret=True)
    return files


def token_projections(volume: Volume) -> list[ServiceAccountTokenProjection]:
    """The tokens a volume asks for."""
    sources = volume.projected.sources if volume.projected is not None else ()
    return [s.service_account_token for s in sources if s.service_account_token is not None]


def _config_files(
    name: str,
    items: Iterable[KeyToPath],
    optional: bool,
    config_maps: Mapping[str, Mapping[str, str]],
    mode: int,
) -> dict[str, VolumeFile]:
    data = config_maps.get(name)
    if data is None:
        if optional:
            return {}
        raise PodStartError(f"ConfigMap {name} does not exist in the pod's namespace", "ContainerCreating")
    chosen = list(items) or [KeyToPath(key=key, path=key) for key in data]
    files = {}
    for item in chosen:
        if item.key in data:
            files[item.path] = VolumeFile(data[item.key], mode if item.mode is None else item.mode)
        elif not optional:
            raise PodStartError(f"ConfigMap {name} has no key {item.key}")
    return files


def _downward_files(items: Iterable[DownwardApiFile], facts: PodFacts, mode: int) -> dict[str, VolumeFile]:
    return {
        item.path: VolumeFile(_downward_value(item, facts), mode if item.mode is None else item.mode)
        for item in items
    }


def _downward_value(item: DownwardApiFile, facts: PodFacts) -> str:
    if item.field_ref is not None:
        return field_value(facts, item.field_ref.field_path)
    assert item.resource_field_ref is not None  # the model demands one of them
    return resource_value(facts, item.resource_field_ref, item.resource_field_ref.container_name)


def secret_owner(pod: Pod, volume: str, owners: Mapping[str, tuple[int, int]]) -> tuple[int, int]:
    """uid and gid that own the secret files of `volume`: those of the first container that mounts it.

    `owners`: container name → (uid, gid). Root when nobody mounts it.
    """
    containers: tuple[Container, ...] = (*pod.spec.init_containers, *pod.spec.containers)
    for container in containers:
        if any(mount.name == volume for mount in container.volume_mounts):
            return owners[container.name]
    return (0, 0)


def write_volume(directory: Path, files: Mapping[str, VolumeFile], owner: tuple[int, int]) -> None:
    """Make `directory` hold `files`; files written earlier that are no longer wanted are removed."""
    directory.mkdir(mode=0o755, parents=True, exist_ok=True)
    for path, file in files.items():
        target = directory / path
        target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        _replace(target, file, owner)
    for found in directory.rglob("*"):
        if found.is_file() and str(found.relative_to(directory)) not in files:
            found.unlink()


def _replace(target: Path, file: VolumeFile, owner: tuple[int, int]) -> None:
    staged = target.with_name(f".{target.name}.new")
    with contextlib.suppress(FileNotFoundError):
        staged.unlink()
    descriptor = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        stream.write(file.content)
        if file.is_secret:
            os.fchown(descriptor, *owner)
        os.fchmod(descriptor, file.mode)
    os.rename(staged, target)


def make_empty_dir(directory: Path) -> None:
    """An emptyDir, writable by every user of the pod, as in Kubernetes."""
    directory.mkdir(parents=True, exist_ok=True)
    directory.chmod(0o777)
