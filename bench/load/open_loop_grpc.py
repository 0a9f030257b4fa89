"""As `open_loop`, for unary calls of gRPC: each a stream of one of a few connections of HTTP/2.

`python -m bench.load.open_loop_grpc ADDRESS PORT HOST RATE SECONDS CONNECTIONS SEED` prints one JSON object.
h2load does not do: at a fixed rate it wakes every 10 ms, and one call of a hundred waits for the next time.
"""

from __future__ import annotations

import ctypes
import gc
import json
import select
import socket
import sys
import time
from collections import deque
from typing import Final

from bench.load.open_loop import schedule
from bench.shape import GRPC_UNARY
from meshproxy.http.h2.hpack import Block, block_bytes
from meshproxy.http.h2.session import Session
from meshproxy.http.h2.settings import H2Limits
from meshproxy.http.h2.stream import Stream

_PR_SET_TIMERSLACK = 29
_GRACE_SECONDS = 5.0
"""After the last call was due."""
_READ_SIZE = 65536
_OK: Final = (b"grpc-status", b"0")


class Connection(Session):
    """Many calls at once."""

    def __init__(self, address: str, port: int, request: bytes) -> None:
        super().__init__(H2Limits(), is_client=True)
        self._request = request
        self._due: dict[int, float] = {}
        self._received: dict[int, bytes] = {}
        self.latencies: list[float] = []
        """Seconds, in the order of the answers."""
        self.socket = socket.create_connection((address, port), 10.0)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.start()
        self._flush()

    @property
    def is_busy(self) -> bool:
        return bool(self._due)

    def call(self, due: float) -> None:
        """`due`: when it should have been made."""
        stream = self.open()
        self._due[stream.id] = due
        self.send_head(stream, self._request, end=False)
        self.send_data(stream, GRPC_UNARY.request_body, end=True)
        self._flush()

    def read(self) -> None:
        """Raises ValueError for a wrong answer, or none."""
        data = self.socket.recv(_READ_SIZE)
        if not data:
            raise ValueError("the connection was closed")
        self.receive(data)
        self._flush()

    def _flush(self) -> None:
        if data := self.take_output():
            self.socket.sendall(data)

    def on_head(self, stream: Stream, block: Block, request_id: bytes, *, end: bool) -> None:
        if end or block.fields[0] != (b":status", b"200"):
            raise ValueError(f"wrong answer: {block.fields}")

    def on_data(self, stream: Stream, data: bytes, *, end: bool) -> None:
        self._received[stream.id] = self._received.get(stream.id, b"") + data

    def on_trailers(self, stream: Stream, block: Block) -> None:
        body = self._received.pop(stream.id, b"")
        if body != GRPC_UNARY.response_body or _OK not in block.fields:
            raise ValueError(f"wrong answer: {body!r}, {block.fields}")
        self.latencies.append(time.perf_counter() - self._due.pop(stream.id))

    def on_reset(self, stream: Stream, code: int) -> None:
        raise ValueError(f"the stream was reset with {code}")


def run(connections: list[Connection], times: list[float]) -> list[float]:
    """Raises ValueError for a wrong answer, or when answers are missing long after the last was due."""
    start = time.perf_counter() + 0.01
    give_up_at = start + times[-1] + _GRACE_SECONDS
    coming = deque(start + due for due in times)
    turn = 0
    while coming or any(one.is_busy for one in connections):
        now = time.perf_counter()
        while coming and coming[0] <= now:
            connections[turn % len(connections)].call(coming.popleft())
            turn += 1
        if now > give_up_at:
            raise ValueError(f"answers are missing {_GRACE_SECONDS} s after the last call")
        timeout = max(0.0, coming[0] - time.perf_counter()) if coming else 0.1
        ready, _, _ = select.select([one.socket for one in connections], [], [], timeout)
        for one in connections:
            if one.socket in ready:
                one.read()
    return [latency for one in connections for latency in one.latencies]


def request_block(host: str) -> bytes:
    """The head of a call (pure)."""
    start = ((":method", "POST"), (":scheme", "http"), (":authority", host), (":path", GRPC_UNARY.path))
    fields = (*start, *GRPC_UNARY.headers)
    return block_bytes(tuple((name.encode(), value.encode()) for name, value in fields))


def main() -> int:
    address, port, host, rate, seconds, connections, seed = sys.argv[1:]
    ctypes.CDLL(None).prctl(_PR_SET_TIMERSLACK, 1)  # nanoseconds; the default is 50 µs
    opened = [Connection(address, int(port), request_block(host)) for _ in range(int(connections))]
    times = schedule(float(rate), float(seconds), int(seed))
    gc.disable()
    try:
        latencies = run(opened, times)
    except (ValueError, OSError) as error:
        print(json.dumps({"error": str(error)}))
        return 1
    print(json.dumps({"latencies": latencies}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
