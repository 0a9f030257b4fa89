"""Which cluster and which lab a command is about, and how its errors reach the user.

A kubeconfig is named by `--kubeconfig` or `$MESHPROXY_KUBECONFIG`; without, the only lab of this machine is
meant.
"""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import click
import httpx

from control_plane.client import ApiClient, ApiError
from control_plane.kubeconfig import KubeconfigError
from lab.paths import LABS, LabPaths

Result = TypeVar("Result")
Command = TypeVar("Command", bound=Callable[..., Any])
VARIABLE = "MESHPROXY_KUBECONFIG"


def kubeconfig_option(command: Command) -> Command:
    """`--kubeconfig`, as argument `kubeconfig: Path | None`."""
    return click.option(
        "--kubeconfig",
        envvar=VARIABLE,
        type=click.Path(path_type=Path),
        help=f"Which cluster; default: ${VARIABLE}, else the only lab of this machine.",
    )(command)


def lab_option(command: Command) -> Command:
    """`--lab`, as argument `lab: str | None`."""
    return click.option("--lab", help="Which lab; default: the only one of this machine.")(command)


def namespace_option(command: Command) -> Command:
    """`-n`, as argument `namespace: str`."""
    return click.option("-n", "--namespace", default="default", show_default=True)(command)


def find_kubeconfig(given: Path | None, labs: Path = LABS) -> Path:
    """Raises ClickException when it is not clear which cluster is meant."""
    return given if given is not None else find_lab(None, labs).kubeconfig


def find_lab(name: str | None, labs: Path = LABS) -> LabPaths:
    """The lab of this name, or the only one. Raises ClickException."""
    if name is not None:
        paths = LabPaths(labs / lab_named(name).name)
        if not paths.state.exists():
            raise click.ClickException(f"there is no lab {name}; `meshctl lab up --name {name}` starts it")
        return paths
    found = sorted(path.parent for path in labs.glob("*/state.json"))
    if not found:
        raise click.ClickException(
            f"which cluster? No lab is up: `meshctl lab up` starts one; else say --kubeconfig or ${VARIABLE}"
        )
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        raise click.ClickException(f"which lab? There are {names}: say --lab, --kubeconfig or ${VARIABLE}")
    return LabPaths(found[0])


def lab_named(name: str) -> LabPaths:
    """The files of a lab, whether it is up or not. Raises ClickException for a name that cannot be one."""
    try:
        return LabPaths.of(name)
    except ValueError as error:
        raise click.ClickException(str(error)) from error


def call(kubeconfig: Path | None, work: Callable[[ApiClient], Awaitable[Result]]) -> Result:
    """Run `work` with a client of the cluster. Raises ClickException for whatever the server says."""

    async def run() -> Result:
        async with ApiClient.from_kubeconfig(path, name="meshctl") as client:
            return await work(client)

    path = find_kubeconfig(kubeconfig)
    try:
        return asyncio.run(run())
    except ApiError as error:
        raise click.ClickException(str(error)) from error
    except KubeconfigError as error:
        raise click.ClickException(f"{error}; is the cluster up?") from error
    except httpx.TransportError as error:
        cause = str(error) or type(error).__name__
        raise click.ClickException(f"the API server of {path} does not answer: {cause}") from error
