"""The cases of gRPC's interop tests, by grpcio through two sidecars with mutual TLS between them.

Named as doc/interop-test-descriptions.md of grpc/grpc names them; what `test_grpc.py` holds is not here.
"""

from __future__ import annotations

import asyncio
import gzip
import queue
import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import grpc
import grpc.aio
import pytest

from meshproxy.config.model import Endpoint
from tests.contract.grpc_interop_app import (
    INITIAL,
    OPTIONS,
    SERVICE,
    TRAILING,
    WATCH,
    InteropServer,
    ask,
    interop_server,
)
from tests.contract.sidecar_pair import sidecar_processes
from tests.unit.meshproxy.proxy.h2_peer import connect

ASKED, ANSWERED = (27182, 8, 1828, 45904), (31415, 9, 2653, 58979)
LARGE, LARGE_ANSWER = 271_828, 314_159
METADATA = ((INITIAL, "test_initial_metadata_value"), (TRAILING, b"\xab\xab\xab"))
MESSAGES = [
    "test status message",
    "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n",
    "100 % of it, %41 and a trailing %",
]


@dataclass
class Mesh:
    port: int
    """Where clients call."""
    server: InteropServer
    channel: grpc.Channel
    """A blocking one."""


@pytest.fixture(scope="module")
def mesh() -> Iterator[Mesh]:
    """Sidecars for all tests, on a loop of their own: the blocking client may block its thread."""
    ports: queue.Queue[int] = queue.Queue()
    over = threading.Event()

    async def run(app: Endpoint) -> None:
        async with sidecar_processes(app, http2=True, action={"grpc_timeout_max": 0.0}) as pair:
            ports.put(pair.web.port)
            await asyncio.to_thread(over.wait)

    with interop_server() as server:
        sidecars = threading.Thread(target=lambda: asyncio.run(run(Endpoint("127.0.0.1", server.port))))
        sidecars.start()
        try:
            port = ports.get(timeout=30)
            with grpc.insecure_channel(f"127.0.0.1:{port}", options=OPTIONS) as channel:
                yield Mesh(port, server, channel)
        finally:
            over.set()
            sidecars.join()


@pytest.fixture
async def aio(mesh: Mesh) -> AsyncIterator[grpc.aio.Channel]:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{mesh.port}", options=OPTIONS) as channel:
        yield channel


def method(name: str) -> str:
    return f"/{SERVICE}/{name}"


def talking() -> tuple[queue.SimpleQueue[bytes | None], Iterator[bytes]]:
    """What is put there is sent; None ends the stream."""
    said: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
    return said, iter(said.get, None)  # type: ignore[arg-type]


def test_empty_unary_and_large_unary(mesh: Mesh) -> None:
    assert mesh.channel.unary_unary(method("EmptyCall"))(b"") == b""
    unary = mesh.channel.unary_unary(method("UnaryCall"))
    assert unary(ask(LARGE, [LARGE_ANSWER])) == bytes(LARGE_ANSWER)


async def test_empty_unary_and_large_unary_aio(aio: grpc.aio.Channel) -> None:
    assert await aio.unary_unary(method("EmptyCall"))(b"") == b""
    assert await aio.unary_unary(method("UnaryCall"))(ask(LARGE, [LARGE_ANSWER])) == bytes(LARGE_ANSWER)


def test_client_streaming_and_server_streaming(mesh: Mesh) -> None:
    collect = mesh.channel.stream_unary(method("StreamingInputCall"))
    assert collect(iter([ask(size) for size in ASKED])) == b"74922"
    answers = mesh.channel.unary_stream(method("StreamingOutputCall"))(ask(sizes=ANSWERED))
    assert [len(answer) for answer in answers] == list(ANSWERED)


def test_ping_pong(mesh: Mesh) -> None:
    said, requests = talking()
    call = mesh.channel.stream_stream(method("FullDuplexCall"))(requests)
    for asked, answered in zip(ASKED, ANSWERED, strict=True):
        said.put(ask(asked, [answered]))
        assert next(call) == bytes(answered)
    said.put(None)
    assert list(call) == []
    assert call.code() is grpc.StatusCode.OK


async def test_ping_pong_aio(aio: grpc.aio.Channel) -> None:
    call = aio.stream_stream(method("FullDuplexCall"))()
    for asked, answered in zip(ASKED, ANSWERED, strict=True):
        await call.write(ask(asked, [answered]))
        assert await call.read() == bytes(answered)
    await call.done_writing()
    assert await call.read() == grpc.aio.EOF
    assert await call.code() is grpc.StatusCode.OK


def test_empty_stream(mesh: Mesh) -> None:
    call = mesh.channel.stream_stream(method("FullDuplexCall"))(iter(()))
    assert list(call) == []
    assert call.code() is grpc.StatusCode.OK


def test_cancel_after_begin(mesh: Mesh) -> None:
    said, requests = talking()
    call = mesh.channel.stream_unary(method("StreamingInputCall")).future(requests, metadata=[WATCH])
    end = mesh.server.watched.get(timeout=60)
    assert call.cancel()
    assert call.code() is grpc.StatusCode.CANCELLED
    assert end.wait(60)
    said.put(None)


