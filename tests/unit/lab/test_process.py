"""Processes named so that a reused id is not mistaken for them."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from lab.process import ProcessId, end, running_with

SLEEP = "import signal; signal.pause()"


@pytest.fixture
def child() -> Iterator["subprocess.Popen[bytes]"]:
    process = subprocess.Popen([sys.executable, "-c", SLEEP, "-m", "lab.test-module", "/run/meshproxy/unit"])
    yield process
    process.kill()
    process.wait()


def test_a_process_is_alive_until_it_has_ended(child: "subprocess.Popen[bytes]") -> None:
    found = ProcessId.of(child.pid)
    assert found.is_alive()
    assert not ProcessId(found.pid, found.start_time + 1).is_alive()
    assert end(found, signal.SIGKILL, 5.0)
    child.wait()
    assert not found.is_alive()
    assert end(found, signal.SIGKILL, 0.0)


def test_a_zombie_counts_as_ended() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    with pytest.raises(ProcessLookupError, match="has ended"):
        ProcessId.of(process.pid)
    process.wait()


def test_another_process_with_the_same_id_is_left_alone(child: "subprocess.Popen[bytes]") -> None:
    assert end(ProcessId(child.pid, 1), signal.SIGKILL, 0.0)
    assert child.poll() is None


def test_a_process_that_ignores_the_signal_is_reported(child: "subprocess.Popen[bytes]") -> None:
    assert not end(ProcessId.of(child.pid), signal.SIGCHLD, 0.0)


def test_processes_are_found_by_module_and_argument(child: "subprocess.Popen[bytes]") -> None:
    found = ProcessId.of(child.pid)
    assert running_with(["lab.test-module"], "/run/meshproxy/unit") == [found]
    assert running_with(["lab.test-module"], "/run/meshproxy/other") == []
    assert running_with(["lab.other"], "/run/meshproxy/unit") == []


def test_a_process_that_never_was_is_refused() -> None:
    with pytest.raises(ProcessLookupError):
        ProcessId.of(2**22)
    assert end(ProcessId(2**22, 1), signal.SIGTERM, 0.0)
