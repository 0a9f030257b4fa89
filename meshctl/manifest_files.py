"""Manifests that a command is given: files, directories, `-` for standard input."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path, PurePath
from typing import Any, TypeVar

import click

from lab.topology import Declared, Source, TopologyError, read_topology

SUFFIXES = (".yaml", ".yml", ".json")
Command = TypeVar("Command", bound=Callable[..., Any])


def files_option(*, required: bool) -> Callable[[Command], Command]:
    """`-f`, several times, as argument `files: Sequence[Path]`."""
    return click.option(
        "-f",
        "--filename",
        "files",
        multiple=True,
        required=required,
        type=click.Path(exists=True, allow_dash=True, path_type=Path),
        help="A file, a directory, or - for standard input.",
    )


def read_manifests(files: Sequence[Path]) -> list[Declared]:
    """All objects, in the order to apply them. Raises ClickException."""
    try:
        return read_topology([source for file in files for source in _sources(file)])
    except (TopologyError, OSError, UnicodeDecodeError) as error:
        raise click.ClickException(str(error)) from error


def _sources(file: Path) -> list[Source]:
    if str(file) == "-":
        return [Source(PurePath("standard input"), sys.stdin.read())]
    if not file.is_dir():
        return [Source(file, file.read_text())]
    members = sorted(path for path in file.iterdir() if path.suffix in SUFFIXES)
    if not members:
        raise TopologyError(f"{file}: holds no {', '.join(SUFFIXES)} file")
    return [Source(path, path.read_text()) for path in members]
