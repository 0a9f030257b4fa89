"""Command lines that run something beside a container."""

from dataclasses import fields

import pytest

from control_plane.resources.container import Container
from lab.container import ContainerRecord
from lab.container_runner import ContainerRunner, PodSurroundings
from lab.entrance import enter_line, entering


def test_a_command_has_the_rights_of_the_container_and_no_variable_is_an_argument() -> None:
    made = entering(7, 500, 600, "/src", {"PASSWORD": "hush", "LD_PRELOAD": "/evil.so"}, ["ls", "-l"], [7, 8])
    assert made.line[-8:] == ["7", "500", "600", "7,8", "/src", "own", "ls", "-l"]
    assert made.line[1:4] == ["-I", "-S", "-c"]
    assert "hush" not in " ".join(made.line)
    assert made.environment == {"CONTAINER_PASSWORD": "hush", "CONTAINER_LD_PRELOAD": "/evil.so"}


def test_variables_may_be_those_of_the_container_itself() -> None:
    assert enter_line(7, 500, 600, "/", ["ls"])[-7:] == ["7", "500", "600", "", "/", "target", "ls"]


@pytest.mark.parametrize("command", ["a\0b", "x" * 3_000_000])
async def test_a_command_that_cannot_be_started_has_ended(
    command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a preStop hook it would else keep its pod for ever."""
    around = PodSurroundings(
        **dict.fromkeys(field.name for field in fields(PodSurroundings))  # type: ignore[arg-type]
    )
    runner = ContainerRunner(ContainerRecord(Container(name="app")), around)
    monkeypatch.setattr(runner, "enter", lambda line: entering(1, 500, 500, "/", {}, line))
    assert (await runner._execute([command], 5.0)).status == 126
