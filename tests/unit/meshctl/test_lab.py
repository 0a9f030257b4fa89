"""`meshctl lab`: what it refuses before anything is started."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from lab import lifecycle
from lab.lifecycle import LabError
from meshctl.__main__ import main


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["lab", *arguments])


@pytest.fixture(autouse=True)
def _nothing_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise LabError("the lab was started")

    monkeypatch.setattr(lifecycle, "start", refuse)


def test_a_manifest_that_is_wrong_is_refused_before_the_lab_starts(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("kind: Namespace\napiVersion: v1\nmetadata: {name: a, labls: {}}\n")
    result = run("up", "-f", str(tmp_path))
    assert result.exit_code == 1
    assert "a.yaml, document 1" in result.output
    assert "metadata.labls: unknown field" in result.output


def test_a_lab_file_that_is_wrong_is_refused_before_the_lab_starts(tmp_path: Path) -> None:
    file = tmp_path / "lab.yaml"
    file.write_text("apiVersion: lab.meshproxy.io/v1alpha1\nkind: Lab\nnodes: [{name: a, kind: cloud}]\n")
    result = run("up", "--topology", str(file))
    assert result.exit_code == 2
    assert "nodes[0].kind" in result.output
    assert "say one of them" in run("up", "--topology", str(file), "--zones", "a").output
    assert "lower-case" in run("up", "--zones", "A").output


def test_a_directory_without_manifests_is_refused(tmp_path: Path) -> None:
    (tmp_path / "README").write_text("")
    assert "holds no .yaml" in run("up", "-f", str(tmp_path)).output


def test_why_a_lab_does_not_start_is_said() -> None:
    result = run("up")
    assert (result.exit_code, result.output) == (1, "Error: the lab was started\n")


@pytest.mark.parametrize("command", [["up"], ["down"], ["status"], ["logs", "pod"]])
def test_a_name_that_is_no_directory_is_refused(command: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lifecycle, "check_host", lambda: None)
    assert "lower-case letters" in run(*command, "--name", "../x").output


def test_status_logs_and_exec_of_a_lab_that_is_not_there_say_so() -> None:
    assert "there is no lab nowhere" in run("status", "--name", "nowhere").output
    assert "there is no lab nowhere" in run("logs", "web", "--name", "nowhere").output
    assert "there is no lab nowhere" in run("exec", "--name", "nowhere", "web", "--", "ls").output


def test_without_root_the_message_says_what_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(LabError, match="needs root"):
        lifecycle.check_host()
