"""A connection of HTTP/2 that shall end, seen by a client that can tell the two steps of it."""

import asyncio

from meshproxy.config.route import WeightedCluster
from meshproxy.http.h2.error import CANCEL
from meshproxy.http.h2.frame import window_update
from meshproxy.http.h2.hpack import block_bytes
from meshproxy.http.h2.settings import H2Limits
from tests.unit.meshproxy.http.h2.recording import REQUEST, Recording
from tests.unit.meshproxy.proxy.h2_peer import Message, Peer, echo
from tests.unit.meshproxy.proxy.harness import (
    Upstream,
    answering,
    http_listener,
    ok,
    running,
    snapshot,
    static_cluster,
)
from tests.unit.meshproxy.proxy.test_http2 import h2_mesh


async def test_a_connection_that_is_drained_ends_with_its_last_stream() -> None:
    release = asyncio.Event()

    async def held(peer: Peer, message: Message) -> None:
        await release.wait()
        await echo(peer, message)

    async with h2_mesh(held) as (mesh, upstream):
        reader, writer = await mesh.connect()
        client = Recording(is_client=True)  # python-hyper's hears nothing more after a GOAWAY
        client.start()
        stream = client.open()
        client.send_head(stream, block_bytes(REQUEST), end=True)
        writer.write(client.take_output())
        while not upstream.requests:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        (connection,) = [one for _, m in mesh.worker._managers.values() for one in m.connections]
        connection.drain()
        async with asyncio.timeout(30):
            while not client.goaway_received:
                client.receive(await reader.read(65536))
            assert ("goaway", 2**31 - 1, 0) in client.told
            release.set()
            while data := await reader.read(65536):
                client.receive(data)
        assert ("over", stream.id) in client.told
        assert any(one[0] == "trailers" for one in client.told)
        writer.close()


async def test_the_last_answer_is_not_cut_by_what_its_reader_sends() -> None:
    """Much of it is in the kernel when the proxy is done with it: closed at once, the socket would answer the
    next WINDOW_UPDATE with a reset, which throws the rest away."""
    size = 4_000_000
    upstream = await Upstream(answering(ok(bytes(size)))).start()
    listener = http_listener(WeightedCluster("a", 1), max_requests_per_connection=1)
    async with running(snapshot(listener, static_cluster("a", upstream.endpoint))) as mesh:
        reader, writer = await mesh.connect()
        client = Recording(H2Limits(stream_window=2 * size, max_unread=2 * size), is_client=True)
        client.start()
        client.send_head(client.open(), block_bytes(REQUEST), end=True)
        writer.write(client.take_output())
        async with asyncio.timeout(20):
            while data := await reader.read(16384):
                client.receive(data)
                writer.write(client.take_output() + window_update(0, 1))
        parts = [one for one in client.told if one[0] == "data"]
        assert sum(len(one[2]) for one in parts) == size  # type: ignore[arg-type]
        assert parts[-1][3]
        writer.close()
    await upstream.stop()


async def test_what_comes_behind_the_end_of_the_last_stream_is_not_answered() -> None:
    async def never(peer: Peer, message: Message) -> None:
        await message.end()

    failures: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: failures.append(context))
    async with h2_mesh(never) as (mesh, upstream):
        reader, writer = await mesh.connect()
        client = Recording(is_client=True)
        client.start()
        stream = client.open()
        client.send_head(stream, block_bytes(REQUEST), end=False)
        writer.write(client.take_output())
        async with asyncio.timeout(5):
            while not upstream.requests:  # noqa: ASYNC110
                await asyncio.sleep(0.005)
        (connection,) = [one for _, m in mesh.worker._managers.values() for one in m.connections]
        connection.drain()
        client.reset(stream, CANCEL)
        client.ping(b"anybody?")
        writer.write(client.take_output())
        client.receive(await asyncio.wait_for(reader.read(), 5))
        assert ("goaway", stream.id, 0) in client.told
        assert ("ping answer",) not in client.told
        writer.close()
    assert failures == []
