"""Flame graphs of our sidecars, by py-spy, while a workload runs. What is measured meanwhile counts for
nothing."""

from __future__ import annotations

import contextlib
import itertools
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from bench.errors import BenchError
from bench.process import LOAD_CORE, Process

_SAMPLES_PER_SECOND: Final = 250
_WRITE_SECONDS = 60.0


class Profiler:
    """Writes `<folder>/<workload>-<pod>.svg`, with a number where a workload starts several."""

    def __init__(self, folder: Path, workload: str) -> None:
        """Raises BenchError when py-spy is missing."""
        program = shutil.which("py-spy") or shutil.which(str(Path(sys.executable).with_name("py-spy")))
        if program is None:
            raise BenchError("py-spy is missing: pip install 'meshproxy[bench]'")
        folder.mkdir(exist_ok=True)
        self._program, self._folder, self._workload = program, folder, workload
        self._numbers = itertools.count(1)

    @contextlib.contextmanager
    def watching(self, pod: str, process: Process) -> Iterator[None]:
        """Sample the sidecar's busy threads during the block."""
        number = next(self._numbers)
        target = self._folder / f"{self._workload}-{number}-{pod}.svg"
        command = [self._program, "record", "--pid", str(process.pid), "--output", str(target)]
        command += ["--rate", str(_SAMPLES_PER_SECOND), "--duration", "86400", "--nonblocking"]
        pinned = ["taskset", "-c", str(LOAD_CORE), *command]
        output = subprocess.DEVNULL
        recorder = subprocess.Popen(pinned, stdin=output, stdout=output, stderr=output, process_group=0)
        try:
            yield
        finally:
            recorder.send_signal(signal.SIGINT)  # it writes the graph then
            try:
                recorder.wait(_WRITE_SECONDS)
            except subprocess.TimeoutExpired:
                recorder.kill()
                recorder.wait()
        print(f"written: {target}", file=sys.stderr, flush=True)
