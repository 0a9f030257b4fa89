"""Compiled modules are taken only where they were made of the sources that are there."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from meshproxy._speedups import build, finder, modules
from meshproxy._speedups.finder import Speedups
from meshproxy._speedups.modules import MANIFEST, MODULES, Manifest, digests, interpreter

ROOT = Path(__file__).parents[3]


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setattr(finder, "folder", lambda: tmp_path)
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    return tmp_path


def write(place: Path, **changes: object) -> None:
    values = {"interpreter": interpreter(), "sources": digests(ROOT), "files": {"m": "m.so"}} | changes
    (place / MANIFEST).write_text(Manifest(**values).text())  # type: ignore[arg-type]


def test_every_module_named_exists():
    assert set(digests(ROOT)) == set(MODULES)
    assert list(MODULES) == sorted(MODULES)


def test_nothing_built_runs_the_sources(place):
    assert finder.install({}) is Speedups.NOT_BUILT


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"interpreter": 1}'])
def test_a_manifest_that_cannot_be_read_is_none(place, text):
    (place / MANIFEST).write_text(text)
    assert finder.install({}) is Speedups.NOT_BUILT
    assert not build.is_current(place)


def test_what_was_made_of_these_sources_is_taken(place):
    write(place)
    assert finder.install({}) is Speedups.COMPILED
    spec = sys.meta_path[0].find_spec("m", None)
    assert spec is not None
    assert spec.origin == str(place / "m.so")
    assert sys.meta_path[0].find_spec("other", None) is None
    assert build.is_current(place)


def test_other_sources_or_another_interpreter_are_not(place):
    write(place, sources=digests(ROOT) | {MODULES[0]: "0"})
    assert finder.install({}) is Speedups.OUTDATED
    write(place, interpreter=".cpython-30")
    assert finder.install({}) is Speedups.OUTDATED


def test_the_environment_decides(place):
    write(place)
    assert finder.install({finder.VARIABLE: "off"}) is Speedups.TURNED_OFF
    (place / MANIFEST).unlink()
    with pytest.raises(RuntimeError, match="not built"):
        finder.install({finder.VARIABLE: "on"})


def test_what_building_lacks_is_named(monkeypatch):
    monkeypatch.setattr("shutil.which", lambda name: None)
    assert "C compiler" in build.missing()


def test_the_folder_is_with_the_installed_packages():
    assert modules.folder().name == "meshproxy_compiled"


@pytest.mark.parametrize("state", Speedups)
def test_requests_run_through_the_sources_unless_modules_were_taken(state):
    assert state.data_path == ("compiled" if state is Speedups.COMPILED else "sources")
