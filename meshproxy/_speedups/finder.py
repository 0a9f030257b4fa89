"""Takes compiled modules in the place of their sources, when they were made of just these sources.

Only processes that ask for it do: the sidecar and its workers. Tests run on the sources unless told.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from enum import Enum
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Final

from meshproxy._speedups.modules import MANIFEST, Manifest, digests, folder, interpreter

VARIABLE: Final = "MESHPROXY_SPEEDUPS"
"""`off` runs the sources; `on` refuses to start without compiled modules; else what is there is taken."""


class Speedups(Enum):
    """What became of it; for the log and the admin page."""

    COMPILED = "compiled"
    NOT_BUILT = "not built"
    OUTDATED = "outdated: the sources have changed since; run `make venv`"
    TURNED_OFF = "turned off"

    @property
    def data_path(self) -> str:
        """What requests run through: `compiled` or `sources`."""
        return "compiled" if self is Speedups.COMPILED else "sources"


class _CompiledFinder(MetaPathFinder):
    def __init__(self, files: Mapping[str, Path]) -> None:
        self._files = files

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        file = self._files.get(fullname)
        return None if file is None else spec_from_file_location(fullname, file)


def install(environment: Mapping[str, str] = os.environ) -> Speedups:
    """Call it before anything of the data path is imported.

    Raises RuntimeError when compiled modules are demanded and cannot be had.
    """
    wish = environment.get(VARIABLE, "")
    if wish == "off":
        return Speedups.TURNED_OFF
    state, files = find(folder(), Path(__file__).parents[2])
    if state is Speedups.COMPILED:
        sys.meta_path.insert(0, _CompiledFinder(files))
    elif wish == "on":
        raise RuntimeError(f"{VARIABLE}=on, but compiled modules are {state.value}")
    return state


def find(place: Path, root: Path) -> tuple[Speedups, dict[str, Path]]:
    """What lies in the folder `place`, and its files when they were made of the sources under `root`."""
    try:
        manifest = Manifest.parse((place / MANIFEST).read_text())
        is_current = manifest.interpreter == interpreter() and manifest.sources == digests(root)
    except (OSError, ValueError, KeyError, TypeError):
        return Speedups.NOT_BUILT, {}
    if not is_current:
        return Speedups.OUTDATED, {}
    return Speedups.COMPILED, {module: place / name for module, name in manifest.files.items()}
