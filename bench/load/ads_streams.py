"""Many sidecars' ADS streams in one process: subscribes as sidecars do, acknowledges, and says when each
stream had a routing rule.

`python -m bench.load.ads_streams ADDRESS COUNT DIRECTORY` reads `chain.pem`, `key.pem`, `root.pem` from the
directory and prints JSON lines: `{"connected": COUNT}` when every stream has its routes, then for each rule
whose path begins with `MARKER` `{"marker": "…", "times": [monotonic seconds, one a stream]}`. It stands for
what a real sidecar does up to the point where it has the bytes; putting them in force is the sidecar's part.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
from pathlib import Path
from typing import Final

import grpc
import grpc.aio
import uvloop

from bench.shape import NAMESPACE, SERVICE_PORT
from control_plane.api.envoy.config.cluster.v3.cluster_pb2 import Cluster
from control_plane.api.envoy.config.core.v3.base_pb2 import Node
from control_plane.api.envoy.service.discovery.v3 import ads_pb2_grpc
from control_plane.api.envoy.service.discovery.v3.discovery_pb2 import DiscoveryRequest, DiscoveryResponse

MARKER: Final = "/bench-marker-"
_PATTERN: Final = re.compile(re.escape(MARKER).encode() + rb"\d+-end")

_TYPE = "type.googleapis.com/envoy.config."
CLUSTERS, ENDPOINTS, LISTENERS, ROUTES = (
    _TYPE + name
    for name in (
        "cluster.v3.Cluster",
        "endpoint.v3.ClusterLoadAssignment",
        "listener.v3.Listener",
        "route.v3.RouteConfiguration",
    )
)
_OPTIONS = (("grpc.use_local_subchannel_pool", 1), ("grpc.max_receive_message_length", 64 << 20))


class Arrivals:
    """When each stream had what."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._times: dict[str, list[float]] = {}
        self._with_routes: set[int] = set()

    def on_routes(self, stream: int, response: DiscoveryResponse, now: float) -> None:
        """A stream has got its routes."""
        if stream not in self._with_routes:
            self._with_routes.add(stream)
            if len(self._with_routes) == self._count:
                _print({"connected": self._count})
        for resource in response.resources:
            for marker in set(_PATTERN.findall(resource.value)):
                self._on_marker(marker.decode(), now)

    def _on_marker(self, marker: str, now: float) -> None:
        times = self._times.setdefault(marker, [])
        if len(times) < self._count:  # it stays in later configurations
            times.append(now)
            if len(times) == self._count:
                _print({"marker": marker, "times": times})


class Stream:
    """One sidecar as the control plane sees it."""

    def __init__(self, number: int, channel: grpc.aio.Channel, arrivals: Arrivals) -> None:
        self._number = number
        self._arrivals = arrivals
        stub = ads_pb2_grpc.AggregatedDiscoveryServiceStub(channel)  # type: ignore[no-untyped-call]
        self._call: grpc.aio.StreamStreamCall[DiscoveryRequest, DiscoveryResponse] = (
            stub.StreamAggregatedResources()
        )
        self._names: dict[str, list[str]] = {CLUSTERS: [], LISTENERS: []}

    async def run(self) -> None:
        """Until the stream ends."""
        node = Node(id=node_id(self._number))
        node.metadata.update({"GENERATOR": "meshproxy", "NAMESPACE": NAMESPACE})
        await self._call.write(DiscoveryRequest(node=node, type_url=CLUSTERS))
        await self._call.write(DiscoveryRequest(type_url=LISTENERS))
        while isinstance(response := await self._call.read(), DiscoveryResponse):
            now = time.monotonic()
            kind = response.type_url
            await self._request(kind, response.version_info, response.nonce)
            if kind == CLUSTERS:
                await self._subscribe(ENDPOINTS, _endpoint_names(response))
            elif kind == LISTENERS:
                await self._subscribe(ROUTES, [str(SERVICE_PORT)])
            elif kind == ROUTES:
                self._arrivals.on_routes(self._number, response, now)

    async def _subscribe(self, kind: str, names: list[str]) -> None:
        if self._names.get(kind) != names:
            self._names[kind] = names
            await self._request(kind, "", "")

    async def _request(self, kind: str, version: str, nonce: str) -> None:
        names = self._names.get(kind, [])
        await self._call.write(
            DiscoveryRequest(type_url=kind, resource_names=names, version_info=version, response_nonce=nonce)
        )


def pod_name(number: int) -> str:
    return f"sidecar-{number}"


def pod_address(number: int) -> str:
    return f"10.244.{2 + number // 250}.{1 + number % 250}"


def node_id(number: int) -> str:
    pod = f"{pod_name(number)}.{NAMESPACE}"
    return f"sidecar~{pod_address(number)}~{pod}~{NAMESPACE}.svc.cluster.local"


def _endpoint_names(response: DiscoveryResponse) -> list[str]:
    clusters = [Cluster.FromString(resource.value) for resource in response.resources]
    return sorted({one.eds_cluster_config.service_name for one in clusters if one.type == Cluster.EDS})


def _print(document: dict[str, object]) -> None:
    print(json.dumps(document), flush=True)


async def _main(address: str, count: int, folder: Path) -> None:
    pems = [(folder / f"{name}.pem").read_bytes() for name in ("root", "key", "chain")]
    credentials = grpc.ssl_channel_credentials(*pems)
    arrivals = Arrivals(count)
    async with asyncio.TaskGroup() as tasks:
        for number in range(count):
            channel = grpc.aio.secure_channel(address, credentials, options=_OPTIONS)
            tasks.create_task(Stream(number, channel, arrivals).run())


if __name__ == "__main__":
    uvloop.run(_main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])))
