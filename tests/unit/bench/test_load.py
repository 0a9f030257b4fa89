"""Load generators: what they print is judged; the open loop counts from the intended time."""

from __future__ import annotations

import json
import socket
import threading

import pytest

from bench.errors import WrongAnswer
from bench.handshake_peer import resumed_share
from bench.load import iperf, wrk
from bench.load.open_loop import Connection, OpenLoop, schedule
from bench.shape import SMALL, SMALL_BODY

GOOD = {
    "requests": 10,
    "microseconds": 2_000_000,
    "bytes": 5000,
    "p99": 40,
    **dict.fromkeys(("connect", "read", "write", "status", "timeout"), 0),
}


def said(**fields: int) -> str:
    return "Running 1s test\nRequests/sec: 5\n" + json.dumps({**GOOD, **fields}) + "\n"


def test_wrk_counts_requests_in_its_own_time():
    load = wrk.summary(said(), SMALL)
    assert (load.requests, load.seconds, load.rate, load.p99_us) == (10, 2.0, 5.0, 40)


@pytest.mark.parametrize("error", ["connect", "read", "write", "status", "timeout"])
def test_one_failed_request_is_a_wrong_answer(error):
    with pytest.raises(WrongAnswer, match=error):
        wrk.summary(said(**{error: 1}), SMALL)


def test_answers_that_are_too_short_are_wrong():
    with pytest.raises(WrongAnswer, match="bytes"):
        wrk.summary(said(bytes=10 * 64 - 1), SMALL)


def test_no_answer_is_wrong():
    with pytest.raises(WrongAnswer, match="not one"):
        wrk.summary(said(requests=0), SMALL)


def test_iperf_says_what_arrived():
    stream = iperf.received('{"end": {"sum_received": {"bytes": 1250000000, "seconds": 2.0}}}')
    assert stream.gbit_per_second == 5.0


@pytest.mark.parametrize("text", ['{"error": "refused"}', "", '{"end": {}}'])
def test_a_failed_stream_is_a_wrong_answer(text):
    with pytest.raises(WrongAnswer):
        iperf.received(text)


def test_a_connection_that_computes_no_keys_was_resumed():
    assert resumed_share("ConnRate: 100\nSslFrontendKeyRate: 25\nSslBackendKeyRate: 0\n") == 0.75
    assert resumed_share("ConnRate: 100\nSslFrontendKeyRate: 0\nSslBackendKeyRate: 101\n") == 0.0
    assert resumed_share("ConnRate: 0\nSslFrontendKeyRate: 0\nSslBackendKeyRate: 0\n") is None


def test_a_schedule_is_the_same_for_every_side_and_keeps_the_rate():
    times = schedule(1000.0, 10.0, seed=3)
    assert times == schedule(1000.0, 10.0, seed=3) != schedule(1000.0, 10.0, seed=4)
    assert times == sorted(times)
    assert times[-1] < 10.0
    assert abs(len(times) - 10_000) < 400  # 4 standard deviations


class Upstream:
    """Answers each request on one connection, `delay` seconds after it came."""

    def __init__(self, answer: bytes, delay: float = 0.0) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listener.getsockname()[1]
        self._answer, self._delay = answer, delay
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        connection, _ = self.listener.accept()
        with connection:
            while connection.recv(65536):
                threading.Event().wait(self._delay)
                connection.sendall(self._answer)

    def close(self) -> None:
        self._thread.join(5.0)
        self.listener.close()


def run_against(upstream: Upstream, times: list[float]) -> list[float]:
    connection = Connection("127.0.0.1", upstream.port)
    loop = OpenLoop([connection], SMALL.request("h"))
    try:
        loop.run(times)
    finally:
        connection.socket.close()
        upstream.close()
    return loop.latencies


def test_who_waits_for_a_stalled_answer_is_counted_from_when_it_was_due():
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 64\r\n\r\n" + SMALL_BODY
    first, second, third = run_against(Upstream(answer, delay=0.02), [0.0, 0.01, 0.02])
    assert first >= 0.02
    assert second >= 2 * 0.02 - 0.01
    assert third >= 3 * 0.02 - 0.02


def test_a_wrong_answer_ends_the_loop():
    upstream = Upstream(b"HTTP/1.1 503 No\r\nContent-Length: 64\r\n\r\n" + SMALL_BODY)
    with pytest.raises(ValueError, match="wrong answer"):
        run_against(upstream, [0.0])
