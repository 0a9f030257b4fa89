"""HTTP/2 on either side of the proxy, with python-hyper's `h2` as the peers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from meshproxy.config.health_check import GrpcCheck, HealthCheck
from meshproxy.config.model import WeightedCluster
from meshproxy.config.resilience import HealthCheckSettings
from meshproxy.config.retry import RetrySettings
from tests.unit.meshproxy.proxy.h2_peer import H2Upstream, Handler, Message, Peer, connect, echo
from tests.unit.meshproxy.proxy.harness import (
    Mesh,
    Upstream,
    http_listener,
    read_head,
    running,
    snapshot,
    static_cluster,
)

OK = (b":status", b"200")
ONE = WeightedCluster("a", 1)


@asynccontextmanager
async def h2_mesh(handler: Handler, **listener: object) -> AsyncIterator[tuple[Mesh, H2Upstream]]:
    upstream = await H2Upstream(handler).start()
    cluster = static_cluster("a", upstream.endpoint, http2=True)
    try:
        async with running(snapshot(http_listener(ONE, **listener), cluster)) as mesh:  # type: ignore[arg-type]
            yield mesh, upstream
    finally:
        await upstream.stop()


async def h1_echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers with what it got: head and body, chunked, with a trailer."""
    while True:
        head = await read_head(reader)
        body = b""
        if b"transfer-encoding: chunked" in head:
            while size := int((await reader.readline()).strip(), 16):
                body += await reader.readexactly(size)
                await reader.readexactly(2)
            while (await reader.readline()) != b"\r\n":
                pass
        elif b"content-length: " in head:
            body = await reader.readexactly(int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0]))
        answer = head + body
        writer.write(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: keep-alive\r\nX-Big: 1\r\n\r\n"
            b"%x\r\n%b\r\n0\r\nx-t: 1\r\n\r\n" % (len(answer), answer)
        )
        await writer.drain()


async def test_h2_to_h1() -> None:
    upstream = await Upstream(h1_echo).start()
    async with running(snapshot(http_listener(ONE), static_cluster("a", upstream.endpoint))) as mesh:
        client = await connect(mesh.port)
        cookies = ((b"cookie", b"a=1"), (b"cookie", b"b=2"), (b"te", b"trailers"))
        first = client.request(b"POST", b"/x?y", *cookies, end=False)
        await client.send(first.stream, b"body")
        second = client.request(b"GET", b"/second")
        for message in (await first.end(), await second.end()):
            assert message.status == 200
            assert message.trailers == {b"x-t": b"1"}
            assert message.fields[b"x-big"] == b"1"
            assert not message.fields.keys() & {b"transfer-encoding", b"connection"}
        head = first.body.partition(b"\r\n\r\n")[0]
        assert head.startswith(b"POST /x?y HTTP/1.1\r\nhost: web\r\n")
        assert b"\r\ncookie: a=1; b=2\r\n" in head
        assert b"te:" not in head
        assert first.body.endswith(b"\r\n\r\nbody")
        assert mesh.metric("istio_requests_total", response_code="200") == 2
        client.close()
    await upstream.stop()


async def test_h1_to_h2() -> None:
    async with h2_mesh(echo) as (mesh, upstream):
        reader, writer = await mesh.connect()
        for _ in range(2):
            writer.write(b"POST /p HTTP/1.1\r\nHost: Web:80\r\nContent-Length: 4\r\nX-A: b\r\n\r\nbody")
            head = await read_head(reader)
            assert head.startswith(b"HTTP/1.1 200 OK\r\n")
            assert b"transfer-encoding: chunked\r\n" in head
            assert await reader.readuntil(b"\r\n\r\n") == b"4\r\nbody\r\n0\r\nx-size: 4\r\n\r\n"
        writer.write(b"HEAD / HTTP/1.1\r\nHost: web\r\n\r\n")
        assert b"x-path: /\r\n" in await read_head(reader)
        fields = upstream.requests[0].fields
        assert fields[b":authority"] == b"Web:80"
        assert fields[b":scheme"] == b"http"
        assert fields[b"x-a"] == b"b"
        assert len(fields[b"x-request-id"]) == 36
        assert not fields.keys() & {b"host", b"transfer-encoding", b"connection"}
        assert len(upstream.connections) == 1
        writer.close()


