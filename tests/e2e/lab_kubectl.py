"""kubectl against a running lab, as a person would use it."""

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from lab.paths import LabPaths


class Kubectl:
    """kubectl with the kubeconfig of one lab."""

    def __init__(self, paths: LabPaths) -> None:
        self._command = ["kubectl", "--kubeconfig", str(paths.kubeconfig)]

    def __call__(self, *arguments: str) -> str:
        """What it prints, of which nothing may be a warning; it must succeed."""
        done = self.attempt(*arguments)
        assert done.returncode == 0, f"kubectl {' '.join(arguments)}: {done.stdout}{done.stderr}"
        assert "Warning" not in done.stderr, done.stderr
        return done.stdout

    def attempt(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Whatever comes of it."""
        command = [*self._command, *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)

    def execute(self, pod: str, namespace: str, *command: str) -> str:
        """Output of a command beside the pod's container; `pod` may be `deploy/NAME`."""
        return self("exec", "-n", namespace, pod, "--", *command)

    @contextmanager
    def running(self, *arguments: str) -> Iterator["subprocess.Popen[str]"]:
        """One that goes on until the block ends; its input is open."""
        pipe = subprocess.PIPE
        with subprocess.Popen(
            [*self._command, *arguments], stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True
        ) as process:
            try:
                yield process
            finally:
                process.kill()


def eventually(condition: Callable[[], object], what: Callable[[], str]) -> None:
    """Wait for another process's doing; the time is a bound, not a measurement."""
    give_up_at = time.monotonic() + 90
    while not condition():
        assert time.monotonic() < give_up_at, f"not in time: {what()}"
        time.sleep(0.1)
