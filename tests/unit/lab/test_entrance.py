"""Command lines that run something beside a container."""

from lab.entrance import enter_line, entering


def test_a_command_has_the_rights_of_the_container_and_no_variable_is_an_argument() -> None:
    made = entering(7, 500, 600, "/src", {"PASSWORD": "hush", "LD_PRELOAD": "/evil.so"}, ["ls", "-l"], [7, 8])
    assert made.line[-8:] == ["7", "500", "600", "7,8", "/src", "own", "ls", "-l"]
    assert made.line[1:4] == ["-I", "-S", "-c"]
    assert "hush" not in " ".join(made.line)
    assert made.environment == {"CONTAINER_PASSWORD": "hush", "CONTAINER_LD_PRELOAD": "/evil.so"}


def test_variables_may_be_those_of_the_container_itself() -> None:
    assert enter_line(7, 500, 600, "/", ["ls"])[-7:] == ["7", "500", "600", "", "/", "target", "ls"]
