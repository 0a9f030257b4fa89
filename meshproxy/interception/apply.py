"""Puts the interception rules into the kernel and takes them out again: both families, all or nothing.

Uses iptables-save, iptables-restore and their IPv6 twins, and `ip` for the address `::6`. Blocking calls.
"""

import subprocess
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from meshproxy.errors import MeshproxyError
from meshproxy.interception.rules import EMPTY, TABLES, Family, Ruleset, parse_save, restore_text, ruleset
from meshproxy.interception.settings import InterceptionSettings

_COMMAND_TIMEOUT = 60.0
"""Seconds for one command, the wait for iptables' lock included."""
_PROGRAM = {Family.V4: "iptables", Family.V6: "ip6tables"}
_INBOUND_SOURCE_V6 = Family.V6.inbound_source
"""127.0.0.6 needs nothing, because all of 127.0.0.0/8 is local; `::6` is not."""

CommandRunner = Callable[[Sequence[str], str], str]
"""(command, standard input) -> standard output; raises InterceptionError. Tests put their own here."""


class InterceptionError(MeshproxyError):
    """The rules could not be changed. They are as they were before, unless the message says otherwise."""


def run_command(command: Sequence[str], stdin: str) -> str:
    """Run one command in the current network namespace."""
    try:
        done = subprocess.run(
            command, input=stdin, capture_output=True, text=True, check=False, timeout=_COMMAND_TIMEOUT
        )
    except FileNotFoundError as error:
        mend = "install iptables and iproute2"
        raise InterceptionError(f"{command[0]} is not installed; {mend}") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise InterceptionError(f"{' '.join(command)}: {error}") from error
    if done.returncode != 0:
        words = (done.stderr or done.stdout).strip()
        raise InterceptionError(f"{' '.join(command)}: {words or f'exit status {done.returncode}'}")
    return done.stdout


class Interceptor:
    """The rules of the network namespace this process is in."""

    def __init__(self, run: CommandRunner = run_command, sysctl: Path = Path("/proc/sys/net")) -> None:
        self._run = run
        self._sysctl = sysctl

    def apply(self, settings: InterceptionSettings) -> None:
        """Make the rules what `settings` says, whatever was there. Applying again changes nothing.

        Raises InterceptionError; then all rules are as they were before the call.
        """
        self._change({family: ruleset(settings, family) for family in self._families()}, with_address=True)

    def clean(self) -> None:
        """Remove everything of ours. Raises InterceptionError as `apply` does."""
        self._change(dict.fromkeys(self._families(), EMPTY), with_address=False)

    def dry_run(self, settings: InterceptionSettings) -> str:
        """What `apply` gives to iptables-restore where nothing of ours is there yet. Needs no privileges."""
        texts = []
        for family in Family:
            texts += [
                f"# {_PROGRAM[family]}-restore --noflush",
                restore_text(EMPTY, ruleset(settings, family)),
            ]
        return "\n".join(texts)

    def _families(self) -> list[Family]:
        """IPv6 is left out only where the kernel has none; where it is switched off it may be switched on."""
        return [Family.V4, Family.V6] if (self._sysctl / "ipv6").exists() else [Family.V4]

    def _change(self, targets: dict[Family, Ruleset], *, with_address: bool) -> None:
        """All families or none."""
        undo: list[Callable[[], None]] = []
        try:
            if Family.V6 in targets and self._can_have_address():
                self._change_address(with_address, undo)
            for family, target in targets.items():
                before = self._current(family)
                # Registered first: a restore that fails at its second table has changed the first one.
                undo.append(partial(self._put_back, family, before))
                self._restore(family, before, target)
        except InterceptionError as error:
            raise _after_undoing(error, undo) from error

    def _change_address(self, present: bool, undo: list[Callable[[], None]]) -> None:
        if self._has_address() != present:
            self._set_address(present)
            undo.append(partial(self._set_address, not present))

    def _put_back(self, family: Family, before: Ruleset) -> None:
        self._restore(family, self._current(family), before)

    def _current(self, family: Family) -> Ruleset:
        saves = [self._run([f"{_PROGRAM[family]}-save", "-t", table], "") for table in TABLES]
        return parse_save("\n".join(saves))

    def _restore(self, family: Family, current: Ruleset, target: Ruleset) -> None:
        if text := restore_text(current, target):
            self._run([f"{_PROGRAM[family]}-restore", "--wait", "--noflush"], text)

    def _can_have_address(self) -> bool:
        """Not where IPv6 is switched off on `lo`: the app cannot listen on IPv6 there either."""
        switch = self._sysctl / "ipv6/conf/lo/disable_ipv6"
        return switch.exists() and switch.read_text().strip() == "0"

    def _has_address(self) -> bool:
        shown = self._run(
            ["ip", "-6", "-oneline", "address", "show", "dev", "lo", "to", _INBOUND_SOURCE_V6], ""
        )
        return bool(shown.strip())

    def _set_address(self, present: bool) -> None:
        action = "replace" if present else "delete"
        self._run(["ip", "-6", "address", action, _INBOUND_SOURCE_V6, "dev", "lo"], "")


def _after_undoing(error: InterceptionError, undo: Sequence[Callable[[], None]]) -> InterceptionError:
    """Take back every step, newest first; what could not be taken back is added to the message."""
    failures = []
    for step in reversed(undo):
        try:
            step()
        except InterceptionError as failure:
            failures.append(str(failure))
    return InterceptionError("; and it could not be undone: ".join([str(error), *failures]))
