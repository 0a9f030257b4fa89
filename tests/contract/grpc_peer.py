"""A gRPC server and a client, as processes of a network namespace.

`grpc_peer serve NAME ADDRESS`, and `grpc_peer call TARGET METHOD…`, which prints a JSON object a method.
The server prints its port.
Methods whose name begins with `Watch` answer three messages; all others are of both directions and answer
each message. An answer is the server's name, and whether the sidecar says who calls.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc

_DEADLINE = 10.0


class _Handler(grpc.GenericRpcHandler):  # type: ignore[type-arg]
    def __init__(self, name: str) -> None:
        self._name = name

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[bytes, bytes]:
        method = details.method.rpartition("/")[2]
        return grpc.stream_stream_rpc_method_handler(
            self._watch if method.startswith("Watch") else self._echo
        )

    def _echo(self, messages: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        metadata = dict(context.invocation_metadata())
        caller = "x-forwarded-client-cert" in metadata
        context.set_trailing_metadata((("x-server", self._name),))
        for message in messages:
            answer = {
                "name": self._name,
                "mesh": caller,
                "said": message.decode(),
                "a": metadata.get("x-a", ""),
            }
            yield json.dumps(answer).encode()

    def _watch(self, messages: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        next(messages)
        for number in range(3):
            yield json.dumps({"name": self._name, "number": number}).encode()


def serve(name: str, address: str) -> None:
    server = grpc.server(ThreadPoolExecutor(4), handlers=[_Handler(name)])
    port = server.add_insecure_port(address)
    server.start()
    print(port, flush=True)
    server.wait_for_termination()


def call(target: str, *methods: str) -> None:
    with grpc.insecure_channel(target) as channel:
        for method in methods:
            print(json.dumps(_outcome(channel, method)), flush=True)


def _outcome(channel: grpc.Channel, method: str) -> dict[str, object]:
    asked = channel.stream_stream(method, None, None)(iter((b"one", b"two")), timeout=_DEADLINE)
    try:
        answers = [json.loads(message) for message in asked]
    except grpc.RpcError:
        return {"code": asked.code().name, "details": asked.details()}
    trailers = dict(asked.trailing_metadata())
    return {"code": "OK", "answers": answers, "server": trailers.get("x-server", "")}


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(*sys.argv[2:])
    else:
        call(*sys.argv[2:])
