"""The workloads, in the order they are run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from bench.result import Outcome
from bench.workload import (
    concurrency,
    connections,
    fault,
    http1,
    http2,
    http2_streams,
    latency,
    memory,
    propagation,
    relay,
    stall,
    start,
    upgrade,
)
from bench.workload.context import Context


@dataclass(frozen=True, slots=True)
class Workload:
    """One thing that is measured."""

    title: str
    run: Callable[[Context], Outcome]


WORKLOADS: Mapping[str, Workload] = MappingProxyType(
    {
        fault.NAME: Workload("proof of the features: faults are found again in the counters", fault.faults),
        "http1_one_hop": Workload("HTTP/1.1 keep-alive, one hop", http1.one_hop),
        "http1_two_hops_mtls": Workload("HTTP/1.1 keep-alive, two hops, mTLS", http1.two_hops_mtls),
        "http1_one_hop_routes": Workload(
            "HTTP/1.1, one hop, 50 rules a host and edited heads", http1.one_hop_routes
        ),
        "http1_two_hops_mtls_routes": Workload(
            "HTTP/1.1, two hops, mTLS, 50 rules a host and edited heads", http1.two_hops_mtls_routes
        ),
        "http2_one_hop": Workload("HTTP/2 and gRPC, one hop", http2.one_hop),
        "http2_two_hops_mtls": Workload("HTTP/2 and gRPC, two hops, mTLS", http2.two_hops_mtls),
        http2_streams.NAME: Workload(
            "HTTP/2 and gRPC, two hops, mTLS: latency, 1 GiB, 1,000 streams", http2_streams.streams
        ),
        upgrade.NAME: Workload(
            "HTTP/1.1 over HTTP/2 between sidecars, and over HTTP/1.1: ours only", upgrade.upgrade
        ),
        latency.NAME: Workload("added latency and CPU at fixed rates, two hops, mTLS", latency.latency),
        connections.NAME: Workload("a new connection for each request", connections.new_connections),
        propagation.NAME: Workload("a rule, from REST to 100 sidecars", propagation.propagation),
        memory.NAME: Workload("memory by number of services", memory.memory),
        start.NAME: Workload("start to ready with half a core", start.start),
        stall.NAME: Workload("longest stall of the event loop", stall.stall),
        concurrency.NAME: Workload(
            "two workers and one, each with a part of a core", concurrency.concurrency
        ),
        relay.NAME: Workload("TCP relay, plain and mTLS", relay.relay),
    }
)