def test_cancel_after_first_response(mesh: Mesh) -> None:
    said, requests = talking()
    call = mesh.channel.stream_stream(method("FullDuplexCall"))(requests, metadata=[WATCH])
    said.put(ask(ASKED[0], [ANSWERED[0]]))
    assert len(next(call)) == ANSWERED[0]
    end = mesh.server.watched.get(timeout=60)
    assert not end.is_set()
    call.cancel()
    with pytest.raises(grpc.RpcError):
        next(call)
    assert call.code() is grpc.StatusCode.CANCELLED
    assert end.wait(60)
    said.put(None)


@pytest.mark.parametrize("timeout", [0.001, 3])
def test_timeout_on_sleeping_server(mesh: Mesh, timeout: float) -> None:
    said, requests = talking()
    said.put(ask(ASKED[0], sleeps=True))
    watch = [WATCH] if timeout > 0.1 else []  # else the server may never hear of the call
    call = mesh.channel.stream_stream(method("FullDuplexCall"))(requests, timeout=timeout, metadata=watch)
    with pytest.raises(grpc.RpcError):
        next(call)
    assert call.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    if watch:
        assert mesh.server.watched.get(timeout=60).wait(60)
    said.put(None)


@pytest.mark.parametrize("message", MESSAGES)
def test_status_code_and_message_and_special_status_message(mesh: Mesh, message: str) -> None:
    request = ask(1, [1], status=(2, message))
    with pytest.raises(grpc.RpcError) as unary:
        mesh.channel.unary_unary(method("UnaryCall"))(request)
    assert (unary.value.code(), unary.value.details()) == (grpc.StatusCode.UNKNOWN, message)  # type: ignore[attr-defined]
    call = mesh.channel.stream_stream(method("FullDuplexCall"))(iter([request]))
    with pytest.raises(grpc.RpcError):
        next(call)
    assert (call.code(), call.details()) == (grpc.StatusCode.UNKNOWN, message)


@pytest.mark.parametrize("path", [method("UnimplementedCall"), "/grpc.testing.UnimplementedService/Call"])
async def test_unimplemented_method_and_unimplemented_service(
    mesh: Mesh, aio: grpc.aio.Channel, path: str
) -> None:
    blocking = mesh.channel.unary_unary(path).future(b"")
    assert blocking.code() is grpc.StatusCode.UNIMPLEMENTED
    assert await aio.unary_unary(path)(b"").code() is grpc.StatusCode.UNIMPLEMENTED


def test_custom_metadata(mesh: Mesh) -> None:
    _, unary = mesh.channel.unary_unary(method("UnaryCall")).with_call(ask(LARGE, [1]), metadata=METADATA)
    duplex = mesh.channel.stream_stream(method("FullDuplexCall"))
    stream = duplex(iter([ask(LARGE, [LARGE_ANSWER])]), metadata=METADATA)
    assert [len(answer) for answer in stream] == [LARGE_ANSWER]
    for call in (unary, stream):
        assert dict(call.initial_metadata())[INITIAL] == METADATA[0][1]
        assert dict(call.trailing_metadata())[TRAILING] == METADATA[1][1]


async def test_custom_metadata_aio(aio: grpc.aio.Channel) -> None:
    call = aio.unary_unary(method("UnaryCall"))(ask(1, [1]), metadata=METADATA)
    assert await call == b"\0"
    assert (await call.initial_metadata())[INITIAL] == METADATA[0][1]
    assert (await call.trailing_metadata())[TRAILING] == METADATA[1][1]


def test_client_and_server_compressed_unary_and_streaming(mesh: Mesh) -> None:
    unary = mesh.channel.unary_unary(method("UnaryCall"))
    for compression in (grpc.Compression.Gzip, grpc.Compression.Deflate, None):
        for compressed in (True, False):
            request = ask(LARGE, [LARGE_ANSWER], compressed=[compressed])
            assert unary(request, compression=compression) == bytes(LARGE_ANSWER)
    collect = mesh.channel.stream_unary(method("StreamingInputCall"))
    assert collect(iter([ask(27182), ask(45904)]), compression=grpc.Compression.Gzip) == b"73086"
    output = mesh.channel.unary_stream(method("StreamingOutputCall"))
    answers = output(ask(sizes=(31415, 92653), compressed=(True, False)))
    assert [len(answer) for answer in answers] == [31415, 92653]


async def test_messages_pass_as_compressed_as_they_are(mesh: Mesh) -> None:
    """What grpcio shows nobody: the flag of each message, and its encoding."""
    client = await connect(mesh.port)
    fields = (
        (b"content-type", b"application/grpc"),
        (b"te", b"trailers"),
        (b"grpc-encoding", b"gzip"),
        (b"grpc-accept-encoding", b"identity, gzip"),
    )
    call = client.request(b"POST", method("StreamingOutputCall").encode(), *fields, end=False)
    body = gzip.compress(ask(LARGE, sizes=(31415, 92653), compressed=(True, False)))
    await client.send(call.stream, b"\1" + len(body).to_bytes(4, "big") + body)
    await call.end()
    assert call.trailers[b"grpc-status"] == b"0"
    assert call.fields[b"grpc-encoding"] == b"gzip"
    size = int.from_bytes(call.body[1:5], "big")
    first, second = call.body[: 5 + size], call.body[5 + size :]
    assert (first[0], gzip.decompress(first[5:])) == (1, bytes(31415))
    assert (second[0], len(second)) == (0, 5 + 92653)
    client.close()
