"""Calls of gRPC that are made when they are due, and whose answers are judged."""

import json
import os
import socket
import subprocess
import sys
import threading

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import StreamEnded

from bench.shape import GRPC_MESSAGE
from meshproxy.http.h2.hpack import BlockReader

REPOSITORY = os.path.abspath(os.path.join(os.path.dirname(__file__), "../../.."))


def serve(listener: socket.socket, body: bytes, status: str) -> None:
    """One connection, until its client goes."""
    accepted, _ = listener.accept()
    with accepted:
        state = H2Connection(H2Configuration(client_side=False))
        state.initiate_connection()
        accepted.sendall(state.data_to_send())
        while data := accepted.recv(65536):
            for event in state.receive_data(data):
                if isinstance(event, StreamEnded):
                    assert event.stream_id is not None
                    state.send_headers(event.stream_id, [(":status", "200")])
                    state.send_data(event.stream_id, body)
                    state.send_headers(event.stream_id, [("grpc-status", status)], end_stream=True)
            accepted.sendall(state.data_to_send())


def answer(body: bytes, status: str) -> dict[str, object]:
    """What the generator prints of a fifth of a second with such a server."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener, body, status), daemon=True)
        thread.start()
        words = ["127.0.0.1", str(listener.getsockname()[1]), "svc", "100", "0.2", "1", "7"]
        done = subprocess.run(
            [sys.executable, "-m", "bench.load.open_loop_grpc", *words],
            env={**os.environ, "MESHPROXY_SPEEDUPS": "off"},
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            check=False,
        )
        thread.join(10.0)
    found: dict[str, object] = json.loads(done.stdout or json.dumps({"error": done.stderr}))
    return found


def test_each_call_is_made_and_timed() -> None:
    latencies = answer(GRPC_MESSAGE, "0")["latencies"]
    assert isinstance(latencies, list)
    assert 5 <= len(latencies) <= 50
    assert all(latency > 0.0 for latency in latencies)


@pytest.mark.parametrize(("body", "status"), [(GRPC_MESSAGE, "13"), (GRPC_MESSAGE[:-1], "0")])
def test_a_wrong_answer_ends_it(body: bytes, status: str) -> None:
    assert "wrong answer" in str(answer(body, status)["error"])


def test_the_head_is_that_of_a_call() -> None:
    code = "from bench.load.open_loop_grpc import request_block; print(request_block('svc').hex())"
    environment = {**os.environ, "MESHPROXY_SPEEDUPS": "off"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    block, _ = BlockReader(max_list_bytes=4096).read(bytes.fromhex(done.stdout))
    assert dict(block.fields) == {
        b":method": b"POST",
        b":scheme": b"http",
        b":authority": b"svc",
        b":path": b"/grpc",
        b"content-type": b"application/grpc",
        b"te": b"trailers",
    }
