"""gRPC's interop test service on grpcio, with requests that say in a line of JSON what is to be answered.

What it does is told in grpc/grpc, doc/interop-test-descriptions.md. On threads of its own, so that blocking
clients can call it.
"""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

import grpc

SERVICE = "grpc.testing.TestService"
INITIAL, TRAILING = "x-grpc-test-echo-initial", "x-grpc-test-echo-trailing-bin"
WATCH = ("x-watch", "yes")
"""Metadata of a call that comes into `InteropServer.watched`."""
OPTIONS = [("grpc.enable_http_proxy", 0), ("grpc.max_receive_message_length", 64 << 20)]
_CODES = {code.value[0]: code for code in grpc.StatusCode}


def ask(
    payload: int = 0,
    sizes: Iterable[int] = (),
    status: tuple[int, str] | None = None,
    compressed: Iterable[bool] = (),
    sleeps: bool = False,
) -> bytes:
    """A request with a payload of zeros: for answers of `sizes`, `compressed` or not, or for a `status`.
    `sleeps`: nothing at all until the call is over."""
    order = {"sizes": list(sizes), "status": status, "compressed": list(compressed), "sleeps": sleeps}
    return json.dumps(order).encode() + b"\n" + bytes(payload)


@dataclass
class InteropServer:
    port: int = 0
    watched: queue.SimpleQueue[threading.Event] = field(default_factory=queue.SimpleQueue)
    """For each call to be watched that has begun, what is set when the server hears of its end."""

    def empty(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        assert request == b""
        return b""

    def unary(self, request: bytes, context: grpc.ServicerContext) -> bytes:
        self._greet(context)
        return b"".join(self._answers(request, context))

    def output(self, request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        yield from self._answers(request, context)

    def input(self, requests: Iterator[bytes], context: grpc.ServicerContext) -> bytes:
        self._greet(context)
        return b"%d" % sum(len(request.partition(b"\n")[2]) for request in requests)

    def duplex(self, requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        self._greet(context)
        for request in requests:
            yield from self._answers(request, context)

    def _greet(self, context: grpc.ServicerContext) -> None:
        metadata = dict(context.invocation_metadata())
        if WATCH[0] in metadata:
            self.watched.put(_end_of(context))
        if INITIAL in metadata:
            context.send_initial_metadata(((INITIAL, metadata[INITIAL]),))
        if TRAILING in metadata:
            context.set_trailing_metadata(((TRAILING, metadata[TRAILING]),))

    def _answers(self, request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        order = json.loads(request.partition(b"\n")[0])
        if order["sleeps"]:
            _end_of(context).wait(20)
        if any(order["compressed"]):
            context.set_compression(grpc.Compression.Gzip)
        if order["status"]:
            code, message = order["status"]
            context.abort(_CODES[code], message)
        for index, size in enumerate(order["sizes"]):
            if order["compressed"] and not order["compressed"][index]:
                context.disable_next_message_compression()
            yield bytes(size)


def _end_of(context: grpc.ServicerContext) -> threading.Event:
    """Set when the call is over, if it is not yet."""
    end = threading.Event()
    if not context.add_callback(end.set):
        end.set()
    return end


@contextmanager
def interop_server() -> Iterator[InteropServer]:
    app = InteropServer()
    handlers = {
        "EmptyCall": grpc.unary_unary_rpc_method_handler(app.empty),
        "UnaryCall": grpc.unary_unary_rpc_method_handler(app.unary),
        "StreamingOutputCall": grpc.unary_stream_rpc_method_handler(app.output),
        "StreamingInputCall": grpc.stream_unary_rpc_method_handler(app.input),
        "FullDuplexCall": grpc.stream_stream_rpc_method_handler(app.duplex),
    }
    server = grpc.server(ThreadPoolExecutor(8), options=OPTIONS)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    app.port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield app
    finally:
        server.stop(None).wait()
