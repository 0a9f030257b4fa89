"""(9) A rule written by REST, until the last of 100 sidecars has it: ADS streams over mTLS, 100 services.

From just before the PUT is sent; the control plane's debounce (0.1 s) is part of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final, cast

from bench import dataset
from bench.control import XDS_ADDRESS, ControlPlane, create
from bench.load.ads_streams import MARKER, pod_address, pod_name
from bench.network import Network
from bench.process import PROXY_CORE, Process, until
from bench.proxies import issue
from bench.result import Measurement, Outcome, Side
from bench.shape import NAMESPACE, service_name
from bench.statistic import percentile
from bench.testbed import SERVICES
from bench.workload.context import Context, say
from control_plane.resources.manifest import Manifest

NAME: Final = "put_to_effect"
SIDECARS: Final = 100
_PUTS_A_ROUND = 10
_ARRIVAL_SECONDS = 30.0
_QUIET_SECONDS = 0.3
"""Between two rules: longer than the debounce, so that no push carries two."""


def propagation(context: Context) -> Outcome:
    """Our control plane only: Envoy has none."""
    network = Network("propagation")
    with contextlib.ExitStack() as stack:
        stack.callback(network.close)
        data_dir = context.seeds.copy(network.root / "control", SERVICES, meshed=True)
        control = ControlPlane(data_dir, network.control, network.root / "control-plane.log")
        stack.callback(control.stop)
        say(f"  {SIDECARS} streams")
        asyncio.run(_create_pods(control))
        streams = stack.enter_context(_streams(network, control))
        times = asyncio.run(_measure(context.pace.rounds * _PUTS_A_ROUND, control, streams))
    return _outcome(times)


def _outcome(times: list[list[float]]) -> Outcome:
    """`times`: ms for each sidecar, for each rule."""
    outcome = Outcome()
    last, first = [max(one) for one in times], [min(one) for one in times]
    for metric, values in (("first sidecar", first), ("last sidecar", last)):
        outcome.measurements.append(
            Measurement(NAME, f"{SIDECARS} sidecars", Side.MESHPROXY.value, metric, "ms", tuple(values))
        )
    for percent in (50, 99):
        outcome.figures[f"put_to_effect_p{percent}_ms_{SIDECARS}_sidecars"] = percentile(last, percent)
    return outcome


async def _create_pods(control: ControlPlane) -> None:
    async with control.client() as api:
        for number in range(SIDECARS):
            pod = dataset.pod(pod_name(number), pod_address(number), dataset.CLIENT_ACCOUNT, meshed=True)
            await create(api, pod)


@contextlib.contextmanager
def _streams(network: Network, control: ControlPlane) -> Iterator[Process]:
    """The sidecars' process, connected; on the proxies' core, which is free."""
    folder = network.root / "identity"
    folder.mkdir()
    identity = issue(control, dataset.CLIENT_ACCOUNT)
    for name in ("chain", "key", "root"):
        (folder / f"{name}.pem").write_text(getattr(identity, name))
    command = [sys.executable, "-m", "bench.load.ads_streams", XDS_ADDRESS, str(SIDECARS), str(folder)]
    log = network.root / "streams.log"
    process = Process(command, namespace=network.client, core=PROXY_CORE, log=log)
    try:
        until(lambda: _line(log, "connected", SIDECARS), "streams not connected", 60.0, [process])
        yield process
    finally:
        process.stop()


async def _measure(count: int, control: ControlPlane, streams: Process) -> list[list[float]]:
    times = []
    async with control.client() as api:
        await asyncio.sleep(_QUIET_SECONDS)
        for number in range(count):
            marker = f"{MARKER}{number}-end"
            manifest = dataset.route(number % SERVICES, SERVICES, marker=marker)
            current = await api.get("HTTPRoute", service_name(number % SERVICES), NAMESPACE)
            metadata = cast("Manifest", current["metadata"])
            started_at = time.monotonic()
            await api.update({**manifest, "metadata": metadata})
            arrived = await asyncio.to_thread(_wait, streams, marker)
            times.append([(at - started_at) * 1e3 for at in arrived])
            await asyncio.sleep(_QUIET_SECONDS)
    return times


def _wait(streams: Process, marker: str) -> list[float]:
    what = f"rule {marker} did not arrive everywhere"
    line = until(lambda: _line(streams.log, "marker", marker), what, _ARRIVAL_SECONDS, [streams])
    return [float(at) for at in cast("list[float]", line["times"])]


def _line(log: Path, field: str, value: object) -> dict[str, object] | None:
    """What the streams printed with that field, when it is there."""
    for line in log.read_text().splitlines():
        with contextlib.suppress(json.JSONDecodeError):
            document = json.loads(line)
            if document.get(field) == value:
                return cast("dict[str, object]", document)
    return None
