"""The log files of one container: one for each run, the last two kept, each bounded by moving it aside."""

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from pathlib import Path

from lab.log_line import LineSplitter, LogQuery, limited, log_time, shown_line, tail_of

MAX_LOG_SIZE = 10 * 1024 * 1024
"""Bytes; a log that has grown beyond is moved aside to `.1`."""
_KEPT_RUNS = 2
_POLL = 0.1
"""Seconds between looks at a log that is followed."""


class ContainerLogs:
    """The directory of a container's logs: `0.log`, `1.log` … by the number of restarts."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def begin(self, run: int) -> "LogFile":
        """The log of a new run; those of long ago are removed."""
        self.directory.mkdir(mode=0o755, parents=True, exist_ok=True)
        for number in self.runs()[: -(_KEPT_RUNS - 1)]:
            if number < run:
                self._path(number).unlink(missing_ok=True)
                _aside(self._path(number)).unlink(missing_ok=True)
        return LogFile(self._path(run))

    def runs(self) -> list[int]:
        """Numbers of the runs that have a log, ascending."""
        names = (path.stem for path in self.directory.glob("*.log"))
        return sorted(int(name) for name in names if name.isdigit())

    def _path(self, run: int) -> Path:
        return self.directory / f"{run}.log"

    def chosen(self, previous: bool) -> Path | None:
        """The log of the latest run, or of the one before; None when there is none."""
        runs = self.runs()
        wanted = runs[-2:-1] if previous else runs[-1:]
        return self._path(wanted[0]) if wanted else None

    def read(self, query: LogQuery) -> list[bytes]:
        """What there is now of it, as its reader sees it. Raises FileNotFoundError when there is no log."""
        return self._read(_Place.end_of(self.chosen(query.previous)), query)

    def _read(self, end: "_Place", query: LogQuery) -> list[bytes]:
        if end.path is None:
            raise FileNotFoundError(f"no log in {self.directory}")
        shown = tail_of(_lines(end.path, end.offset), query.tail_lines)
        return [text for line in shown if (text := shown_line(line, query))]

    def all_runs(self, query: LogQuery) -> list[bytes]:
        """As `read`, of every run that is kept; empty when there is none."""
        lines = [line for run in self.runs() for line in _lines(self._path(run), sys.maxsize)]
        return [text for line in tail_of(lines, query.tail_lines) if (text := shown_line(line, query))]

    async def stream(
        self, query: LogQuery, is_running: Callable[[], bool] | None = None
    ) -> AsyncGenerator[bytes, None]:
        """What there is and, with `follow`, what is written afterwards: until the container does not run any
        more, or also by its next runs, for ever, when `is_running` is None.
        """
        at = _Place.end_of(self.chosen(query.previous))
        left = query.limit_bytes
        for chunk in limited(self._read(at, query), left):
            yield chunk
            left = None if left is None else left - len(chunk)
        while query.follow and (left is None or left > 0):
            is_last = is_running is not None and not is_running()
            for chunk in limited(self._news(at, query), left):
                yield chunk
                left = None if left is None else left - len(chunk)
            if is_last:
                return
            await asyncio.sleep(_POLL)

    def _news(self, at: "_Place", query: LogQuery) -> Iterator[bytes]:
        for line in at.read():
            if text := shown_line(line, query):
                yield text
        latest = self.chosen(previous=False)
        if latest is not None and latest != at.path:
            at.path, at.offset = latest, 0


class _Place:
    """How far a log was read."""

    def __init__(self, path: Path | None, offset: int) -> None:
        self.path = path
        self.offset = offset
        self._rest = b""

    @classmethod
    def end_of(cls, path: Path | None) -> "_Place":
        return cls(path, path.stat().st_size if path is not None and path.exists() else 0)

    def read(self) -> list[bytes]:
        """Whole lines that were written since."""
        if self.path is None or not self.path.exists():
            return []
        if self.path.stat().st_size < self.offset:
            self.offset = 0  # it was moved aside, and a new one begun
        with open(self.path, "rb") as stream:
            stream.seek(self.offset)
            data = self._rest + stream.read()
            self.offset = stream.tell()
        *lines, self._rest = data.split(b"\n")
        return lines


def _aside(path: Path) -> Path:
    return path.with_name(f"{path.name}.1")


def _lines(path: Path, size: int) -> list[bytes]:
    """Of what was moved aside and of the first `size` bytes of the log: writes are of whole lines."""
    aside = _aside(path)
    before = aside.read_bytes() if aside.exists() else b""
    now = path.read_bytes()[:size] if path.exists() else b""
    return (before + now).split(b"\n")[:-1]


class LogFile:
    """The log of one run, written by the node as the container's streams bring something."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
        self._splitters: dict[str, LineSplitter] = {}
        self._open = 0
        self._ended = asyncio.Event()

    async def connect(self, user: tuple[int, int]) -> tuple[int, int]:
        """Two ends of pipes to give to the container as stdout and stderr; the caller closes them.

        They belong to `user` (uid, gid): programs open /dev/stdout anew.
        """
        return await self._pipe("stdout", user), await self._pipe("stderr", user)

    async def _pipe(self, stream: str, user: tuple[int, int]) -> int:
        reading, writing = os.pipe()
        os.fchown(writing, *user)
        self._open += 1
        self._splitters[stream] = LineSplitter(stream)
        await asyncio.get_running_loop().connect_read_pipe(
            lambda: _Stream(self, stream), os.fdopen(reading, "rb", buffering=0)
        )
        return writing

    def write(self, stream: str, data: bytes) -> None:
        """Of one stream, `stdout` or `stderr`; whole lines are written."""
        self._append(self._splitters[stream].feed(data, log_time(time.time_ns())))

    def _append(self, lines: bytes) -> None:
        if not lines:
            return
        if os.fstat(self._descriptor).st_size > MAX_LOG_SIZE:
            self._move_aside()
        os.write(self._descriptor, lines)

    def _move_aside(self) -> None:
        if not self.path.exists():  # the pod is gone, and what still writes goes nowhere
            os.ftruncate(self._descriptor, 0)
            return
        os.replace(self.path, _aside(self.path))
        os.close(self._descriptor)
        self._descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)

    def end(self, stream: str) -> None:
        """The stream was closed by all who had it."""
        self._append(self._splitters[stream].end(log_time(time.time_ns())))
        self._open -= 1
        if not self._open:
            os.close(self._descriptor)
            self._ended.set()

    async def wait(self, limit: float) -> None:
        """Until everything is written, at most `limit` seconds: a child may outlive the container."""
        # Not `wait_for`: of Python 3.11 it forgets a cancellation that comes together with the result.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit):
                await self._ended.wait()


class _Stream(asyncio.Protocol):
    def __init__(self, log: LogFile, name: str) -> None:
        self._log = log
        self._name = name

    def data_received(self, data: bytes) -> None:
        self._log.write(self._name, data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._log.end(self._name)
