"""Our sidecar with a witness in its event loop, which notes for how long nobody else was served.

`python -m bench.witnessed_sidecar …` takes the sidecar's own flags. The witness asks to be called again each
millisecond; what it is called late is a stall. SIGUSR1: write the longest one since the last such signal to
the file `BENCH_WITNESS`, in ms. SIGUSR2: collect all garbage, in the loop, as CPython may at any time.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Final

import uvloop

from meshproxy._speedups import finder

VARIABLE: Final = "BENCH_WITNESS"
_PERIOD = 0.001
"""uvloop's timers have milliseconds."""


class Witness:
    """Measures from its construction on; needs a running loop."""

    def __init__(self, target: Path) -> None:
        self._loop = asyncio.get_running_loop()
        self._target = target
        self._longest = 0.0
        self._due_at = 0.0
        self._loop.add_signal_handler(signal.SIGUSR1, self._report)
        self._loop.add_signal_handler(signal.SIGUSR2, gc.collect)
        self._ask_again()

    def _ask_again(self) -> None:
        self._due_at = time.perf_counter() + _PERIOD
        self._loop.call_later(_PERIOD, self._on_time)

    def _on_time(self) -> None:
        self._note()
        self._ask_again()

    def _note(self) -> None:
        self._longest = max(self._longest, time.perf_counter() - self._due_at)

    def _report(self) -> None:
        self._note()  # a stall that ends only now counts too
        unfinished = self._target.with_suffix(".unfinished")
        unfinished.write_text(f"{self._longest * 1e3:.3f}")
        unfinished.replace(self._target)
        self._longest = 0.0


async def _witnessed(run: Coroutine[object, object, None]) -> None:
    Witness(Path(os.environ[VARIABLE]))
    await run


def main() -> int:
    """The sidecar's exit status."""
    run = uvloop.run
    # The sidecar's own entry, so that nothing else differs from how it is started everywhere.
    uvloop.run = lambda coroutine: run(_witnessed(coroutine))  # type: ignore[assignment,misc]
    speedups = finder.install()
    from meshproxy import main as sidecar

    return sidecar.main(speedups)


if __name__ == "__main__":
    sys.exit(main())
