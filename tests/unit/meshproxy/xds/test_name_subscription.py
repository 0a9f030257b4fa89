"""The name table from the real ADS server to a sidecar that answers DNS, and not to one that does not."""

from random import Random

from control_plane.api.istio.networking.nds.v1.nds_pb2 import NameTable as Proto
from control_plane.subscription import SyncState
from meshproxy.clock import SystemClock
from meshproxy.config.name_table import NameTable
from meshproxy.rpc.call import GrpcCall, dial
from meshproxy.xds.client import XdsClient
from tests.unit.meshproxy.xds import xds_message as message
from tests.unit.meshproxy.xds.test_client import NODE, Plane, until


def names(*hosts: str, address: str = "10.96.0.1") -> Proto:
    table = Proto()
    for host in hosts:
        table.table[host].ips.append(address)
    return table


async def test_every_table_reaches_who_asks_and_a_bad_one_leaves_the_last() -> None:
    plane = Plane()
    await plane.start()
    tables: list[NameTable] = []

    async def connect() -> GrpcCall:
        return await dial(f"127.0.0.1:{plane.port}", None)

    client = XdsClient(
        NODE, connect, lambda _: None, clock=SystemClock(), rng=Random(1), on_names=tables.append
    )
    try:
        plane.publish(*message.shop("a"), names("a.example"))
        client.start()
        await until(lambda: len(tables) == 1)
        await until(lambda: client.is_connected)
        plane.publish(*message.shop("a", "b"), names("a.example", "b.example"))
        await until(lambda: len(tables) == 2)
        assert [sorted(table.names) for table in tables] == [["a.example"], ["a.example", "b.example"]]
        plane.publish(*message.shop("a"), names("a.example", address="nowhere"))
        await until(lambda: plane.states()["nds"] is SyncState.NACKED)
        await until(lambda: plane.states()["cds"] is SyncState.SYNCED)
        assert len(tables) == 2
        resources = client.dump()["nds"]["resources"]["name_table"]  # type: ignore[index]
        assert sorted(resources["table"]) == ["a.example", "b.example"]
        assert client.status().types["nds"].rejected == 1
    finally:
        await client.close()
        await plane.stop()
    assert not client.is_connected


async def test_who_answers_no_dns_is_told_no_names() -> None:
    plane = Plane()
    await plane.start()

    async def connect() -> GrpcCall:
        return await dial(f"127.0.0.1:{plane.port}", None)

    client = XdsClient(NODE, connect, lambda _: None, clock=SystemClock(), rng=Random(1))
    try:
        plane.publish(*message.shop("a"), names("a.example"))
        client.start()
        await until(lambda: bool(plane.cache.statuses()) and plane.states()["rds"] is SyncState.SYNCED)
        assert "nds" not in plane.states()
        assert client.status().types["nds"].version == ""
    finally:
        await client.close()
        await plane.stop()
