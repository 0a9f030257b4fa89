"""An open-loop load generator: requests at their times whatever the answers do, latency from the time a
request should have been sent, so that a stall is seen by everyone who would have waited.

`python -m bench.load.open_loop ADDRESS PORT HOST RATE SECONDS CONNECTIONS SEED` prints one JSON object. Times
between requests are exponential (independent users). One thread around `select`, whose timeout has
microseconds; no event loop of ours, so that it is not measured with itself.
"""

from __future__ import annotations

import ctypes
import gc
import json
import random
import select
import socket
import sys
import time
from collections import deque
from typing import Final

from bench.shape import SMALL

_PR_SET_TIMERSLACK = 29
_GRACE_SECONDS = 5.0
"""After the last request was due."""
_READ_SIZE = 65536
_HEAD_END: Final = b"\r\n\r\n"


def schedule(rate: float, seconds: float, seed: int) -> list[float]:
    """Seconds from the start at which requests are due (pure): the same for every side."""
    rng = random.Random(seed)
    due, times = rng.expovariate(rate), []
    while due < seconds:
        times.append(due)
        due += rng.expovariate(rate)
    return times


class Connection:
    """One kept-alive connection, at most one request on it."""

    __slots__ = ("due", "received", "socket")

    def __init__(self, address: str, port: int) -> None:
        self.socket = socket.create_connection((address, port), 10.0)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.received = b""
        self.due = 0.0

    def read(self) -> bool:
        """Whether the answer is complete. Raises ValueError for a wrong one."""
        data = self.socket.recv(_READ_SIZE)
        if not data:
            raise ValueError(f"connection closed after {self.received!r}")
        received = self.received = self.received + data
        end = received.find(_HEAD_END)
        if end < 0 or len(received) < end + len(_HEAD_END) + len(SMALL.response_body):
            return False
        if not received.startswith(b"HTTP/1.1 200") or received[end + 4 :] != SMALL.response_body:
            raise ValueError(f"wrong answer: {received!r}")
        self.received = b""
        return True


class OpenLoop:
    """Runs one schedule."""

    def __init__(self, connections: list[Connection], request: bytes) -> None:
        self._idle = connections
        self._request = request
        self._busy: dict[int, Connection] = {}
        self._waiting: deque[float] = deque()
        self.latencies: list[float] = []
        """Seconds, in the order of the answers."""

    def run(self, times: list[float]) -> None:
        """Raises ValueError for a wrong answer, or when answers are missing long after the last was due."""
        start = time.perf_counter() + 0.01
        give_up_at = start + times[-1] + _GRACE_SECONDS
        coming = deque(start + due for due in times)
        while coming or self._waiting or self._busy:
            now = time.perf_counter()
            while coming and coming[0] <= now:
                self._waiting.append(coming.popleft())
            while self._waiting and self._idle:
                self._send(self._waiting.popleft())
            if now > give_up_at:
                missing = len(self._busy) + len(self._waiting)
                raise ValueError(f"{missing} answers are missing {_GRACE_SECONDS} s after the last request")
            self._receive(max(0.0, coming[0] - time.perf_counter()) if coming else 0.1)

    def _send(self, due: float) -> None:
        connection = self._idle.pop()
        connection.due = due
        self._busy[connection.socket.fileno()] = connection
        connection.socket.sendall(self._request)

    def _receive(self, timeout: float) -> None:
        ready, _, _ = select.select(list(self._busy), [], [], timeout)
        for descriptor in ready:
            connection = self._busy[descriptor]
            if connection.read():
                self.latencies.append(time.perf_counter() - connection.due)
                del self._busy[descriptor]
                self._idle.append(connection)


def main() -> int:
    address, port, host, rate, seconds, connections, seed = sys.argv[1:]
    ctypes.CDLL(None).prctl(_PR_SET_TIMERSLACK, 1)  # nanoseconds; the default is 50 µs
    opened = [Connection(address, int(port)) for _ in range(int(connections))]
    loop = OpenLoop(opened, SMALL.request(host))
    times = schedule(float(rate), float(seconds), int(seed))
    gc.disable()
    try:
        loop.run(times)
    except (ValueError, OSError) as error:
        print(json.dumps({"error": str(error)}))
        return 1
    print(json.dumps({"latencies": loop.latencies}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
