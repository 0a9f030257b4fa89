"""What every workload is given: the pace, and sides put together on demand."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from bench.control import Seeds
from bench.options import Pace
from bench.profile import Profiler
from bench.result import Side
from bench.testbed import Plan, Testbed


@dataclass(slots=True)
class Context:
    """For one run of the bench."""

    pace: Pace
    seeds: Seeds
    folder: Path
    """Temporary, outside of any side."""
    profiler: Profiler | None = None
    """Looks at our sidecars while they are up."""
    data_paths: set[str] = field(default_factory=set)
    """What our sidecars ran on so far: `compiled`, `sources`."""
    salt: int = field(default_factory=lambda: int.from_bytes(os.urandom(3)) << 8)
    """No two loads with unique heads may ever send the same one."""

    def next_salt(self) -> int:
        self.salt += 1
        return self.salt & 0xFFFFFFFF

    @contextlib.contextmanager
    def testbed(self, plan: Plan) -> Iterator[Testbed]:
        """One side, ready."""
        say(f"  starting {plan.side.value}: {plan.layout.value}, {plan.services} services")
        with Testbed(plan, self.seeds) as testbed, ExitStack() as stack:
            self.data_paths |= testbed.data_paths
            if self.profiler is not None and plan.side is Side.MESHPROXY:
                for pod, process in testbed.proxies.items():
                    stack.enter_context(self.profiler.watching(pod, process))
            yield testbed

    @contextlib.contextmanager
    def testbeds(self, plans: Sequence[Plan]) -> Iterator[dict[Side, Testbed]]:
        """Several sides at once, each idle while another one works."""
        with ExitStack() as stack:
            yield {plan.side: stack.enter_context(self.testbed(plan)) for plan in plans}


def say(text: str) -> None:
    """Progress, for whoever waits."""
    print(text, file=sys.stderr, flush=True)
