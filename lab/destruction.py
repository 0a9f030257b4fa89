"""Taking a lab's remains off the machine, whatever state they are in. Blocking."""

import os
import re
import shutil
from pathlib import Path

from lab import netns
from lab.netns import NetworkError


def destroy_lab(root: Path) -> None:
    """Leave nothing of the lab at `root`: processes in its namespaces, mounts below it, its files. Absent
    is fine.

    Needs no running lab: what belongs to it is found through the namespaces' files and the mount table, so
    it also works after everything was killed. Raises NetworkError when something could not be removed;
    files are deleted only when no mount is left below `root`, because a mount may show somebody else's
    files.
    """
    root = root.resolve()
    files = list((root / "netns").iterdir()) if (root / "netns").is_dir() else []
    namespaces = {found for path in files if (found := netns.identity(path)) is not None}
    if namespaces:
        netns.kill_processes(namespaces)
    for path in files:
        netns.delete(path)
    for mount in reversed(_mounts_below(root)):
        netns.unmount(mount)
    if left := _mounts_below(root):
        raise NetworkError(
            f"still mounted below {root}: {', '.join(map(str, left))}; unmount them and run it again"
        )
    if root.exists():
        shutil.rmtree(root)


def _mounts_below(root: Path) -> list[Path]:
    """Mount points at or below `root`, in the order they were mounted."""
    with open("/proc/self/mountinfo", "rb") as table:
        points = [Path(os.fsdecode(_unescape(line.split()[4]))) for line in table]
    return [point for point in points if point == root or root in point.parents]


def _unescape(field: bytes) -> bytes:
    """The kernel writes white space and backslashes in the mount table as three octal digits."""
    return re.sub(rb"\\([0-7]{3})", lambda match: bytes([int(match[1], 8)]), field)
