"""`meshctl control-plane kubeconfig`: one for each role."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from control_plane.kubeconfig import Kubeconfig, read_kubeconfig, write_kubeconfig
from control_plane.role_token import role_tokens
from meshctl.__main__ import main


@pytest.mark.parametrize("role", ["admin", "editor", "viewer"])
def test_a_kubeconfig_of_each_role(tmp_path: Path, role: str):
    tokens = {one.value: token for one, token in role_tokens(tmp_path).items()}
    write_kubeconfig(tmp_path / "kubeconfig", Kubeconfig("https://127.0.0.1:1", "", tokens["admin"]))
    arguments = ["control-plane", "kubeconfig", "--data-dir", str(tmp_path), "--role", role]
    told = CliRunner().invoke(main, arguments)
    assert told.exit_code == 0, told.output
    out = tmp_path / "of-role"
    assert CliRunner().invoke(main, [*arguments, "--out", str(out)]).exit_code == 0
    assert out.read_text() == told.output
    assert read_kubeconfig(out).token == tokens[role]
    assert out.stat().st_mode & 0o777 == 0o600


def test_where_nothing_was_started(tmp_path: Path):
    told = CliRunner().invoke(main, ["control-plane", "kubeconfig", "--data-dir", str(tmp_path)])
    assert told.exit_code == 1
    assert "has this control plane been started?" in told.output
