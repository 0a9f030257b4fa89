"""The snapshot cache: streams, snapshots and the two callbacks."""

from collections.abc import Mapping

import pytest

from control_plane.api.envoy.config.core.v3.base_pb2 import Node
from control_plane.cache import SnapshotCache
from control_plane.snapshot import InconsistentSnapshot, Snapshot
from control_plane.subscription import SyncState, TypeStatus
from tests.unit.control_plane.xds_sample import cluster, shop


class FakeStream:
    def __init__(self, node_id: str = "n1", connected_at: float = 1.0) -> None:
        self.node = Node(id=node_id)
        self.connected_at = connected_at
        self.snapshots: list[Snapshot] = []

    def on_snapshot(self, snapshot: Snapshot) -> None:
        self.snapshots.append(snapshot)

    def statuses(self) -> Mapping[str, TypeStatus]:
        return {"cds": TypeStatus(SyncState.NACKED, "v2", "v1", "bad")}


def test_a_stream_gets_what_is_set_and_what_was_there_before_it() -> None:
    cache, first, second = SnapshotCache(), FakeStream(), FakeStream()
    cache.attach(first)
    snapshot = shop("a")
    assert cache.set("n1", snapshot)
    cache.attach(second)
    assert first.snapshots == [snapshot]
    assert second.snapshots == [snapshot]
    assert cache.get("n1") is snapshot


def test_a_node_that_is_not_connected_keeps_nothing() -> None:
    cache = SnapshotCache()
    assert not cache.set("n1", shop("a"))
    assert cache.get("n1") is None


def test_an_inconsistent_snapshot_is_refused_and_the_one_before_stays() -> None:
    cache, stream = SnapshotCache(), FakeStream()
    cache.attach(stream)
    good = shop("a")
    cache.set("n1", good)
    with pytest.raises(InconsistentSnapshot, match="'n1' is not published: cds 'b' needs eds 'b'"):
        cache.set("n1", Snapshot.of_messages([cluster("b")]))
    assert cache.get("n1") is good
    assert stream.snapshots == [good]


def test_a_node_is_gone_with_its_last_stream_only() -> None:
    cache, first, second = SnapshotCache(), FakeStream(), FakeStream()
    connected: list[str] = []
    gone: list[str] = []
    cache.on_node_connected = lambda node: connected.append(node.id)
    cache.on_node_gone = gone.append
    cache.attach(first)
    cache.attach(second)
    cache.set("n1", shop("a"))
    cache.detach(first)
    assert (connected, gone) == (["n1", "n1"], [])
    assert cache.get("n1") is not None
    cache.detach(second)
    assert gone == ["n1"]
    assert cache.get("n1") is None


def test_callbacks_are_optional() -> None:
    cache, stream = SnapshotCache(), FakeStream()
    cache.attach(stream)
    cache.detach(stream)
    assert cache.nodes() == []


def test_the_status_view_lists_every_stream_and_serialises() -> None:
    cache = SnapshotCache()
    for stream in (FakeStream("n2"), FakeStream("n1", 5.0), FakeStream("n1", 6.0)):
        cache.attach(stream)
    assert [(status.node_id, status.connected_at) for status in cache.statuses()] == [
        ("n1", 5.0),
        ("n1", 6.0),
        ("n2", 1.0),
    ]
    assert cache.statuses()[0].as_dict() == {
        "nodeId": "n1",
        "connectedAt": 5.0,
        "types": {
            "cds": {"state": "NACKED", "sentVersion": "v2", "ackedVersion": "v1", "nackedReason": "bad"}
        },
    }
    assert sorted(node.id for node in cache.nodes()) == ["n1", "n2"]
