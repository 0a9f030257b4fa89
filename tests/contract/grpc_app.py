"""A grpcio server with the four kinds of calls, on bytes, and a client's side of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import grpc
import grpc.aio

SERVICE = "shop.Echo"
OPTIONS = [
    ("grpc.max_receive_message_length", 64 << 20),
    ("grpc.max_concurrent_streams", 2000),
    ("grpc.enable_http_proxy", 0),
]


@dataclass
class EchoServer:
    port: int = 0
    calls: int = 0
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)
    metadata: dict[str, str] = field(default_factory=dict)
    time_left: float = 0.0

    async def unary(self, request: bytes, context: grpc.aio.ServicerContext) -> bytes:
        self.calls += 1
        self.metadata = {str(key): str(value) for key, value in context.invocation_metadata() or ()}
        self.time_left = context.time_remaining()
        await context.send_initial_metadata((("x-served", "yes"),))
        context.set_trailing_metadata((("x-calls", str(self.calls)),))
        if request == b"fail":
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, "as asked: 100 % of it")
        if request == b"wait":
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                self.cancelled.set()
                raise
        return request

    async def collect(self, requests: AsyncIterator[bytes], context: grpc.aio.ServicerContext) -> bytes:
        return b"".join([part async for part in requests])

    async def repeat(self, request: bytes, context: grpc.aio.ServicerContext) -> AsyncIterator[bytes]:
        count, _, text = request.partition(b" ")
        for _ in range(int(count)):
            yield text

    async def talk(
        self, requests: AsyncIterator[bytes], context: grpc.aio.ServicerContext
    ) -> AsyncIterator[bytes]:
        async for part in requests:
            yield part.upper()


@asynccontextmanager
async def echo_server() -> AsyncIterator[EchoServer]:
    app = EchoServer()
    server = grpc.aio.server(options=OPTIONS)
    handlers = {
        "Unary": grpc.unary_unary_rpc_method_handler(app.unary),
        "Collect": grpc.stream_unary_rpc_method_handler(app.collect),
        "Repeat": grpc.unary_stream_rpc_method_handler(app.repeat),
        "Talk": grpc.stream_stream_rpc_method_handler(app.talk),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    app.port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield app
    finally:
        await server.stop(None)
