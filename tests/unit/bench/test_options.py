"""The command line."""

from __future__ import annotations

import pytest

from bench.options import FULL, QUICK, Command, Pace, parse

KNOWN = ["one", "two"]


def test_everything_is_run_quickly_unless_told_otherwise():
    options = parse(["run"], KNOWN)
    assert (options.command, options.only, options.pace) == (Command.RUN, (), QUICK)
    assert options.install


def test_full_is_longer():
    assert parse(["run", "--full"], KNOWN).pace == FULL
    assert FULL.seconds * FULL.rounds > QUICK.seconds * QUICK.rounds


def test_the_pace_can_be_given_piece_by_piece():
    options = parse(["run", "--full", "--seconds", "1", "--warm-up", "0"], KNOWN)
    assert options.pace == Pace(seconds=1, rounds=FULL.rounds, warm_up=0)


def test_workloads_can_be_chosen():
    assert parse(["run", "--only", "two,one"], KNOWN).only == ("two", "one")
    assert parse(["run", "--only", "two", "--only", "one"], KNOWN).only == ("two", "one")
    assert parse(["run"], KNOWN).only == (), "nothing is remembered from the call before"


def test_a_profile_is_of_one_workload():
    options = parse(["profile", "one", "--rounds", "2", "--no-install"], KNOWN)
    assert (options.command, options.only, options.pace.rounds) == (Command.PROFILE, ("one",), 2)
    assert not options.install


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run", "--only", "three"], "three"),
        (["profile", "three"], "three"),
        (["profile"], "workload"),
        (["run", "--seconds", "0"], "0"),
        (["run", "--warm-up", "-1"], "-1"),
        ([], "command"),
    ],
)
def test_a_wrong_command_line_is_refused_by_name(words, said, capsys):
    with pytest.raises(SystemExit) as exit_info:
        parse(words, KNOWN)
    assert exit_info.value.code == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(("word", "command"), [("list", Command.LIST), ("report", Command.REPORT)])
def test_other_commands_take_nothing(word, command):
    assert parse([word], KNOWN).command is command
