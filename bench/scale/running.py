"""The control plane and one sidecar of the big mesh: starting, changes of endpoints, a restart beside it."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from bench.control import ControlPlane
from bench.network import Network, http_get
from bench.process import Process, until
from bench.proxies import CLIENT, Surroundings, start_meshproxy, wait_ready
from bench.result import Side
from bench.scale import objects
from bench.scale.figure import Figures
from bench.scale.objects import Size
from bench.witnessed_sidecar import VARIABLE

_CHANGES: Final = 10
_SYNC_SECONDS: Final = 120.0
_QUIET: Final = 3.0
"""Seconds after which what a start or a push has left to do is done."""
_DEBOUNCE: Final = ("--debounce-after", "0.01")


class Mesh:
    """One control plane, one sidecar."""

    def __init__(self, network: Network, folder: Path, size: Size, figures: Figures) -> None:
        self._network = network
        self._folder = folder
        self._size = size
        self._figures = figures
        self._report = folder / "longest-stall"

    def start(self) -> None:
        """The control plane until it is ready, and when nothing is left to do."""
        began = time.monotonic()
        self.control = ControlPlane(
            self._folder / "state", self._network.control, self._folder / "control-plane.log", _DEBOUNCE
        )
        took, used = time.monotonic() - began, self.control.process.cpu_seconds()
        rss = self.control.process.rss_mb()
        self._figures.add(
            "control plane: start until ready", cpu_ms=used * 1e3, wall_ms=took * 1e3, rss_mb=rss
        )

    def connect_sidecar(self) -> None:
        """The sidecar's side, and what the first of its kind costs the control plane."""
        before = self.control.process.cpu_seconds()
        where = Surroundings(self._network.client, self.control, self._folder)
        environment = {VARIABLE: str(self._report)}
        self._sidecar = start_meshproxy(
            CLIENT, where, module="bench.witnessed_sidecar", environment=environment
        )
        took = wait_ready(Side.MESHPROXY, self._sidecar, self._network.client)
        self._wait_until_synced()
        time.sleep(_QUIET)
        used = self.control.process.cpu_seconds() - before
        self._figures.add(
            "control plane: the first sidecar", cpu_ms=used * 1e3, rss_mb=self._rss(self.control)
        )
        self._of_sidecar("sidecar: start until ready", 0.0, took)

    def change_endpoints(self) -> None:
        """One endpoint of a slice of 100 goes and comes back."""
        self._watch_acts("one endpoint", lambda number: self._flip(1 + number % 2))
        self._watch_acts("one Pod's labels", self._relabel)

    def restart(self) -> None:
        """Kill the control plane: until the new one has the sidecar again."""
        self._stall()
        cpu = self._sidecar.cpu_seconds()
        self.control.process.signal(signal.SIGKILL)
        self.control.process.wait(10.0)
        began = time.monotonic()
        self.start()
        self._wait_until_synced()
        took = time.monotonic() - began
        self._figures.add(
            "control plane: killed, until the sidecar has its configuration",
            cpu_ms=self.control.process.cpu_seconds() * 1e3,
            wall_ms=took * 1e3,
        )
        time.sleep(_QUIET)
        self._of_sidecar("sidecar: meanwhile", cpu)

    def stop(self) -> None:
        self._sidecar.stop()
        self.control.stop()

    def _watch_acts(self, what: str, act: Callable[[int], None]) -> None:
        self._stall()
        control, sidecar = self.control.process.cpu_seconds(), self._sidecar.cpu_seconds()
        for number in range(_CHANGES):
            act(number)
            time.sleep(0.5)
        used = (self.control.process.cpu_seconds() - control) / _CHANGES
        self._figures.add(f"control plane: {what} changes", cpu_ms=used * 1e3, rss_mb=self._rss(self.control))
        used = (self._sidecar.cpu_seconds() - sidecar) / _CHANGES
        rss, stall = self._sidecar.rss_mb(), self._stall()
        self._figures.add(f"sidecar: {what} changes", cpu_ms=used * 1e3, stall_ms=stall, rss_mb=rss)

    def _flip(self, unready: int) -> None:
        first = self._size.endpoints_of(0)
        members = range(first, first + self._size.endpoints_of(1))
        manifest = objects.endpoint_slice(1, 0, members, unready=first + unready)
        asyncio.run(self._update(manifest))

    async def _update(self, manifest: dict[str, object]) -> None:
        async with self.control.client() as api:
            await api.update(manifest)

    def _relabel(self, number: int) -> None:
        asyncio.run(self._patch_pod({"metadata": {"labels": {"n": str(number)}}}))

    async def _patch_pod(self, patch: dict[str, object]) -> None:
        async with self.control.client() as api:
            name = objects.pod_name(1, self._size.endpoints_of(0) + 3)
            await api.patch("Pod", name, objects.namespace_of_service(1), patch)

    def _wait_until_synced(self) -> None:
        until(
            self._is_synced,
            "the sidecar is not in sync",
            _SYNC_SECONDS,
            [self._sidecar, self.control.process],
        )

    def _is_synced(self) -> bool:
        answer = http_get(self._network.control, self.control.ports["metrics"], "/debug/syncz")
        if answer is None or answer[0] != 200:
            return False
        streams = json.loads(answer[1])
        nodes = streams if isinstance(streams, list) else streams["nodes"]
        return bool(nodes) and all(
            one["state"] == "SYNCED" for node in nodes for one in node["types"].values()
        )

    def _of_sidecar(self, what: str, cpu_before: float, took: float | None = None) -> None:
        wall = {} if took is None else {"wall_ms": took * 1e3}
        used = self._sidecar.cpu_seconds() - cpu_before
        stall, rss = self._stall(), self._sidecar.rss_mb()
        self._figures.add(what, cpu_ms=used * 1e3, stall_ms=stall, rss_mb=rss, **wall)

    def _stall(self) -> float:
        """The longest since it was last asked; ms."""
        self._report.unlink(missing_ok=True)
        self._sidecar.signal(signal.SIGUSR1)
        until(self._report.exists, "the witness does not answer", _SYNC_SECONDS, [self._sidecar])
        return float(self._report.read_text())

    @staticmethod
    def _rss(control: ControlPlane) -> float:
        process: Process = control.process
        return process.rss_mb()
