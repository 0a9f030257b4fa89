"""Which cluster a command means, and what is said when that is not clear or it does not answer."""

from pathlib import Path

import click
import pytest

from control_plane.client import ApiClient, NotFound
from control_plane.kubeconfig import Kubeconfig, write_kubeconfig
from meshctl.connection import call, find_kubeconfig, find_lab


def make_lab(labs: Path, name: str) -> None:
    (labs / name).mkdir()
    (labs / name / "state.json").write_text("{}")


def test_the_kubeconfig_that_was_named_is_meant(tmp_path: Path):
    assert find_kubeconfig(tmp_path / "config", tmp_path) == tmp_path / "config"


def test_the_only_lab_is_meant_without_a_name(tmp_path: Path):
    make_lab(tmp_path, "one")
    (tmp_path / "remains").mkdir()
    assert find_lab(None, tmp_path).name == "one"
    assert find_kubeconfig(None, tmp_path) == tmp_path / "one" / "kubeconfig"


def test_no_lab_and_several_labs_are_explained(tmp_path: Path):
    with pytest.raises(click.ClickException, match=r"No lab is up: `meshctl lab up` starts one"):
        find_lab(None, tmp_path)
    make_lab(tmp_path, "one")
    make_lab(tmp_path, "two")
    with pytest.raises(click.ClickException, match="There are one, two: say --lab"):
        find_lab(None, tmp_path)
    assert find_lab("two", tmp_path).name == "two"


def test_a_lab_that_is_not_there_is_named(tmp_path: Path):
    with pytest.raises(click.ClickException, match="there is no lab nowhere"):
        find_lab("nowhere", tmp_path)
    with pytest.raises(click.ClickException, match=r"lab name '\.\./x'"):
        find_lab("../x", tmp_path)


async def _missing(client: ApiClient) -> None:
    raise NotFound(404, "NotFound", 'pods "x" not found')


def test_the_servers_words_are_the_commands_words(tmp_path: Path):
    config = tmp_path / "config"
    write_kubeconfig(config, Kubeconfig("https://127.0.0.1:1", "", "token"))
    with pytest.raises(click.ClickException, match=r'^pods "x" not found$'):
        call(config, _missing)


async def _list(client: ApiClient) -> None:
    await client.list("Pod")


def test_a_server_that_does_not_answer_is_named(tmp_path: Path):
    config = tmp_path / "config"
    write_kubeconfig(config, Kubeconfig("https://127.0.0.1:1", "", "token"))
    with pytest.raises(click.ClickException, match=f"the API server of {config} does not answer"):
        call(config, _list)


def test_a_kubeconfig_that_is_not_there_is_named(tmp_path: Path):
    with pytest.raises(click.ClickException, match="is the cluster up"):
        call(tmp_path / "config", _list)
