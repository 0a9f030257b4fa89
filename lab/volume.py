"""Volumes of a pod: which files they hold (pure), and writing them below the pod's directory.

A file is replaced by renaming a finished one over it: a reader sees the old or the new content, never half
of one.
"""

import contextlib
import errno
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from control_plane.resources.container import Container
from control_plane.resources.pod import Pod
from control_plane.resources.volume import (
    DownwardApiFile,
    KeyToPath,
    ServiceAccountTokenProjection,
    Volume,
    VolumeProjection,
)
from lab import syscalls
from lab.environment import PodFacts, PodStartError, field_value, resource_value
from lab.pod_sources import Data, PodSources

_TOKEN_MODE = 0o600
_WAITING = "ContainerCreating"
"""The reason of a container that waits for a volume."""


@dataclass(frozen=True, slots=True)
class VolumeFile:
    """One file of a volume."""

    content: bytes
    mode: int
    is_secret: bool = False
    """Belongs to the user of the container that mounts the volume, and to nobody else."""


def volume_files(
    volume: Volume, facts: PodFacts, sources: PodSources, tokens: Mapping[str, str]
) -> dict[str, VolumeFile]:
    """Relative path → file. `tokens`: path of each service-account token of this volume → the token.

    An emptyDir has none. Raises PodStartError for a missing ConfigMap, Secret or key, and for volumes of
    which the lab has nothing.
    """
    if volume.secret is not None:
        given = volume.secret
        needed = _Keyed(
            volume.name, "secret", given.secret_name, given.items, given.optional, given.default_mode
        )
        return needed.files(sources.secrets)
    if volume.config_map is not None:
        chosen = volume.config_map
        needed = _Keyed(
            volume.name, "configmap", chosen.name, chosen.items, chosen.optional, chosen.default_mode
        )
        return needed.files(sources.config_maps)
    if volume.downward_api is not None:
        return _downward_files(volume.downward_api.items, facts, volume.downward_api.default_mode)
    if volume.projected is not None:
        files: dict[str, VolumeFile] = {}
        for part in volume.projected.sources:
            mode = volume.projected.default_mode
            files |= _projected_files(volume.name, part, facts, sources, tokens, mode)
        return files
    if volume.empty_dir is not None:
        return {}
    message = (
        f"the lab has no {volume.source} volumes; use emptyDir, configMap, secret, downwardAPI or projected"
    )
    raise PodStartError(_set_up_failed(volume.name, message), _WAITING)


def _set_up_failed(volume: str, message: str) -> str:
    return f'MountVolume.SetUp failed for volume "{volume}" : {message}'


def _projected_files(
    volume: str,
    part: VolumeProjection,
    facts: PodFacts,
    sources: PodSources,
    tokens: Mapping[str, str],
    mode: int,
) -> dict[str, VolumeFile]:
    if part.config_map is not None:
        chosen = part.config_map
        needed = _Keyed(volume, "configmap", chosen.name, chosen.items, chosen.optional, mode)
        return needed.files(sources.config_maps)
    if part.secret is not None:
        given = part.secret
        needed = _Keyed(volume, "secret", given.name, given.items, given.optional, mode)
        return needed.files(sources.secrets)
    if part.downward_api is not None:
        return _downward_files(part.downward_api.items, facts, mode)
    if part.service_account_token is not None:
        path = part.service_account_token.path
        return {path: VolumeFile(tokens[path].encode(), _TOKEN_MODE, is_secret=True)}
    message = "clusterTrustBundle projections are not made by the lab"
    raise PodStartError(_set_up_failed(volume, message), _WAITING)


def token_projections(volume: Volume) -> list[ServiceAccountTokenProjection]:
    """The tokens a volume asks for."""
    sources = volume.projected.sources if volume.projected is not None else ()
    return [s.service_account_token for s in sources if s.service_account_token is not None]


@dataclass(frozen=True, slots=True)
class _Keyed:
    """Files from the keys of a ConfigMap or Secret."""

    volume: str
    kind: str
    name: str
    items: Sequence[KeyToPath]
    optional: bool
    mode: int

    def files(self, found: Mapping[str, Data]) -> dict[str, VolumeFile]:
        data = found.get(self.name)
        if data is None:
            if self.optional:
                return {}
            raise PodStartError(_set_up_failed(self.volume, f'{self.kind} "{self.name}" not found'), _WAITING)
        files = {}
        for item in self.items or [KeyToPath(key=key, path=key) for key in data]:
            if item.key in data:
                files[item.path] = VolumeFile(data[item.key], self.mode if item.mode is None else item.mode)
            elif not self.optional:
                message = f"references non-existent {self.kind} key: {item.key}"
                raise PodStartError(_set_up_failed(self.volume, message), _WAITING)
        return files


