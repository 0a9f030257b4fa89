"""A connection of HTTP/2 that shall end, seen by a client that can tell the two steps of it."""

import asyncio

from meshproxy.http.h2.hpack import block_bytes
from tests.unit.meshproxy.http.h2.recording import REQUEST, Recording
from tests.unit.meshproxy.proxy.h2_peer import Message, Peer, echo
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
