"""Log files of a container: runs, rotation, following."""

import asyncio
import os
from contextlib import aclosing
from pathlib import Path

import pytest

from lab import container_log
from lab.container_log import ContainerLogs, LogFile
from lab.log_line import LogQuery

ME = (os.getuid(), os.getgid())


async def run(logs: ContainerLogs, number: int, *texts: bytes) -> None:
    """One run of a container that writes `texts`."""
    log = logs.begin(number)
    out, err = await log.connect(ME)
    for text in texts:
        os.write(out, text)
    os.write(err, b"error\n")
    os.close(out)
    os.close(err)
    await log.wait(5.0)


async def test_the_latest_run_is_read_and_the_one_before(tmp_path: Path) -> None:
    logs = ContainerLogs(tmp_path / "app")
    assert logs.chosen(previous=False) is None
    with pytest.raises(FileNotFoundError):
        logs.read(LogQuery())
    for number, text in enumerate((b"first\n", b"second\n", b"third\n")):
        await run(logs, number, text)
    assert logs.runs() == [1, 2]
    assert sorted(logs.read(LogQuery())) == [b"error\n", b"third\n"]
    assert b"second\n" in logs.read(LogQuery(previous=True))
    assert logs.read(LogQuery(stream="Stderr")) == [b"error\n"]
    assert logs.all_runs(LogQuery(stream="Stdout")) == [b"second\n", b"third\n"]


async def test_a_log_that_has_grown_is_moved_aside_and_read_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(container_log, "MAX_LOG_SIZE", 10)
    logs = ContainerLogs(tmp_path)
    log = logs.begin(0)
    out, err = await log.connect(ME)
    for text in (b"one\n", b"two\n"):
        log.write("stdout", text)
    assert logs.read(LogQuery()) == [b"one\n", b"two\n"]
    assert (tmp_path / "0.log.1").exists()
    (tmp_path / "0.log").unlink()
    log.write("stdout", b"written to a pod that is gone\n")
    log.write("stdout", b"again\n")
    assert logs.runs() == []
    os.close(out)
    os.close(err)
    await log.wait(5.0)


async def test_a_followed_log_goes_on_with_what_is_written_and_ends_with_the_container(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(container_log, "_POLL", 0.001)
    logs = ContainerLogs(tmp_path)
    log = logs.begin(0)
    out, err = await log.connect(ME)
    log.write("stdout", b"before\n")
    running = True
    seen = []
    async with aclosing(logs.stream(LogQuery(follow=True), lambda: running)) as chunks:
        async for chunk in chunks:
            seen.append(chunk)
            if chunk == b"before\n":
                log.write("stdout", b"after\n")
            running = chunk != b"after\n"
    assert seen == [b"before\n", b"after\n"]
    os.close(out)
    os.close(err)
    await log.wait(5.0)


async def test_a_followed_log_goes_on_with_the_next_run_and_within_its_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(container_log, "_POLL", 0.001)
    logs = ContainerLogs(tmp_path)
    await run(logs, 0, b"one\n")
    seen = b""
    async with aclosing(logs.stream(LogQuery(follow=True, limit_bytes=12, stream="Stdout"))) as chunks:
        async for chunk in chunks:
            if not seen:
                await run(logs, 1, b"two\n", b"three, and more\n")
            seen += chunk
    assert seen == b"one\ntwo\nthre"


async def test_waiting_for_a_log_that_a_child_keeps_open_has_an_end(tmp_path: Path) -> None:
    log = ContainerLogs(tmp_path).begin(0)
    out, err = await log.connect(ME)
    await log.wait(0.001)
    os.close(out)
    os.close(err)
    await asyncio.wait_for(log.wait(3600.0), 30)


async def test_a_wait_that_is_cancelled_when_the_log_ends_is_cancelled(tmp_path: Path) -> None:
    """All processes of a pod die at once: who is told to stop must not go on with the next run."""

    class Cancelling(LogFile):
        def end(self, stream: str) -> None:
            super().end(stream)
            waiting.cancel()

    log = Cancelling(tmp_path / "0.log")
    waiting = asyncio.ensure_future(log.wait(5.0))
    for descriptor in await log.connect(ME):
        os.close(descriptor)
    with pytest.raises(asyncio.CancelledError):
        await waiting