def _downward_files(items: Iterable[DownwardApiFile], facts: PodFacts, mode: int) -> dict[str, VolumeFile]:
    return {
        item.path: VolumeFile(_downward_value(item, facts).encode(), mode if item.mode is None else item.mode)
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


def write_volume(
    directory: Path, files: Mapping[str, VolumeFile], owner: tuple[int, int], fs_group: int | None = None
) -> None:
    """Make `directory` hold `files`; files written earlier that are no longer wanted are removed.

    `owner` (uid, gid) gets the secret ones; `fs_group` may read all.
    """
    directory.mkdir(mode=0o755, parents=True, exist_ok=True)
    files = {os.path.normpath(path): file for path, file in files.items()}
    for path, file in files.items():
        target = directory / path
        target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        _replace(target, file, owner, fs_group)
    for found in directory.rglob("*"):
        if found.is_file() and str(found.relative_to(directory)) not in files:
            found.unlink()


def _replace(target: Path, file: VolumeFile, owner: tuple[int, int], fs_group: int | None) -> None:
    staged = target.with_name(f".{target.name}.new")
    with contextlib.suppress(FileNotFoundError):
        staged.unlink()
    descriptor = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    mode = file.mode
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(file.content)
        if file.is_secret:
            os.fchown(descriptor, *owner)
        elif fs_group is not None:
            os.fchown(descriptor, -1, fs_group)
            mode |= 0o440
        os.fchmod(descriptor, mode)
    os.rename(staged, target)


def make_empty_dir(directory: Path, fs_group: int | None = None) -> None:
    """An emptyDir, writable by every user of the pod, as in Kubernetes; what is made in it belongs to
    `fs_group`.
    """
    directory.mkdir(parents=True, exist_ok=True)
    if fs_group is not None:
        os.chown(directory, -1, fs_group)
    directory.chmod(0o777 if fs_group is None else 0o2777)


def make_sub_path(root: Path, below: str, fs_group: int | None = None) -> None:
    """Directories of a volume that are missing on the way to `below`, as `make_empty_dir` makes them.

    The volume is the containers' own: what they linked to somewhere else is not followed out of it. Raises
    PodStartError for that, OSError.
    """
    volume = os.open(root, os.O_PATH | os.O_DIRECTORY)
    try:
        parts = [part for part in below.split("/") if part not in ("", ".")]
        for depth in range(len(parts)):
            _make_beneath(volume, "/".join(parts[:depth]), parts[depth], fs_group)
    except OSError as error:
        if error.errno not in (errno.EXDEV, errno.ELOOP):
            raise
        raise PodStartError(f"subPath {below!r} leads out of volume {root.name!r}") from error
    finally:
        os.close(volume)


def _make_beneath(volume: int, parent: str, name: str, fs_group: int | None) -> None:
    path = f"{parent}/{name}" if parent else name
    with contextlib.suppress(FileNotFoundError):
        os.close(syscalls.open_beneath(volume, path))
        return
    holder = syscalls.open_beneath(volume, parent, os.O_PATH | os.O_DIRECTORY)
    try:
        os.mkdir(name, 0o755, dir_fd=holder)
        made = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=holder)
    finally:
        os.close(holder)
    try:
        if fs_group is not None:
            os.fchown(made, -1, fs_group)
        os.fchmod(made, 0o777 if fs_group is None else 0o2777)
    finally:
        os.close(made)


def make_message_file(path: Path) -> None:
    """An empty file that every user may write: a container's termination message."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")
    path.chmod(0o666)


def mount_memory(directory: Path, size: int) -> None:
    """A file system in the node's memory of at most `size` bytes (0: half of the memory) at `directory`."""
    directory.mkdir(parents=True, exist_ok=True)
    if not directory.is_mount():
        options = f"mode=777,size={size}" if size else "mode=777"
        flags = syscalls.MS_NOSUID | syscalls.MS_NODEV
        syscalls.mount("tmpfs", str(directory), filesystem="tmpfs", flags=flags, options=options)
