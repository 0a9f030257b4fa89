"""Reading /proc."""

import subprocess
import sys

from meshproxy.telemetry.process import (
    cpu_seconds,
    family_cpu_seconds,
    family_resident_bytes,
    own_cpu_seconds,
    own_resident_bytes,
    reaped_cpu_seconds,
    resident_bytes,
)


def test_resident_is_the_second_field_in_pages() -> None:
    assert resident_bytes("5000 1234 300 1 0 900 0\n", 4096) == 1234 * 4096


def test_cpu_time_is_counted_after_a_command_name_that_looks_like_fields() -> None:
    stat = "42 (evil) S 1 (2) R 1 42 42 0 -1 4194304 100 0 0 0 250 150 0 0 20 0 1 0 100 0 0"
    assert cpu_seconds(stat, 100) == 4.0


def test_this_process_uses_memory_and_cpu() -> None:
    assert own_resident_bytes() > 1_000_000
    assert own_cpu_seconds() > 0


def test_a_family_is_its_processes_also_those_that_ended() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    assert family_resident_bytes([child.pid]) > own_resident_bytes()
    before = family_cpu_seconds([child.pid])
    child.communicate(b"\n")
    assert family_resident_bytes([child.pid]) < own_resident_bytes() + 1_000_000
    assert family_cpu_seconds([child.pid]) >= before > 0


def test_time_of_children_that_were_waited_for() -> None:
    stat = "7 (a) b) S 1 1 1 0 -1 0 1 2 3 4 100 50 25 5 20 0 1 0 99"
    assert reaped_cpu_seconds(stat, 100) == 0.3
