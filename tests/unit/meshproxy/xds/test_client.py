"""The ADS client against the real ADS server, over plaintext gRPC on a port of the kernel's choice."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from random import Random

import grpc.aio
import pytest

from control_plane.ads import SERVER_OPTIONS, AdsServicer
from control_plane.api.envoy.config.core.v3.base_pb2 import Node
from control_plane.api.envoy.service.discovery.v3.discovery_pb2 import DiscoveryResponse
from control_plane.cache import SnapshotCache
from control_plane.snapshot import ENDPOINT_TYPE, Snapshot
from control_plane.subscription import SyncState
from meshproxy.clock import Clock, SystemClock
from meshproxy.config.snapshot import ConfigSnapshot
from meshproxy.errors import UpstreamError
from meshproxy.rpc.call import GrpcCall, dial
from meshproxy.xds.client import XdsClient
from meshproxy.xds.subscription import Cursor
from tests.unit.meshproxy.xds import xds_message as message

NODE = Node(id="sidecar~10.0.0.9~web.shop~shop.svc.cluster.local")


class SlowClock(SystemClock):
    """Each look at it is ten seconds later."""

    def __init__(self) -> None:
        self._now = 0.0

    def monotonic(self) -> float:
        self._now += 10.0
        return self._now


class Plane:
    """A control plane that can be killed and started again on the same port."""

    def __init__(self) -> None:
        self.snapshot: Snapshot | None = None
        self.cache = SnapshotCache()
        self.port = 0
        self.reason: str | None = None
        self._server: grpc.aio.Server | None = None

    async def start(self) -> None:
        self.cache = SnapshotCache()
        self.cache.on_node_connected = self._build
        self._server = grpc.aio.server(options=SERVER_OPTIONS)
        AdsServicer(self.cache, authorize=lambda _node, _peer: self.reason).add_to(self._server)
        self.port = self._server.add_insecure_port(f"127.0.0.1:{self.port}")
        await self._server.start()

    async def stop(self) -> None:
        if self._server is not None:
            await self._server.stop(None)

    def publish(self, *parts: message.Part) -> None:
        self.snapshot = Snapshot.of_messages(parts)
        self.cache.set(NODE.id, self.snapshot)

    def states(self) -> dict[str, SyncState]:
        [status] = self.cache.statuses()
        return {short: kind.state for short, kind in status.types.items()}

    def _build(self, node: Node) -> None:
        if self.snapshot is not None:
            self.cache.set(node.id, self.snapshot)


class Sidecar:
    """The client with what it published."""

    def __init__(self, plane: Plane, clock: Clock | None = None) -> None:
        self.snapshots: list[ConfigSnapshot] = []
        self.opened = 0
        self.failures: list[Exception] = []
        self._plane = plane
        self.client = XdsClient(
            NODE,
            self._open,
            self.snapshots.append,
            clock=clock or SystemClock(),
            rng=Random(1),
            until_in_force=self._until_in_force,
            sleep=self._sleep,
        )
        self.is_applying = asyncio.Event()
        self.may_apply = asyncio.Event()
        self.may_apply.set()

    async def _until_in_force(self) -> None:
        self.is_applying.set()
        await self.may_apply.wait()

    async def _open(self) -> GrpcCall:
        self.opened += 1
        if self.failures:
            raise self.failures.pop(0)
        return await dial(f"127.0.0.1:{self._plane.port}", None)

    @staticmethod
    async def _sleep(_seconds: float) -> None:
        await asyncio.sleep(0.001)


@asynccontextmanager
async def running(*parts: message.Part) -> AsyncIterator[tuple[Plane, Sidecar]]:
    plane = Plane()
    if parts:
        plane.snapshot = Snapshot.of_messages(parts)
    await plane.start()
    sidecar = Sidecar(plane)
    sidecar.client.start()
    try:
        yield plane, sidecar
    finally:
        await sidecar.client.close()
        await plane.stop()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110  # what is awaited happens in another library's thread
            await asyncio.sleep(0.001)


async def test_the_first_snapshot_is_complete_and_everything_is_acknowledged() -> None:
    async with running(*message.shop("catalog")) as (plane, sidecar):
        await until(lambda: bool(sidecar.snapshots))
        first = sidecar.snapshots[0]
        assert set(first.clusters) == {"catalog"}
        assert [endpoint.port for endpoint in first.endpoints["catalog"]] == [8080]
        assert set(first.listeners) == {"0.0.0.0_80"}
        assert set(first.routes) == {"80"}
        await until(lambda: set(plane.states().values()) == {SyncState.SYNCED})
        assert sidecar.client.status().connected


async def test_a_change_is_published_with_the_untouched_objects_kept() -> None:
    async with running(*message.shop("catalog")) as (plane, sidecar):
        await until(lambda: bool(sidecar.snapshots))
        plane.publish(*message.shop("catalog", port=9090))
        await until(lambda: sidecar.snapshots[-1].endpoints["catalog"][0].port == 9090)
        before, after = sidecar.snapshots[0], sidecar.snapshots[-1]
        assert after.clusters["catalog"] is before.clusters["catalog"]
        assert after.listeners["0.0.0.0_80"] is before.listeners["0.0.0.0_80"]


async def test_nothing_is_acknowledged_before_it_is_in_force() -> None:
    async with running(*message.shop("catalog")) as (plane, sidecar):
        await until(lambda: bool(sidecar.snapshots))
        await until(lambda: set(plane.states().values()) == {SyncState.SYNCED})
        sidecar.may_apply.clear()
        sidecar.is_applying.clear()
        plane.publish(*message.shop("catalog", port=9090))
        await sidecar.is_applying.wait()
        assert sidecar.snapshots[-1].endpoints["catalog"][0].port == 9090
        assert plane.states()["eds"] is SyncState.STALE
        sidecar.may_apply.set()
        await until(lambda: set(plane.states().values()) == {SyncState.SYNCED})


async def test_what_is_refused_is_named_and_the_last_good_configuration_stays() -> None:
    async with running(*message.shop("catalog")) as (plane, sidecar):
        await until(lambda: bool(sidecar.snapshots))
        bad = message.cluster("catalog")
        bad.alt_stat_name = "other"
        plane.publish(*message.shop("catalog")[1:], bad)
        await until(lambda: plane.states()["cds"] is SyncState.NACKED)
        reason = plane.cache.statuses()[0].types["cds"].nacked_reason
        assert reason.startswith("cds 'catalog'.alt_stat_name: this field of envoy.config.cluster.v3.Cluster")
        report = sidecar.client.status().types["cds"]
        assert (report.rejected, report.last_rejection) == (1, reason)
        assert sidecar.client.snapshot is sidecar.snapshots[0]
        plane.publish(*message.shop("catalog", "web"))
        await until(lambda: "web" in sidecar.snapshots[-1].clusters)
        assert sidecar.client.status().types["cds"].last_rejection == ""


async def test_a_lost_control_plane_leaves_the_configuration_and_is_found_again() -> None:
    async with running(*message.shop("catalog")) as (plane, sidecar):
        await until(lambda: bool(sidecar.snapshots))
        await plane.stop()
        await until(lambda: not sidecar.client.status().connected)
        assert sidecar.client.status().last_error
        assert sidecar.client.snapshot is sidecar.snapshots[0]
        plane.snapshot = Snapshot.of_messages(message.shop("catalog", "web"))
        await plane.start()
        await until(lambda: "web" in sidecar.snapshots[-1].clusters)
        assert sidecar.client.status().connected


async def test_a_restarted_control_plane_with_the_same_configuration_changes_nothing() -> None:
    async with running(*message.shop("catalog")) as (plane, sidecar):
        await until(lambda: bool(sidecar.snapshots))
        await plane.stop()
        await plane.start()
        await until(lambda: sidecar.client.counters.streams == 2)
        await until(lambda: set(plane.states().values()) == {SyncState.SYNCED})
        assert len(sidecar.snapshots) == 1


async def test_new_credentials_open_a_second_stream_before_the_first_is_let_go() -> None:
    async with running(*message.shop("catalog")) as (plane, sidecar):
        await until(lambda: bool(sidecar.snapshots))
        most = 0

        def count(_node: Node) -> None:
            nonlocal most
            most = max(most, len(plane.cache.statuses()))
            assert plane.snapshot is not None
            plane.cache.set(NODE.id, plane.snapshot)

        plane.cache.on_node_connected = count
        sidecar.client.rotate()
        await until(lambda: sidecar.client.counters.streams == 2 and len(plane.cache.statuses()) == 1)
        assert (most, sidecar.opened) == (2, 2)
        assert sidecar.client.counters.failures == 0
        assert len(sidecar.snapshots) == 1
        plane.publish(*message.shop("catalog", "web"))
        await until(lambda: "web" in sidecar.snapshots[-1].clusters)


async def test_a_refused_node_keeps_trying_and_tells_why() -> None:
    async with running() as (plane, sidecar):
        plane.reason = "who are you"
        await until(lambda: "PERMISSION_DENIED: who are you" in sidecar.client.status().last_error)
        plane.reason = None
        plane.snapshot = Snapshot.of_messages(message.shop("catalog"))
        await until(lambda: bool(sidecar.snapshots))


async def test_a_control_plane_that_does_not_answer_is_left_and_tried_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("meshproxy.xds.client.FIRST_ANSWER_TIMEOUT", 0.01)
    async with running() as (plane, sidecar):
        await until(lambda: "did not answer within" in sidecar.client.status().last_error)
        monkeypatch.setattr("meshproxy.xds.client.FIRST_ANSWER_TIMEOUT", 5.0)
        plane.snapshot = Snapshot.of_messages(message.shop("catalog"))
        await until(lambda: bool(sidecar.snapshots))


async def test_a_bug_while_connecting_does_not_end_the_client(caplog: pytest.LogCaptureFixture) -> None:
    plane = Plane()
    sidecar = Sidecar(plane)
    plane.snapshot = Snapshot.of_messages(message.shop("catalog"))
    sidecar.failures.append(RuntimeError("bug"))
    sidecar.failures.append(UpstreamError("no certificate yet"))
    await plane.start()
    sidecar.client.start()
    await until(lambda: bool(sidecar.snapshots))
    assert (sidecar.opened, sidecar.client.counters.failures) == (3, 2)
    assert "no stream could be opened" in caplog.text
    await sidecar.client.close()
    await sidecar.client.close()
    await plane.stop()


async def test_what_never_comes_is_not_waited_for_without_end() -> None:
    clock = SlowClock()
    plane = Plane()
    await plane.start()
    sidecar = Sidecar(plane, clock)
    sidecar.client.start()
    await until(lambda: bool(plane.cache.nodes()))
    lonely = Snapshot.of_messages(message.shop("catalog"))
    del_eds = {url: items for url, items in lonely.resources.items() if url != ENDPOINT_TYPE}
    for stream in plane.cache._streams[NODE.id]:
        stream.on_snapshot(Snapshot(del_eds))
    await until(lambda: bool(sidecar.snapshots))
    assert set(sidecar.snapshots[0].clusters) == {"catalog"}
    assert dict(sidecar.snapshots[0].endpoints) == {}
    await sidecar.client.close()
    await plane.stop()


async def test_a_response_nobody_asked_for_is_passed_over(caplog: pytest.LogCaptureFixture) -> None:
    sidecar = Sidecar(Plane())
    answers = await sidecar.client._take_in(Cursor(), DiscoveryResponse(type_url="type.googleapis.com/other"))
    assert answers == []
    assert "was not asked for" in caplog.text


async def test_a_big_response_takes_effect_as_a_whole() -> None:
    names = [f"service-{number:03}" for number in range(300)]
    async with running(*message.shop(*names)) as (_plane, sidecar):
        await until(lambda: bool(sidecar.snapshots))
        assert set(sidecar.snapshots[0].clusters) == set(names)


async def test_a_snapshot_that_cannot_be_applied_does_not_end_the_stream(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with running(*message.shop("catalog")) as (plane, sidecar):
        await until(lambda: bool(sidecar.snapshots))
        sidecar.client._on_snapshot = _broken
        plane.publish(*message.shop("catalog", "web"))
        await until(lambda: sidecar.client.counters.callback_errors > 0)
        assert sidecar.client.status().connected
    assert "could not be applied" in caplog.text


async def test_the_dump_shows_accepted_resources_by_name() -> None:
    async with running(*message.shop("catalog")) as (_plane, sidecar):
        await until(lambda: bool(sidecar.snapshots))
        dump = sidecar.client.dump()
        clusters = dump["cds"]
        assert isinstance(clusters, dict)
        assert clusters["resources"]["catalog"]["type"] == "EDS"
        assert clusters["version"] == sidecar.client.status().types["cds"].version


def _broken(_snapshot: ConfigSnapshot) -> None:
    raise RuntimeError("bug")
