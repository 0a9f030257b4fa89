"""Exchanges through a worker on loopback: what goes in, what the upstream sees, what comes back."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from meshproxy.config.model import Endpoint
from meshproxy.config.retry import RetrySettings
from meshproxy.config.route import WeightedCluster
from tests.unit.meshproxy.proxy.harness import (
    Upstream,
    answering,
    http_listener,
    ok,
    read_head,
    running,
    snapshot,
    static_cluster,
)

RETRY = RetrySettings(
    frozenset({"connect-failure", "reset"}), num_retries=2, base_interval=0.001, max_interval=0.002
)
A = WeightedCluster("a", 1)
DEAD = Endpoint("127.0.0.1", 1)
"""Nobody listens there, and nobody is given this port while a test runs."""


async def exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> bytes:
    """Send and read one response with a content-length."""
    writer.write(request)
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30)
    for line in head.split(b"\r\n"):
        if line.lower().startswith(b"content-length:"):
            return head + await asyncio.wait_for(reader.readexactly(int(line.split(b":")[1])), 30)
    return head


async def read_all(reader: asyncio.StreamReader) -> bytes:
    return await asyncio.wait_for(reader.read(-1), 30)


async def test_requests_on_one_connection_share_one_upstream_connection():
    seen: list[bytes] = []
    upstream = await Upstream(answering(ok(), seen)).start()
    async with running(snapshot(http_listener(A), static_cluster("a", upstream.endpoint))) as mesh:
        reader, writer = await mesh.connect()
        for path in (b"/1", b"/2", b"/3"):
            answer = await exchange(reader, writer, b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n" % path)
            assert answer.endswith(b"hello")
        writer.close()
    await upstream.stop()
    assert [head.split(b" ")[1] for head in seen] == [b"/1", b"/2", b"/3"]
    assert upstream.connections == 1


async def test_counts_each_exchange_once_by_status():
    upstream = await Upstream(answering(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n")).start()
    async with running(snapshot(http_listener(A), static_cluster("a", upstream.endpoint))) as mesh:
        reader, writer = await mesh.connect()
        for _ in range(3):
            await exchange(reader, writer, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert mesh.metric("istio_requests_total", response_code="404", reporter="source") == 3
        assert mesh.metric("istio_request_duration_milliseconds_count", response_code="404") == 3
        writer.close()
    await upstream.stop()


async def test_adds_a_request_id_last_and_keeps_one_that_is_there():
    seen: list[bytes] = []
    upstream = await Upstream(answering(ok(), seen)).start()
    async with running(snapshot(http_listener(A), static_cluster("a", upstream.endpoint))) as mesh:
        reader, writer = await mesh.connect()
        await exchange(
            reader, writer, b"GET / HTTP/1.1\r\nHost: a\r\nx-request-id: mine\r\nAccept: x\r\n\r\n"
        )
        await exchange(reader, writer, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        writer.close()
    await upstream.stop()
    assert seen[0].endswith(b"\r\nx-request-id: mine\r\n\r\n")
    name, _, value = seen[1].rstrip().rpartition(b"\r\n")[2].partition(b": ")
    assert name == b"x-request-id"
    assert [len(part) for part in value.split(b"-")] == [8, 4, 4, 4, 12]


async def test_strips_forged_mesh_headers_and_hop_by_hop_fields():
    seen: list[bytes] = []
    upstream = await Upstream(answering(ok(), seen)).start()
    async with running(snapshot(http_listener(A), static_cluster("a", upstream.endpoint))) as mesh:
        reader, writer = await mesh.connect()
        await exchange(
            reader,
            writer,
            b"GET / HTTP/1.1\r\nHost: a\r\nx-forwarded-client-cert: URI=spiffe://x\r\n"
            b"x-envoy-peer-metadata: abc\r\nConnection: keep-alive, x-drop\r\nx-drop: 1\r\nx-keep: 2\r\n\r\n",
        )
        writer.close()
    await upstream.stop()
    head = seen[0].lower()
    assert b"x-keep: 2" in head
    for gone in (b"x-forwarded-client-cert", b"x-envoy-peer-metadata", b"connection", b"x-drop"):
        assert gone not in head


async def test_pipelined_requests_are_answered_in_order():
    async def echo_path(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            path = (await read_head(reader)).split(b" ")[1]
            writer.write(ok(path))

    upstream = await Upstream(echo_path).start()
    async with running(snapshot(http_listener(A), static_cluster("a", upstream.endpoint))) as mesh:
        reader, writer = await mesh.connect()
        writer.write(b"".join(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % i for i in range(50)))
        for i in range(50):
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
            assert await reader.readexactly(length) == b"/%d" % i
        writer.close()
    await upstream.stop()


async def test_pipelined_local_answers_do_not_recurse():
    listener = http_listener()  # no cluster: every answer is ours
    async with running(snapshot(listener)) as mesh:
        reader, writer = await mesh.connect()
        count = 2000
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * count)
        writer.write_eof()
        assert (await read_all(reader)).count(b"HTTP/1.1 500") == count
        writer.close()


async def test_connection_close_of_the_client_is_honoured():
    upstream = await Upstream(answering(ok())).start()
    async with running(snapshot(http_listener(A), static_cluster("a", upstream.endpoint))) as mesh:
        reader, writer = await mesh.connect()
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        answer = await read_all(reader)
        assert b"connection: close" in answer
        assert answer.endswith(b"hello")
        writer.close()
    await upstream.stop()


async def test_a_connect_failure_is_retried_on_another_endpoint():
    upstream = await Upstream(answering(ok())).start()
    config = snapshot(http_listener(A, retry=RETRY), static_cluster("a", DEAD, upstream.endpoint))
    async with running(config) as mesh:
        reader, writer = await mesh.connect()
        for _ in range(6):
            answer = await exchange(
                reader, writer, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi"
            )
            assert answer.startswith(b"HTTP/1.1 200")
            upstream_connections = upstream.connections
        assert mesh.metric("istio_requests_total", response_code="200") == 6
        assert mesh.metric("meshproxy_upstream_connect_failures_total", cluster="a", reason="refused") >= 2
        assert upstream_connections >= 1
        writer.close()
    await upstream.stop()


def resetting(after: int, then: bytes, seen: list[bytes]):
    """Cuts the first `after` connections once a head arrived, then answers."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            seen.append(await read_head(reader))
            if len(seen) <= after:
                writer.transport.abort()
                return
            writer.write(then)

    return handle


