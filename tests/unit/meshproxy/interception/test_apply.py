"""Applying and cleaning against a kernel that is played: order, rollback, IPv6 that is missing."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from meshproxy.interception.apply import InterceptionError, Interceptor, run_command
from meshproxy.interception.rules import Family, ruleset
from meshproxy.interception.settings import InterceptionSettings


class PlayedKernel:
    """Remembers commands; `iptables-save` prints what the test put there; `fail` makes commands fail by
    prefix."""

    def __init__(self) -> None:
        self.commands: list[tuple[str, str]] = []
        self.saved: dict[str, str] = {}
        self.has_address = False
        self.fail: dict[str, int] = {}

    def __call__(self, command: Sequence[str], stdin: str) -> str:
        line = " ".join(command)
        self.commands.append((line, stdin))
        for prefix, left in self.fail.items():
            if line.startswith(prefix) and left > 0:
                self.fail[prefix] -= 1
                raise InterceptionError(f"{prefix} failed")
        if " show " in line:
            return "1: lo inet6 ::6/128" if self.has_address else ""
        return self.saved.get(line, "")

    def changes(self) -> list[str]:
        return [line for line, _ in self.commands if "-save" not in line and " show " not in line]


@pytest.fixture
def sysctl(tmp_path: Path) -> Path:
    (tmp_path / "ipv6/conf/lo").mkdir(parents=True)
    (tmp_path / "ipv6/conf/lo/disable_ipv6").write_text("0\n")
    return tmp_path


ADD = "ip -6 address replace ::6/128 dev lo"
DELETE = "ip -6 address delete ::6/128 dev lo"
V4 = "iptables-restore --wait --noflush"
V6 = "ip6tables-restore --wait --noflush"


def test_both_families_and_the_inbound_source_address_are_set_up(sysctl: Path) -> None:
    kernel = PlayedKernel()
    Interceptor(kernel, sysctl).apply(InterceptionSettings())
    assert kernel.changes() == [ADD, V4, V6]


def test_cleaning_what_is_clean_changes_nothing(sysctl: Path) -> None:
    kernel = PlayedKernel()
    Interceptor(kernel, sysctl).clean()
    assert kernel.changes() == []


def test_cleaning_removes_rules_and_address(sysctl: Path) -> None:
    kernel = PlayedKernel()
    kernel.has_address = True
    kernel.saved["iptables-save -t nat"] = (
        "*nat\n:MESHPROXY_OUTPUT - [0:0]\n-A OUTPUT -j MESHPROXY_OUTPUT\nCOMMIT\n"
    )
    Interceptor(kernel, sysctl).clean()
    assert kernel.changes() == [DELETE, V4]
    assert "-X MESHPROXY_OUTPUT" in kernel.commands[-4][1]


def test_a_kernel_without_ipv6_gets_ipv4_rules_only(tmp_path: Path) -> None:
    kernel = PlayedKernel()
    Interceptor(kernel, tmp_path).apply(InterceptionSettings())
    assert kernel.changes() == [V4]


def test_where_ipv6_is_switched_off_its_rules_are_there_before_it_is_switched_on(sysctl: Path) -> None:
    (sysctl / "ipv6/conf/lo/disable_ipv6").write_text("1\n")
    kernel = PlayedKernel()
    Interceptor(kernel, sysctl).apply(InterceptionSettings())
    assert kernel.changes() == [V4, V6]


def test_a_failure_of_ipv6_takes_ipv4_and_the_address_back(sysctl: Path) -> None:
    kernel = PlayedKernel()
    kernel.fail = {"ip6tables-restore": 1}
    with pytest.raises(InterceptionError, match=r"\Aip6tables-restore failed\Z"):
        Interceptor(kernel, sysctl).apply(InterceptionSettings())
    assert kernel.changes() == [ADD, V4, V6, DELETE]  # the played kernel shows no rules, so none are deleted


def test_a_failure_puts_back_the_rules_that_were_there(sysctl: Path) -> None:
    kernel = PlayedKernel()
    kernel.has_address = True
    kernel.saved["iptables-save -t nat"] = (
        "*nat\n:MESHPROXY_OUTPUT - [0:0]\n-A MESHPROXY_OUTPUT -j OLD\nCOMMIT\n"
    )
    kernel.fail = {"ip6tables-restore": 1}
    with pytest.raises(InterceptionError):
        Interceptor(kernel, sysctl).apply(InterceptionSettings())
    assert kernel.changes() == [V4, V6, V4]
    assert "-A MESHPROXY_OUTPUT -j OLD" in kernel.commands[-1][1]


def test_a_rollback_that_fails_is_told_too(sysctl: Path) -> None:
    kernel = PlayedKernel()
    kernel.fail = {"ip6tables-restore": 1, DELETE: 1}
    with pytest.raises(
        InterceptionError, match="ip6tables-restore failed; and it could not be undone: ip -6 address"
    ):
        Interceptor(kernel, sysctl).apply(InterceptionSettings())


def test_a_dry_run_prints_both_families_and_runs_nothing(sysctl: Path) -> None:
    kernel = PlayedKernel()
    text = Interceptor(kernel, sysctl).dry_run(InterceptionSettings())
    assert kernel.commands == []
    assert text.count("COMMIT") == 4
    for family in Family:
        for chain, rules in ruleset(InterceptionSettings(), family)["nat"].chains.items():
            assert all(f"-A {chain} {rule}\n" in text for rule in rules)


def test_a_missing_program_is_named_with_the_mend() -> None:
    with pytest.raises(
        InterceptionError, match="absent-program is not installed; install iptables and iproute2"
    ):
        run_command(["absent-program"], "")


@pytest.mark.parametrize(
    ("script", "message"),
    [("echo words >&2; exit 3", "words"), ("exit 3", "exit status 3"), ("echo out; exit 1", "out")],
)
def test_a_failing_program_is_reported_in_its_own_words(script: str, message: str) -> None:
    with pytest.raises(InterceptionError, match=message):
        run_command(["sh", "-c", script], "")


def test_a_program_that_cannot_be_started_is_reported(tmp_path: Path) -> None:
    with pytest.raises(InterceptionError, match="Permission denied"):
        run_command([str(tmp_path)], "")


def test_a_program_gets_its_input_and_its_output_is_returned() -> None:
    assert run_command(["cat"], "text") == "text"
