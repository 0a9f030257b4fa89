"""`python -m meshproxy._speedups.build`: compile the modules with mypyc, into the environment's own folder.

Needs mypy, setuptools, a C compiler and Python's headers. Without them the sidecar runs on the sources.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

from meshproxy._speedups.finder import Speedups, find
from meshproxy._speedups.modules import MANIFEST, MODULES, Manifest, digests, folder, interpreter, source_of

_ROOT = Path(__file__).parents[2]
_SETUP = """
from setuptools import setup
from mypyc.build import mypycify
setup(name="meshproxy-compiled", packages=[], ext_modules=mypycify({files!r}, opt_level="2", debug_level="0"))
"""


def is_current(place: Path) -> bool:
    """The folder holds what would be built."""
    return find(place, _ROOT)[0] is Speedups.COMPILED


def missing() -> str:
    """What is needed and not here; empty when all is."""
    compiler = (sysconfig.get_config_var("CC") or "cc").split()[0]
    if shutil.which(compiler) is None:
        return f"a C compiler ({compiler})"
    if not (Path(sysconfig.get_path("include")) / "Python.h").exists():
        return "Python's headers (Python.h)"
    return ""


def build(place: Path) -> None:
    """Compile and put in place at once; an interrupted build leaves the former one. Raises
    CalledProcessError with the compiler's words in `stdout`."""
    sources = digests(_ROOT)
    with tempfile.TemporaryDirectory(prefix="meshproxy-build-") as scratch:
        work = Path(scratch)
        for name in ("meshproxy", "control_plane", "certs"):
            shutil.copytree(_ROOT / name, work / name, ignore=shutil.ignore_patterns("__pycache__", "*.so"))
        shutil.copy(_ROOT / "pyproject.toml", work)
        files = [str(source_of(module, Path())) for module in MODULES]
        (work / "setup_compiled.py").write_text(_SETUP.format(files=files))
        subprocess.run(
            [sys.executable, "setup_compiled.py", "-q", "build_ext", "--inplace"],
            cwd=work,
            check=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=os.environ | {"PYTHONPATH": str(work)},
        )
        _put_in_place(work, place, sources)


def _put_in_place(work: Path, place: Path, sources: dict[str, str]) -> None:
    suffix = interpreter()
    files = {}
    fresh = place.with_name(place.name + ".new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    built = [*work.glob(f"*{suffix}"), *(work / "meshproxy").rglob(f"*{suffix}")]
    for path in built:
        module = str(path.relative_to(work)).removesuffix(suffix).replace("/", ".")
        files[module] = f"{module}{suffix}"
        shutil.copy(path, fresh / files[module])
    (fresh / MANIFEST).write_text(Manifest(suffix, sources, files).text())
    shutil.rmtree(place, ignore_errors=True)
    fresh.rename(place)


def main() -> int:
    """Exit status 0 when compiled modules are in place, 3 when something is missing for it, 1 on failure."""
    place = folder()
    if is_current(place):
        return 0
    if lack := missing():
        print(f"speedups: not compiled, {lack} is missing; the sidecar runs on its Python sources")
        return 3
    print(f"speedups: compiling {len(MODULES)} modules of the data path")
    try:
        build(place)
    except subprocess.CalledProcessError as error:
        print(f"speedups: {error}\n{error.stdout[-4000:]}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