async def test_a_reset_before_the_response_is_retried_for_get():
    seen: list[bytes] = []
    upstream = await Upstream(resetting(1, ok(), seen)).start()
    config = snapshot(http_listener(A, retry=RETRY), static_cluster("a", upstream.endpoint))
    async with running(config) as mesh:
        reader, writer = await mesh.connect()
        answer = await exchange(reader, writer, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert answer.endswith(b"hello")
        assert mesh.metric("meshproxy_upstream_retries_total", cluster="a") == 1
        writer.close()
    await upstream.stop()
    assert len(seen) == 2
    assert seen[0] == seen[1]


async def test_a_reset_is_never_retried_for_post():
    seen: list[bytes] = []
    upstream = await Upstream(resetting(1, ok(), seen)).start()
    config = snapshot(http_listener(A, retry=RETRY), static_cluster("a", upstream.endpoint))
    async with running(config) as mesh:
        reader, writer = await mesh.connect()
        answer = await exchange(reader, writer, b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi")
        assert answer.startswith(b"HTTP/1.1 503")
        assert mesh.metric("istio_requests_total", response_code="503", response_flags="UC") == 1
        writer.close()
    await upstream.stop()
    assert len(seen) == 1


async def test_retries_end_and_say_so():
    seen: list[bytes] = []
    upstream = await Upstream(resetting(99, b"", seen)).start()
    config = snapshot(http_listener(A, retry=RETRY), static_cluster("a", upstream.endpoint))
    async with running(config) as mesh:
        reader, writer = await mesh.connect()
        answer = await exchange(reader, writer, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 503")
        assert mesh.metric("istio_requests_total", response_flags="UC,URX") == 1
        writer.close()
    await upstream.stop()
    assert len(seen) == 3


async def test_an_upstream_that_aborts_mid_response_is_seen_as_a_truncated_message():
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n")
        await writer.drain()
        writer.transport.abort()

    upstream = await Upstream(script).start()
    async with running(snapshot(http_listener(A), static_cluster("a", upstream.endpoint))) as mesh:
        reader, writer = await mesh.connect()
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        received = b""
        with contextlib.suppress(ConnectionError):
            while piece := await asyncio.wait_for(reader.read(1000), 30):
                received += piece
        assert b"0\r\n\r\n" not in received
        assert mesh.metric("istio_requests_total", response_flags="UC") == 1
        writer.close()
    await upstream.stop()


async def test_a_client_that_leaves_ends_the_upstream_exchange():
    asked, gone = asyncio.Event(), asyncio.Event()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        asked.set()
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""
        gone.set()

    upstream = await Upstream(script).start()
    async with running(snapshot(http_listener(A), static_cluster("a", upstream.endpoint))) as mesh:
        _reader, writer = await mesh.connect()  # a collected reader would close the connection
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        await asyncio.wait_for(asked.wait(), 30)
        writer.transport.abort()
        await asyncio.wait_for(gone.wait(), 30)
        assert mesh.metric("istio_requests_total", response_code="0", response_flags="DC") == 1
    await upstream.stop()


async def test_a_request_that_takes_too_long_is_answered_504():
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    upstream = await Upstream(silent).start()
    config = snapshot(http_listener(A, timeout=0.05), static_cluster("a", upstream.endpoint))
    async with running(config) as mesh:
        reader, writer = await mesh.connect()
        answer = await exchange(reader, writer, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 504")
        assert mesh.metric("istio_requests_total", response_flags="UT") == 1
        writer.close()
    await upstream.stop()


async def test_what_cannot_be_routed_is_answered_and_flagged():
    cases = [
        (snapshot(http_listener(WeightedCluster("gone", 1))), b"503", "NC"),
        (snapshot(http_listener(A), static_cluster("a")), b"503", "UH"),
        (
            snapshot(http_listener(A), static_cluster("a", Endpoint("127.0.0.1", 1), max_requests=0)),
            b"503",
            "UO",
        ),
        (snapshot(http_listener(WeightedCluster("a", 0)), static_cluster("a")), b"500", "NC"),
    ]
    for config, status, flag in cases:
        async with running(config) as mesh:
            reader, writer = await mesh.connect()
            answer = await exchange(reader, writer, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            assert answer.split(b" ")[1] == status
            assert mesh.metric("istio_requests_total", response_flags=flag) == 1
            writer.close()


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nx: " + b"y" * 70_000 + b"\r\n\r\n", b"431"),
        (b"GET / HTTP/3.0\r\nHost: a\r\n\r\n", b"505"),
        (b"\x00\x01\x02\r\n\r\n", b"400"),
    ],
)
async def test_what_is_not_http_is_refused_and_the_connection_ends(request_bytes, status):
    async with running(snapshot(http_listener(A), static_cluster("a"))) as mesh:
        reader, writer = await mesh.connect()
        writer.write(request_bytes)
        answer = await read_all(reader)
        assert answer.split(b" ")[1] == status
        assert b"connection: close" in answer
        writer.close()


async def test_an_early_answer_ends_the_connection_when_the_body_was_not_read():
    async def early(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(b"HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\n\r\n")
        await reader.read()

    upstream = await Upstream(early).start()
    async with running(snapshot(http_listener(A), static_cluster("a", upstream.endpoint))) as mesh:
        reader, writer = await mesh.connect()
        writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n" + b"x" * 1000)
        answer = await read_all(reader)
        assert answer.startswith(b"HTTP/1.1 413")
        assert b"connection: close" in answer
        writer.close()
    await upstream.stop()


async def test_draining_ends_connections_after_their_exchange():
    upstream = await Upstream(answering(ok())).start()
    async with running(snapshot(http_listener(A), static_cluster("a", upstream.endpoint))) as mesh:
        reader, writer = await mesh.connect()
        await exchange(reader, writer, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        mesh.worker.begin_drain()
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        answer = await read_all(reader)
        assert answer.startswith(b"HTTP/1.1 200")
        assert b"connection: close" in answer
        writer.close()
    await upstream.stop()


async def test_a_slow_reader_slows_its_upstream():
    sent = 0

    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await read_head(reader)
        total = 64 * 1024 * 1024
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % total)
        while sent < total:
            writer.write(b"x" * 65536)
            sent += 65536
            await writer.drain()

    upstream = await Upstream(flood).start()
    async with running(snapshot(http_listener(A), static_cluster("a", upstream.endpoint))) as mesh:
        reader, writer = await asyncio.open_connection("127.0.0.1", mesh.port, limit=1024)
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        before = -1
        while before != sent:  # until nothing moves any more
            before = sent
            await asyncio.sleep(0.2)
        assert sent < 32 * 1024 * 1024
        writer.transport.abort()
    await upstream.stop()


async def test_endpoints_that_stay_keep_their_connections_over_an_update():
    upstream = await Upstream(answering(ok())).start()
    config = snapshot(http_listener(A), static_cluster("a", upstream.endpoint))
    async with running(config) as mesh:
        reader, writer = await mesh.connect()
        await exchange(reader, writer, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        other = static_cluster("a", upstream.endpoint, Endpoint("127.0.0.2", upstream.port, healthy=False))
        await mesh.worker.apply(snapshot(config.listeners["listener"], other))
        await exchange(reader, writer, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        writer.close()
    await upstream.stop()
    assert upstream.connections == 1
