"""What the structured admin pages say: live objects to plain values. Private keys are never among them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from meshproxy.admin.json_text import LazyObject
from meshproxy.config.model import Listener
from meshproxy.identity.identity import Identity
from meshproxy.transport.listener import ListenerSet
from meshproxy.upstream.cluster import ClusterRuntime
from meshproxy.upstream.endpoint import EndpointRuntime

if TYPE_CHECKING:
    from meshproxy.identity.agent import AgentCounters  # brings h2 and protobuf, which workers do without


def clusters(live: Mapping[str, ClusterRuntime]) -> list[LazyObject]:
    """`/clusters`: limits, counters, and every endpoint with how it is reached; each as of when the writer of
    the page reaches it."""
    return [LazyObject(partial(_cluster, name, runtime)) for name, runtime in sorted(live.items())]


def _cluster(name: str, runtime: ClusterRuntime) -> dict[str, object]:
    return {
        "name": name,
        "type": runtime.cluster.type,
        "service": runtime.cluster.service,
        "active_requests": runtime.active_requests,
        "pending_requests": runtime.pending_requests,
        "connections": runtime.connections,
        "active_retries": runtime.active_retries,
        "overflows": runtime.overflows,
        "ejected_endpoints": runtime.ejected,
        "is_panicking": runtime.is_panicking,
        "load_balancer": runtime.cluster.load_balancing.algorithm.value,
        "endpoints": [_endpoint(endpoint, runtime.now) for endpoint in runtime.endpoints],
    }


def _endpoint(endpoint: EndpointRuntime, now: float) -> dict[str, object]:
    config, breaker, latency = endpoint.endpoint, endpoint.breaker, endpoint.latency
    page: dict[str, object] = {
        "address": endpoint.place,
        "workload": config.workload,
        "tls": endpoint.tls is not None,
        "spiffe_id": config.spiffe_id,
        "weight": config.weight,
        "priority": config.priority,
        "locality": config.locality,
        "labels": dict(config.labels),
        "fitness": endpoint.fitness.value,
        "requests": endpoint.requests,
        "active_requests": endpoint.active_requests,
        "connections": endpoint.connections,
        "idle_connections": len(endpoint.idle),
        "connect_failures": endpoint.connect_failures,
        "consecutive_failures": endpoint.health.failures,
        "is_ejected": endpoint.health.is_ejected,
        "ejections": endpoint.health.ejections,
    }
    if endpoint.check is not None:
        page["health_check"] = "pending" if endpoint.check.is_pending else _HEALTH[endpoint.check.is_healthy]
    if breaker is not None:
        page["circuit_breaker"] = breaker.state(now).value
    if latency is not None:
        page["latency_ms"] = round(latency.seconds(now) * 1000, 3)
    return page


_HEALTH = {True: "healthy", False: "unhealthy"}


def listeners(live: ListenerSet) -> list[LazyObject]:
    """`/listeners`: what is listened on, and for whom connections are taken in."""
    return [
        LazyObject(partial(_listener, name, listener, live))
        for name, listener in sorted(live.listeners.items())
    ]


def _listener(name: str, listener: Listener, live: ListenerSet) -> dict[str, object]:
    chains = (*listener.filter_chains, *filter(None, [listener.default_filter_chain]))
    return {
        "name": name,
        "direction": listener.direction,
        "address": f"{listener.address}:{listener.port}",
        "bound_ports": live.bound_ports(name),
        "filter_chains": [chain.name for chain in chains],
    }


def certificates(identity: Identity | None, counters: AgentCounters, last_error: str) -> dict[str, object]:
    """`/certs`: the certificate in use and how it was come by."""
    document: dict[str, object] = {"counters": counters, "last_error": last_error}
    if identity is not None:
        document["certificate"] = {
            "spiffe_id": str(identity.spiffe_id),
            "serial_number": f"{identity.serial_number:x}",
            "generation": identity.generation,
            "valid_from": _timestamp(identity.not_before),
            "expiration_time": _timestamp(identity.not_after),
        }
        document["cert_chain"] = identity.chain_pem
        document["ca_cert"] = identity.root_pem
    return document


def _timestamp(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()
