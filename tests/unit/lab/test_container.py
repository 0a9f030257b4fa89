"""Restart decisions, container records, processes and logs."""

import asyncio
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from control_plane.resources.container import Container
from lab import container as module
from lab.container import ContainerLog, ContainerProcess, ContainerRecord, RestartBackoff, should_restart
from tests.unit.lab.builders import pod

PROBE = {"tcpSocket": {"port": 80}}


def spec(**fields: object) -> Container:
    [made] = pod(containers=[{"name": "app", **fields}]).spec.containers
    return made


def test_the_first_restart_is_immediate_and_later_ones_wait_longer_up_to_a_cap() -> None:
    backoff = RestartBackoff()
    assert [backoff.delay(1.0) for _ in range(5)] == [0.0, 0.5, 1.0, 2.0, 4.0]
    assert [backoff.delay(1.0) for _ in range(40)][-1] == 30.0


def test_a_container_that_ran_long_is_restarted_at_once_again() -> None:
    backoff = RestartBackoff()
    for _ in range(5):
        backoff.delay(0.1)
    assert backoff.delay(31.0) == 0.0
    assert backoff.delay(0.1) == 0.5


@pytest.mark.parametrize(
    ("policy", "exit_code", "restarted"),
    [
        ("Always", 0, True),
        ("Always", 1, True),
        ("OnFailure", 0, False),
        ("OnFailure", 1, True),
        ("Never", 1, False),
    ],
)
def test_the_restart_policy_decides(policy: str, exit_code: int, restarted: bool) -> None:
    assert should_restart(policy, exit_code) is restarted


def test_a_container_without_probes_is_ready_as_soon_as_it_runs() -> None:
    record = ContainerRecord(spec())
    record.on_start(7, "now")
    assert (record.is_running, record.is_started, record.is_ready, record.restarts) == (True, True, True, 0)


def test_probes_are_waited_for_in_order() -> None:
    record = ContainerRecord(spec(startupProbe=PROBE, readinessProbe=PROBE))
    record.on_start(7, "now")
    assert (record.is_started, record.is_ready) == (False, False)
    record.on_started()
    assert (record.is_started, record.is_ready) == (True, False)


def test_a_container_with_only_a_startup_probe_is_ready_once_started() -> None:
    record = ContainerRecord(spec(startupProbe=PROBE))
    record.on_start(7, "now")
    record.on_started()
    assert record.is_ready


def test_a_container_that_ended_is_not_ready_and_its_next_start_counts_as_restart() -> None:
    record = ContainerRecord(spec())
    record.on_start(7, "t1")
    record.on_exit(-9, "t2")
    assert (record.is_running, record.is_ready, record.exit_code, record.exit_signal) == (
        False,
        False,
        137,
        9,
    )
    record.on_wait("CrashLoopBackOff", "soon")
    record.on_start(8, "t3")
    assert (record.restarts, record.waiting_reason) == (1, "")
    record.on_exit(3, "t4")
    assert (record.exit_code, record.exit_signal) == (3, 0)


def test_a_native_sidecar_is_an_init_container_that_keeps_running() -> None:
    sidecar, init = pod(
        initContainers=[{"name": "s", "restartPolicy": "Always"}, {"name": "i"}]
    ).spec.init_containers
    assert ContainerRecord(sidecar, is_init=True).is_sidecar
    assert not ContainerRecord(init, is_init=True).is_sidecar
    assert not ContainerRecord(spec()).is_sidecar


def start(code: str) -> ContainerProcess:
    return ContainerProcess(subprocess.Popen([sys.executable, "-c", code]))


async def test_the_end_of_a_process_is_told_to_all_who_wait() -> None:
    process = start("raise SystemExit(3)")
    assert await asyncio.gather(process.wait(), process.wait()) == [3, 3]
    process.send(signal.SIGTERM)  # nobody is there any more


async def test_a_process_that_ignores_sigterm_is_killed_after_the_grace_period() -> None:
    code = "import signal; signal.signal(15, 1); print(flush=True); signal.pause()"
    popen = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)  # noqa: ASYNC220
    assert popen.stdout is not None
    with popen.stdout as output:
        output.readline()
        process = ContainerProcess(popen)
        await process.stop(0.01)
    assert await process.wait() == -signal.SIGKILL


def test_a_log_that_grew_too_big_is_moved_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_LOG_SIZE", 10)
    log = ContainerLog(tmp_path / "logs" / "a.log")
    log.rotate()  # nothing there yet
    with log.open() as stream:
        stream.write(b"0123456789")
        log.rotate()
        assert log.path.read_bytes() == b"0123456789"
        stream.write(b"abc")
        log.rotate()
        stream.write(b"new")
    assert log.path.read_bytes() == b"new"
    assert log.path.with_suffix(".log.1").read_bytes() == b"3456789abc"
    log.delete()
    log.delete()
    assert list((tmp_path / "logs").iterdir()) == []


@pytest.mark.parametrize("late", [True, False])
async def test_a_process_that_ends_in_time_is_not_killed(late: bool) -> None:
    process = start("import signal; signal.pause()" if late else "")
    await process.stop(30.0)
    assert await process.wait() in (0, -signal.SIGTERM)
