"""What the API server takes to answer when the cluster is big: lists, pages, tables, and watches.

CPU time of the control plane's process, which other programs on the machine hardly change; the waits are wall
time, on a machine with nothing else to do.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Final

import httpx

from bench.control import ControlPlane
from bench.scale import objects
from bench.scale.figure import Figures
from control_plane.client import ApiClient
from control_plane.kubeconfig import read_kubeconfig
from control_plane.resources.manifest import metadata, name_of, section

_TABLE: Final = "application/json;as=Table;v=v1;g=meta.k8s.io"
_WATCHERS: Final = 50
_CHANGES: Final = 20
_PAGE: Final = 500
"""kubectl's."""
_PROBE_INTERVAL: Final = 0.005


async def measure(control: ControlPlane, figures: Figures) -> None:
    """Everything, each with the longest wait of somebody who asks `/readyz` all the while."""
    config = read_kubeconfig(control.data_dir / "kubeconfig")
    headers = {"Authorization": f"Bearer {config.token}", "Accept-Encoding": "identity"}
    context = httpx.create_ssl_context()
    context.load_verify_locations(cadata=config.ca_pem)
    async with httpx.AsyncClient(
        base_url=config.server, headers=headers, verify=context, timeout=60.0
    ) as http:

        async def cost(what: str, act: Callable[[], Awaitable[int]]) -> None:
            await _cost(control, http, figures, what, act)

        await cost("list Pods", lambda: _get(http, "/api/v1/pods"))
        await cost("list Pods of one namespace", lambda: _get(http, "/api/v1/namespaces/team-01/pods"))
        await cost("list Pods by label", lambda: _get(http, "/api/v1/pods?labelSelector=app%3Dapp-0003"))
        await cost("list Pods in pages of 500", lambda: _pages(http, "/api/v1/pods"))
        await cost("kubectl get pods -A", lambda: _pages(http, "/api/v1/pods", _TABLE))
        await cost("kubectl get services -A", lambda: _pages(http, "/api/v1/services", _TABLE))
        await cost("list EndpointSlices", lambda: _get(http, "/apis/discovery.k8s.io/v1/endpointslices"))
        await cost("watch Pods from the beginning", lambda: _initial(http))
    async with control.client() as api:
        await _fan_out(control, api, figures)


async def _cost(
    control: ControlPlane,
    http: httpx.AsyncClient,
    figures: Figures,
    what: str,
    act: Callable[[], Awaitable[int]],
) -> None:
    probing = asyncio.create_task(_longest_wait(http))
    await asyncio.sleep(0.1)
    began, used = time.perf_counter(), control.process.cpu_seconds()
    size = await act()
    took = time.perf_counter() - began
    await asyncio.sleep(0.05)
    used = control.process.cpu_seconds() - used
    probing.cancel()
    (waited,) = await asyncio.gather(probing)
    figures.add(what, cpu_ms=used * 1e3, wall_ms=took * 1e3, size_mb=size / 1e6, others_wait_ms=waited * 1e3)


async def _longest_wait(http: httpx.AsyncClient) -> float:
    """Seconds, until cancelled."""
    longest = 0.0
    began = time.perf_counter()
    try:
        while True:
            began = time.perf_counter()
            await http.get("/readyz")
            longest = max(longest, time.perf_counter() - began)
            await asyncio.sleep(_PROBE_INTERVAL)
    except asyncio.CancelledError:
        return longest


async def _get(http: httpx.AsyncClient, path: str) -> int:
    answer = await http.get(path)
    answer.raise_for_status()
    return len(answer.content)


async def _pages(http: httpx.AsyncClient, path: str, accept: str = "application/json") -> int:
    token, size = "", 0
    while True:
        query = {"limit": str(_PAGE), **({"continue": token} if token else {})}
        answer = await http.get(path, params=query, headers={"Accept": accept})
        answer.raise_for_status()
        size += len(answer.content)
        token = str(metadata(answer.json()).get("continue", ""))
        if not token:
            return size


async def _initial(http: httpx.AsyncClient) -> int:
    """Until all there is has been told."""
    query = "watch=true&sendInitialEvents=true&allowWatchBookmarks=true&resourceVersionMatch=NotOlderThan"
    size = 0
    async with http.stream("GET", f"/api/v1/pods?{query}") as answer:
        async for chunk in answer.aiter_bytes():
            size += len(chunk)
            if b"initial-events-end" in chunk:
                break
    return size


async def _fan_out(control: ControlPlane, api: ApiClient, figures: Figures) -> None:
    """One Service is changed again and again; the time until the last watcher has been told."""
    namespace, name = objects.namespace_of_service(3), objects.service_name(3)
    version = (await api.list("Service", namespace)).resource_version
    told = asyncio.Semaphore(0)
    watchers = [asyncio.create_task(_watch(api, version, told)) for _ in range(_WATCHERS)]
    waits, used = [], 0.0
    for number in range(_CHANGES + 1):  # the first one finds out that all are there
        before, began = control.process.cpu_seconds(), time.perf_counter()
        await api.patch("Service", name, namespace, {"metadata": {"annotations": {"n": str(number)}}})
        for _ in watchers:
            await asyncio.wait_for(told.acquire(), 30.0)
        if number:
            waits.append(time.perf_counter() - began)
            used += control.process.cpu_seconds() - before
    for watcher in watchers:
        watcher.cancel()
    await asyncio.gather(*watchers, return_exceptions=True)
    worst = max(waits) * 1e3
    figures.add(f"a change, told to {_WATCHERS} watchers", cpu_ms=used / _CHANGES * 1e3, wall_ms=worst)


async def _watch(api: ApiClient, version: str, told: asyncio.Semaphore) -> None:
    async with aclosing(api.watch("Service", resource_version=version)) as events:
        async for event in events:
            if name_of(event.object) == objects.service_name(3) and section(event.object, "spec"):
                told.release()
