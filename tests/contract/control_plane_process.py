"""A real control plane in a process of its own, on ports the system chooses."""

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from control_plane.client import ApiClient

START_TIMEOUT = 60.0

Spawn = Callable[..., "subprocess.Popen[bytes]"]


class ControlPlaneProcess:
    """Start it, wait until it is `ready`, and `stop` it."""

    def __init__(self, data_dir: Path, *flags: str, spawn: Spawn = subprocess.Popen) -> None:
        """`spawn` starts the process; REST is always served in the network of the test itself."""
        self.data_dir = data_dir
        (data_dir / "ports.json").unlink(missing_ok=True)  # of a life that was killed
        rest = socket.create_server(("127.0.0.1", 0))
        command = [
            *(sys.executable, "-m", "control_plane", "--data-dir", str(data_dir)),
            *("--rest-fd", str(rest.fileno()), "--bind-address", "127.0.0.1", "--xds-port", "0"),
            *("--signing-port", "0", "--plaintext-xds-address", "127.0.0.1:0", "--metrics-port", "0"),
            *("--debounce-after", "0.01", *flags),
        ]
        self._log = data_dir.with_name(f"{data_dir.name}.log").open("ab")
        with rest:
            self._process = spawn(command, pass_fds=[rest.fileno()], stderr=self._log)

    @property
    def pid(self) -> int:
        return self._process.pid

    def ready(self) -> dict[str, int]:
        """The ports, once everything listens."""
        deadline = time.monotonic() + START_TIMEOUT
        ports_file = self.data_dir / "ports.json"
        while not ports_file.exists():
            assert self._process.poll() is None, f"control plane ended: {self.log()}"
            assert time.monotonic() < deadline, f"control plane did not start: {self.log()}"
            time.sleep(0.01)
        ports: dict[str, int] = json.loads(ports_file.read_text())
        return ports

    def client(self) -> ApiClient:
        return ApiClient.from_kubeconfig(self.data_dir / "kubeconfig")

    def log(self) -> str:
        return Path(self._log.name).read_text()

    def wait(self) -> int:
        """The exit code of a process that ends by itself."""
        code = self._process.wait(timeout=START_TIMEOUT)
        self._log.close()
        return code

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """End it; returns the exit code."""
        if self._process.poll() is None:
            self._process.send_signal(number)
        code = self._process.wait(timeout=60)
        self._log.close()
        return code