async def test_h2_to_h2_many_streams_on_one_connection() -> None:
    async with h2_mesh(echo) as (mesh, upstream):
        client = await connect(mesh.port)
        messages = []
        for number in range(100):
            message = client.request(b"POST", b"/%d" % number, end=False)
            await client.send(message.stream, b"x" * number)
            messages.append(message)
        for number, message in enumerate(messages):
            await message.end()
            assert (message.status, message.body) == (200, b"x" * number)
            assert message.fields[b"x-path"] == b"/%d" % number
            assert message.trailers == {b"x-size": b"%d" % number}
        assert len(upstream.connections) == 1
        client.close()


async def test_an_empty_answer_over_http1_has_a_length() -> None:
    async def empty(peer: Peer, message: Message) -> None:
        peer.respond(message.stream, OK, end=True)

    async with h2_mesh(empty) as (mesh, _):
        reader, writer = await mesh.connect()
        writer.write(b"GET / HTTP/1.1\r\nHost: web\r\n\r\n")
        assert b"\r\ncontent-length: 0\r\n" in await read_head(reader)
        writer.close()


async def test_an_answer_may_come_before_the_request_is_whole() -> None:
    """Bidirectional streaming: each message is answered as it comes."""

    async def talk(peer: Peer, message: Message) -> None:
        peer.respond(message.stream, OK)
        seen = 0
        while not message.is_whole:
            await message.until(lambda one, seen=seen: one.is_whole or len(one.body) > seen)  # type: ignore[misc]
            part, seen = message.body[seen:], len(message.body)
            await peer.send(message.stream, part.upper(), end=False)
        peer.trailers(message.stream, (b"grpc-status", b"0"))

    async with h2_mesh(talk) as (mesh, _):
        client = await connect(mesh.port)
        message = client.request(b"POST", b"/talk", end=False)
        for index, word in enumerate((b"one", b"two", b"three")):
            await client.send(message.stream, word, end=False)
            wanted = b"".join((b"ONE", b"TWO", b"THREE")[: index + 1])
            await message.until(lambda one, wanted=wanted: one.body == wanted)  # type: ignore[misc]
        client.h2.end_stream(message.stream)
        client.flush()
        await message.end()
        assert message.trailers == {b"grpc-status": b"0"}
        client.close()


