"""Which snapshot each connected node should have, and how far it has got.

Discovery puts snapshots in (`set`); the streams of the ADS server register here and are told. A node is
connected while it has at least one stream: a sidecar that reconnects with fresh credentials has two for a
moment.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from control_plane.api.envoy.config.core.v3.base_pb2 import Node
from control_plane.snapshot import InconsistentSnapshot, Snapshot
from control_plane.subscription import TypeStatus


class Stream(Protocol):
    """What the cache needs of a stream; defined here so that the cache does not depend on the gRPC side."""

    @property
    def node(self) -> Node:
        """As sent in the stream's first request."""
        ...

    @property
    def connected_at(self) -> float:
        """Seconds since the Unix epoch."""
        ...

    def on_snapshot(self, snapshot: Snapshot) -> None:
        """There is something new to push; must not block."""
        ...

    def statuses(self) -> Mapping[str, TypeStatus]:
        """By short type name."""
        ...


@dataclass(frozen=True, slots=True)
class NodeStatus:
    """One stream of one node, for `proxy-status`."""

    node_id: str
    connected_at: float
    """Seconds since the Unix epoch."""
    types: Mapping[str, TypeStatus]
    """By `cds`, `eds`, `lds`, `rds`."""

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        types = {
            short: {
                "state": status.state.value,
                "sentVersion": status.sent_version,
                "ackedVersion": status.acked_version,
                "nackedReason": status.nacked_reason,
            }
            for short, status in self.types.items()
        }
        return {"nodeId": self.node_id, "connectedAt": self.connected_at, "types": types}


def _ignore(_: object) -> None:
    """Nobody listens."""


class SnapshotCache:
    """Snapshots and streams by node id. All calls on the event loop's thread."""

    def __init__(self) -> None:
        self.on_node_connected: Callable[[Node], object] = _ignore
        """Called for each new stream; whoever builds snapshots answers, now or later, with `set`."""
        self.on_node_gone: Callable[[str], object] = _ignore
        """Called with the node id when its last stream has ended."""
        self._snapshots: dict[str, Snapshot] = {}
        self._streams: dict[str, list[Stream]] = {}

    def set(self, node_id: str, snapshot: Snapshot) -> bool:
        """Make `snapshot` what the node should have; False when the node is not connected (any more).

        Raises InconsistentSnapshot, and keeps the snapshot before, when a reference in it would dangle.
        """
        if problems := snapshot.problems():
            raise InconsistentSnapshot(f"snapshot for {node_id!r} is not published: {'; '.join(problems)}")
        streams = self._streams.get(node_id)
        if streams is None:
            return False
        self._snapshots[node_id] = snapshot
        for stream in streams:
            stream.on_snapshot(snapshot)
        return True

    def get(self, node_id: str) -> Snapshot | None:
        """What the node should have; None before the first `set`."""
        return self._snapshots.get(node_id)

    def nodes(self) -> list[Node]:
        """Every connected node once, as its newest stream describes it."""
        return [streams[-1].node for streams in self._streams.values()]

    def attach(self, stream: Stream) -> None:
        """A node has opened a stream; it is given the snapshot that is there."""
        node = stream.node
        self._streams.setdefault(node.id, []).append(stream)
        if (snapshot := self._snapshots.get(node.id)) is not None:
            stream.on_snapshot(snapshot)
        self.on_node_connected(node)

    def detach(self, stream: Stream) -> None:
        """The stream has ended; forgets the node with its last one."""
        node_id = stream.node.id
        streams = self._streams[node_id]
        streams.remove(stream)
        if not streams:
            del self._streams[node_id]
            self._snapshots.pop(node_id, None)
            self.on_node_gone(node_id)

    def statuses(self) -> list[NodeStatus]:
        """Every stream, in the order of node ids, the oldest stream of a node first."""
        return [
            NodeStatus(node_id, stream.connected_at, stream.statuses())
            for node_id in sorted(self._streams)
            for stream in self._streams[node_id]
        ]
