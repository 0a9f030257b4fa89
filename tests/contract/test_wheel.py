"""The distribution: every package and every file that is not Python is in the built wheel."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
PACKAGES = ("meshproxy/", "control_plane/", "certs/", "injector/", "lab/", "meshctl/")


def tracked_files() -> list[str]:
    """What a clone holds, in its present state."""
    command = ["git", "-c", f"safe.directory={ROOT}", "ls-files"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [name for name in listed.splitlines() if (ROOT / name).is_file()]


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """What the wheel holds. Built from a copy: the build backend leaves folders beside its sources."""
    source = tmp_path_factory.mktemp("source")
    for name in tracked_files():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes((ROOT / name).read_bytes())
    target = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "--wheel-dir", str(target), str(source)], check=True, capture_output=True)
    (wheel,) = target.glob("meshproxy-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_every_module_of_every_package_is_in_the_wheel(names):
    expected = {
        name
        for name in tracked_files()
        if name.startswith(PACKAGES) and Path(name).suffix in {".py", ".pyi", ".proto"}
    }
    assert expected - names == set()


def test_nothing_else_is(names):
    tops = {name.partition("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {
        package.rstrip("/") for package in PACKAGES
    }


def test_the_command_line_tool_has_its_entry_point(names):
    assert any(name.endswith(".dist-info/entry_points.txt") for name in names)