@pytest.mark.parametrize("size", [1_000_000])
async def test_a_large_body_passes_both_ways(size: int) -> None:
    async with h2_mesh(echo) as (mesh, _):
        client = await connect(mesh.port)
        message = client.request(b"POST", b"/", end=False)
        body = bytes(range(256)) * (size // 256)
        await client.send(message.stream, body)
        await message.until(lambda one: one.is_whole)
        assert message.body == body
        client.close()


async def test_a_client_that_does_not_read_slows_its_upstream_and_no_other_stream() -> None:
    sent = 0

    async def flood(peer: Peer, message: Message) -> None:
        nonlocal sent
        peer.respond(message.stream, OK)
        if message.fields[b":path"] == b"/small":
            await peer.send(message.stream, b"small")
            return
        while sent < 50_000_000:
            await peer.send(message.stream, b"x" * 16384, end=False)
            sent += 16384

    async with h2_mesh(flood) as (mesh, _):
        lazy = await connect(mesh.port)
        lazy.reads = False
        big = lazy.request()
        await big.until(lambda one: len(one.body) >= 65_535)
        other = await connect(mesh.port)
        for _ in range(20):
            message = await other.request(path=b"/small").end()
            assert message.body == b"small"
        assert sent < 5_000_000
        for peer in (lazy, other):
            peer.close()


# --- ends ---


async def test_the_client_gives_a_request_up() -> None:
    async def never(peer: Peer, message: Message) -> None:
        await message.until(lambda one: one.reset is not None)

    async with h2_mesh(never) as (mesh, upstream):
        client = await connect(mesh.port)
        message = client.request()
        async with asyncio.timeout(30):
            while not upstream.requests:  # noqa: ASYNC110 — nothing tells of it
                await asyncio.sleep(0.005)
        client.give_up(message.stream)
        await upstream.requests[0].until(lambda one: one.reset == 8)
        assert (await client.request(b"OPTIONS").until(lambda one: True)) is not None
        client.close()


async def test_a_reset_in_the_middle_of_an_answer_is_seen_as_one() -> None:
    async def cut(peer: Peer, message: Message) -> None:
        peer.respond(message.stream, OK)
        await peer.send(message.stream, b"half", end=False)
        await asyncio.sleep(0.01)
        peer.give_up(message.stream, 2)

    async with h2_mesh(cut) as (mesh, _):
        client = await connect(mesh.port)
        message = await client.request().end()
        assert message.reset == 2  # INTERNAL_ERROR
        reader, writer = await mesh.connect()
        writer.write(b"GET / HTTP/1.1\r\nHost: web\r\n\r\n")
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.close()
        client.close()


async def test_a_refused_stream_is_tried_again_whatever_its_method() -> None:
    count = 0

    async def refuse_first(peer: Peer, message: Message) -> None:
        nonlocal count
        count += 1
        if count == 1:
            peer.give_up(message.stream, 7)
        else:
            await echo(peer, message)

    retry = RetrySettings(retry_on=frozenset({"refused-stream"}), num_retries=2, base_interval=0.001)
    async with h2_mesh(refuse_first, retry=retry) as (mesh, _):
        client = await connect(mesh.port)
        message = client.request(b"POST", b"/", end=False)
        await client.send(message.stream, b"again")
        assert (await message.end()).body == b"again"
        assert count == 2
        client.close()


async def test_goaway_of_the_upstream_moves_new_requests_and_keeps_those_under_way() -> None:
    release = asyncio.Event()

    async def slow(peer: Peer, message: Message) -> None:
        if message.fields[b":path"] == b"/slow":
            peer.say_goodbye()
            await release.wait()
            peer._transport.write(  # type: ignore[union-attr]  # h2 sends nothing more after GOAWAY
                b"\x00\x00\x01\x01\x05" + message.stream.to_bytes(4, "big") + b"\x88"
            )
            return
        await echo(peer, message)

    async with h2_mesh(slow) as (mesh, upstream):
        client = await connect(mesh.port)
        held = client.request(path=b"/slow")
        while not upstream.requests:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        assert (await client.request(path=b"/next").end()).status == 200
        assert len(upstream.connections) == 2
        release.set()
        assert (await held.end()).status == 200
        client.close()


async def test_answers_of_the_proxy_itself() -> None:
    async with running(snapshot(http_listener(ONE), static_cluster("a"))) as mesh:
        client = await connect(mesh.port)
        message = await client.request().end()
        assert message.status == 503
        assert message.body == b"no healthy upstream"
        call = await client.request(b"POST", b"/s/M", (b"content-type", b"application/grpc")).end()
        assert call.status == 200
        assert call.fields[b"grpc-status"] == b"14"
        assert call.fields[b"grpc-message"] == b"no healthy upstream"
        assert call.is_whole
        client.close()


async def test_calls_are_counted_with_their_status_and_messages() -> None:
    async def two(peer: Peer, message: Message) -> None:
        await message.end()
        peer.respond(message.stream, OK, (b"content-type", b"application/grpc"))
        await peer.send(message.stream, b"\0\0\0\0\x01a" * 2, end=False)
        peer.trailers(message.stream, (b"grpc-status", b"5"), (b"grpc-message", b"none"))

    async with h2_mesh(two) as (mesh, upstream):
        client = await connect(mesh.port)
        call = client.request(
            b"POST", b"/s/M", (b"content-type", b"application/grpc"), (b"te", b"trailers"), end=False
        )
        await client.send(call.stream, b"\0\0\0\0\0" * 3)
        await call.end()
        assert call.trailers == {b"grpc-status": b"5", b"grpc-message": b"none"}
        assert upstream.requests[0].fields[b"te"] == b"trailers"
        labels = {"request_protocol": "grpc", "grpc_response_status": "5", "response_code": "200"}
        assert mesh.metric("istio_requests_total", **labels) == 1
        assert mesh.metric("istio_request_messages_total", **labels) == 3
        assert mesh.metric("istio_response_messages_total", **labels) == 2
        client.close()


async def test_a_call_is_tried_again_on_its_status_before_a_message_was_sent() -> None:
    count = 0

    async def busy_first(peer: Peer, message: Message) -> None:
        nonlocal count
        count += 1
        await message.end()
        if count == 1:
            fields = ((b"content-type", b"application/grpc"), (b"grpc-status", b"14"))
            peer.respond(message.stream, OK, *fields, end=True)
        else:
            peer.respond(message.stream, OK, (b"content-type", b"application/grpc"))
            peer.trailers(message.stream, (b"grpc-status", b"0"))

    retry = RetrySettings(retry_on=frozenset({"unavailable"}), num_retries=1, base_interval=0.001)
    async with h2_mesh(busy_first, retry=retry) as (mesh, _):
        client = await connect(mesh.port)
        call = client.request(b"POST", b"/s/M", (b"content-type", b"application/grpc"), end=False)
        await client.send(call.stream, b"\0\0\0\0\0")
        assert (await call.end()).trailers == {b"grpc-status": b"0"}
        assert count == 2
        client.close()


async def test_a_call_has_the_time_it_asks_for_and_says_what_is_left_of_it() -> None:
    async def never(peer: Peer, message: Message) -> None:
        await message.until(lambda one: one.reset is not None)

    async with h2_mesh(never, timeout=0.0, action={"grpc_timeout_max": 0.0}) as (mesh, upstream):
        client = await connect(mesh.port)
        fields = ((b"content-type", b"application/grpc"), (b"grpc-timeout", b"60S"))
        call = client.request(b"POST", b"/s/M", *fields)
        async with asyncio.timeout(30):
            while not upstream.requests:  # noqa: ASYNC110 — nothing tells of it
                await asyncio.sleep(0.005)
        mesh.pass_time(61.0)
        await call.end()
        assert (call.status, call.fields[b"grpc-status"]) == (200, b"4")
        left = upstream.requests[0].fields[b"grpc-timeout"]
        assert left.endswith(b"m")
        assert 0 < int(left[:-1]) <= 60_000
        await upstream.requests[0].until(lambda one: one.reset == 8)
        assert mesh.metric("istio_requests_total", grpc_response_status="4", response_flags="DT") == 1
        client.close()


async def test_a_call_that_is_out_of_time_is_told_so_in_its_trailers_too() -> None:
    async def begin(peer: Peer, message: Message) -> None:
        peer.respond(message.stream, OK, (b"content-type", b"application/grpc"))
        await peer.send(message.stream, b"\0\0\0\0\0", end=False)
        await message.until(lambda one: one.reset is not None)

    async with h2_mesh(begin, timeout=0.0, action={"grpc_timeout_max": 0.0}) as (mesh, upstream):
        client = await connect(mesh.port)
        fields = ((b"content-type", b"application/grpc"), (b"grpc-timeout", b"60S"))
        call = await client.request(b"POST", b"/s/M", *fields).until(lambda one: len(one.body) == 5)
        mesh.pass_time(61.0)
        await call.end()
        assert (call.body, call.trailers[b"grpc-status"]) == (b"\0\0\0\0\0", b"4")
        await upstream.requests[0].until(lambda one: one.reset == 8)
        client.close()


async def test_an_exchange_may_be_bounded_as_a_whole() -> None:
    async def drip(peer: Peer, message: Message) -> None:
        peer.respond(message.stream, OK)
        await message.until(lambda one: one.reset is not None)

    async with h2_mesh(drip, timeout=0.0, action={"max_stream_duration": 60.0}) as (mesh, _):
        client = await connect(mesh.port)
        message = await client.request().until(lambda one: bool(one.fields))
        mesh.pass_time(61.0)
        assert (await message.end()).reset == 2
        client.close()


async def health(peer: Peer, message: Message, status: bytes) -> None:
    await message.end()
    peer.respond(message.stream, OK, (b"content-type", b"application/grpc"))
    await peer.send(message.stream, b"\0\0\0\0\x02\x08" + status, end=False)
    peer.trailers(message.stream, (b"grpc-status", b"0"))


@pytest.mark.parametrize(("status", "is_well"), [(b"\x01", True), (b"\x02", False)])
async def test_endpoints_are_asked_by_grpc_how_they_are(status: bytes, is_well: bool) -> None:
    async def answer(peer: Peer, message: Message) -> None:
        await health(peer, message, status)

    upstream = await H2Upstream(answer).start()
    settings = HealthCheckSettings(timeout=30.0, interval=0.02, unhealthy_threshold=1, healthy_threshold=1)
    check = HealthCheck(GrpcCheck("catalog.shop", "shop.Catalog"), settings)
    cluster = static_cluster("a", upstream.endpoint, http2=True, health_check=check)
    async with running(snapshot(http_listener(ONE), cluster)) as mesh:
        (endpoint,) = mesh.live.clusters["a"].endpoints
        async with asyncio.timeout(30):
            while endpoint.check is None or endpoint.check.is_pending:  # noqa: ASYNC110
                await asyncio.sleep(0.005)
        assert endpoint.check.is_healthy is is_well
        asked = upstream.requests[0]
        assert asked.fields[b":path"] == b"/grpc.health.v1.Health/Check"
        assert asked.body == b"\0\0\0\0\x0e\x0a\x0cshop.Catalog"
    await upstream.stop()


async def test_malformed_requests_reset_their_stream_and_leave_the_others_alone() -> None:
    async with h2_mesh(echo) as (mesh, _):
        client = await connect(mesh.port)
        client.h2.config.validate_outbound_headers = False
        client.h2.config.normalize_outbound_headers = False
        for bad in (
            (b"X-Upper", b"1"),
            (b"connection", b"close"),
            (b"te", b"gzip"),
            (b"x", b"a\r\nb: c"),
            (b":unknown", b"1"),
            (b"host", b"other"),
        ):
            message = await client.request(b"GET", b"/", bad).end()
            assert message.reset == 1, bad
        for path in (b"", b"x", b"/a b", b"/a\tb"):
            message = await client.request(b"GET", path).end()
            assert message.reset == 1, path
        assert (await client.request().end()).status == 200
        client.close()


async def test_fields_beyond_the_limit_are_answered() -> None:
    async with h2_mesh(echo) as (mesh, _):
        client = await connect(mesh.port)
        many = tuple((b"x-%d" % number, b"1") for number in range(200))
        assert (await client.request(b"GET", b"/", *many).end()).status == 431
        large = await client.request(b"GET", b"/", *((b"x", b"y" * 8000),) * 8).end()
        assert large.status == 431 or large.reset is not None
        assert (await client.request().end()).status == 200
        client.close()


async def test_the_preface_may_come_in_pieces() -> None:
    async with h2_mesh(echo) as (mesh, _):
        reader, writer = await mesh.connect()
        peer = Peer(is_client=True)
        peer.h2.initiate_connection()
        number = peer.h2.get_next_available_stream_id()
        fields = [(b":method", b"GET"), (b":scheme", b"http"), (b":authority", b"a"), (b":path", b"/")]
        peer.h2.send_headers(number, fields, end_stream=True)
        data = peer.h2.data_to_send()
        for index in range(len(data)):
            writer.write(data[index : index + 1])
            await writer.drain()
            await asyncio.sleep(0)
        answer = Message(number)
        peer.messages[number] = answer
        while not answer.is_whole:
            for event in peer.h2.receive_data(await reader.read(65536)):
                peer._on_event(event)
        assert answer.status == 200
        writer.close()
