"""Snapshots by their differences: what arrives is equal, and what did not change stays the same object."""

import random
from collections.abc import Mapping

import pytest

from meshproxy.config.model import Cluster, ClusterType, Endpoint
from meshproxy.config.route import RouteTable
from meshproxy.config.snapshot import ConfigSnapshot
from meshproxy.config.tls import TlsCertificate
from meshproxy.workers.config_change import ConfigChange
from meshproxy.workers.frame import FrameReader, encode


def _other_process(change: ConfigChange) -> ConfigChange:
    (received,) = FrameReader().feed(encode(change))
    assert isinstance(received, ConfigChange)
    return received


def _mutated(rng: random.Random, before: ConfigSnapshot) -> ConfigSnapshot:
    clusters, routes, endpoints = dict(before.clusters), dict(before.routes), dict(before.endpoints)
    name, what = f"c{rng.randrange(6)}", rng.randrange(4)
    if what == 0:
        clusters[name] = Cluster(name, ClusterType.EDS, connect_timeout=float(rng.randrange(1, 9)))
        endpoints[name] = ()
    elif what == 1:
        endpoints[name] = tuple(Endpoint("10.0.0.1", port) for port in range(1, rng.randrange(1, 5)))
    elif what == 2:
        routes[name] = RouteTable(name, ())
    else:
        for resources in (clusters, routes, endpoints):
            resources.pop(name, None)
    return ConfigSnapshot({}, routes, clusters, endpoints, versions={"cds": str(rng.random())})


def _is_same(name: str, one: Mapping[str, object], other: Mapping[str, object]) -> bool:
    return name in one and one[name] is other.get(name)


@pytest.mark.parametrize("seed", range(5))
def test_a_chain_of_changes_arrives_equal(seed: int) -> None:
    rng = random.Random(seed)
    ours = theirs = ConfigSnapshot()
    for _ in range(50):
        after = _mutated(rng, ours)
        received = _other_process(ConfigChange.between(ours, after)).applied_to(theirs)
        assert received == after
        for name, cluster in after.clusters.items():
            if ours.clusters.get(name) is cluster:
                assert _is_same(name, theirs.clusters, received.clusters)
        ours, theirs = after, received


def test_secrets_arrive_whole_and_are_taken_back() -> None:
    before = ConfigSnapshot()
    after = ConfigSnapshot(secrets={"s": TlsCertificate("s", b"chain", b"key")})
    received = _other_process(ConfigChange.between(before, after)).applied_to(before)
    assert received == after
    assert _other_process(ConfigChange.between(after, before)).applied_to(received) == before


def test_a_kind_without_change_stays_the_same_mapping() -> None:
    before = ConfigSnapshot(endpoints={"a": (Endpoint("10.0.0.1", 80),)})
    after = ConfigSnapshot(endpoints=before.endpoints, routes={"r": RouteTable("r", ())})
    received = _other_process(ConfigChange.between(before, after)).applied_to(before)
    assert received.endpoints is before.endpoints
    assert received == after
