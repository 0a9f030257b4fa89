"""The small HTTP server on a real loopback socket: requests written as bytes, answers read as bytes."""

import asyncio
import contextlib
import errno
import socket
from collections.abc import AsyncIterator, Iterator

import pytest
import uvloop

from meshproxy.admin.http_server import (
    EVERYWHERE,
    LOOPBACK_HOSTS,
    HttpRequest,
    HttpResponse,
    HttpRoute,
    HttpServer,
    HttpServerLimits,
)

SLICES = ("first ", "second ", "third")


def _echo(request: HttpRequest) -> HttpResponse:
    return HttpResponse(f"{request.method} {request.path} {dict(request.query)}")


def _fail(request: HttpRequest) -> HttpResponse:
    raise RuntimeError("broken page")


def _fail_later(request: HttpRequest) -> HttpResponse:
    def body() -> Iterator[str]:
        yield "good so far"
        raise RuntimeError("broken in the middle")

    return HttpResponse(body())


_gathered: list[str] = []


async def _gather() -> None:
    await asyncio.sleep(0)
    _gathered.append("more")


async def _fail_to_gather() -> None:
    raise RuntimeError("nobody answers")


ROUTES = {
    "/gathered": HttpRoute(lambda request: HttpResponse(str(len(_gathered))), prepare=_gather),
    "/ungathered": HttpRoute(_echo, prepare=_fail_to_gather),
    "/echo": HttpRoute(_echo),
    "/change": HttpRoute(_echo, "POST"),
    "/slices": HttpRoute(lambda request: HttpResponse(iter(SLICES))),
    "/fail": HttpRoute(_fail),
    "/fail-later": HttpRoute(_fail_later),
}
LIMITS = HttpServerLimits(max_head_bytes=1024, max_body_bytes=2048, max_connections=2)


class _Client:
    """A server and how to talk to it."""

    def __init__(self) -> None:
        self.server = HttpServer(ROUTES, limits=LIMITS)
        self.port = 0

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def ask(self, request: bytes) -> bytes:
        """Everything the server sends until it closes."""
        reader, writer = await self.connect()
        writer.write(request)
        try:
            return await reader.read()
        finally:
            writer.close()


@pytest.fixture
async def client() -> AsyncIterator[_Client]:
    client = _Client()
    client.port = await client.server.start("127.0.0.1", 0)
    yield client
    await client.server.close()


def _get(path: str, method: str = "GET", headers: str = "connection: close\r\n") -> bytes:
    return f"{method} {path} HTTP/1.1\r\nhost: a\r\n{headers}\r\n".encode()


def _status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


def _body(answer: bytes) -> bytes:
    return answer.partition(b"\r\n\r\n")[2]


async def _read_until_lost(reader: asyncio.StreamReader) -> bytes:
    """What arrives before the connection ends; an abort may arrive as an end or as a reset."""
    received = b""
    try:
        while data := await reader.read(65_536):
            received += data
    except ConnectionError:
        pass
    return received


async def test_a_page_is_answered_with_its_length(client: _Client) -> None:
    answer = await client.ask(_get("/echo?a=1&b=%2F&a=2"))
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    body = b"GET /echo {'a': '2', 'b': '/'}"
    assert _body(answer) == body
    assert f"content-length: {len(body)}\r\n".encode() in answer.lower()
    assert b"content-type: text/plain; charset=utf-8\r\n" in answer.lower()


async def test_a_request_fed_byte_by_byte(client: _Client) -> None:
    reader, writer = await client.connect()
    for byte in _get("/echo"):
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(0)
    assert _status(await reader.read()) == 200
    writer.close()


async def test_slices_are_sent_chunked(client: _Client) -> None:
    answer = await client.ask(_get("/slices"))
    assert b"transfer-encoding: chunked" in answer.lower()
    assert _body(answer) == b"6\r\nfirst \r\n7\r\nsecond \r\n5\r\nthird\r\n0\r\n\r\n"


async def test_http_1_0_gets_slices_ended_by_close(client: _Client) -> None:
    answer = await client.ask(b"GET /slices HTTP/1.0\r\n\r\n")
    assert _body(answer) == b"first second third"
    assert b"transfer-encoding" not in answer.lower()


@pytest.mark.parametrize("path", ["/echo", "/slices"])
async def test_head_has_no_body(client: _Client, path: str) -> None:
    answer = await client.ask(_get(path, "HEAD"))
    assert _status(answer) == 200
    assert _body(answer) == b""


async def test_a_connection_is_kept_for_further_requests_also_pipelined(client: _Client) -> None:
    reader, writer = await client.connect()
    writer.write(_get("/echo?1=1", headers=""))
    assert b"{'1': '1'}" in await reader.readuntil(b"}")
    writer.write(_get("/slices", headers="") + _get("/echo?2=2", "HEAD", "") + _get("/echo?3=3"))
    rest = await reader.read()
    assert rest.count(b"HTTP/1.1 200") == 3
    assert rest.index(b"third") < rest.index(b"{'3': '3'}")
    writer.close()


async def test_a_page_waits_for_what_it_shows_also_pipelined(client: _Client) -> None:
    _gathered.clear()
    answer = await client.ask(_get("/gathered", headers="") + _get("/echo", headers="") + _get("/gathered"))
    bodies = [part.partition(b"HTTP/1.1")[0] for part in answer.split(b"\r\n\r\n")[1:]]
    assert bodies == [b"1", b"GET /echo {}", b"2"]


async def test_a_page_that_cannot_be_gathered_ends_its_connection(client: _Client) -> None:
    with contextlib.suppress(ConnectionResetError):
        assert await client.ask(_get("/ungathered")) == b""
    assert not client.server.connections


async def test_a_client_that_half_closes_gets_its_answer(client: _Client) -> None:
    reader, writer = await client.connect()
    writer.write(_get("/slices", headers=""))
    writer.write_eof()
    assert (await reader.read()).endswith(b"third\r\n0\r\n\r\n")
    writer.close()


async def test_a_client_that_leaves_is_forgotten(client: _Client) -> None:
    reader, writer = await client.connect()
    writer.write(_get("/echo", headers=""))
    await reader.readuntil(b"}")
    assert len(client.server.connections) == 1
    writer.write_eof()
    assert await reader.read() == b""
    writer.close()
    await writer.wait_closed()
    assert not client.server.connections


async def test_a_body_is_read_and_dropped(client: _Client) -> None:
    request = _get("/change?x=1", "POST", "content-length: 5\r\nconnection: close\r\n") + b"hello"
    assert _body(await client.ask(request)) == b"POST /change {'x': '1'}"


async def test_expect_continue_is_answered_first(client: _Client) -> None:
    reader, writer = await client.connect()
    writer.write(
        _get("/change", "POST", "content-length: 5\r\nexpect: 100-continue\r\nconnection: close\r\n")
    )
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100 ")
    writer.write(b"hello")
    assert _status(await reader.read()) == 200
    writer.close()


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (_get("/nowhere"), 404),
        (_get("http://[broken/echo"), 404),
        (_get("/change"), 405),
        (_get("/echo", "POST", "content-length: 0\r\nconnection: close\r\n"), 405),
        (_get("/echo", "DELETE"), 405),
        (_get("/fail"), 500),
        (b"nonsense\r\n\r\n", 400),
        (b"GET /echo HTTP/1.1\r\n\r\n", 400),
        (f"GET /echo HTTP/1.1\r\nx: {'y' * 2000}".encode(), 431),
        (_get("/change", "POST", "content-length: 3000\r\n") + b"x" * 3000, 413),
    ],
)
async def test_what_cannot_be_served_is_answered_with_its_status(
    client: _Client, request_: bytes, status: int
) -> None:
    assert _status(await client.ask(request_)) == status


def test_it_serves_on_the_event_loop_of_the_data_path() -> None:
    async def ask() -> bytes:
        client = _Client()
        client.port = await client.server.start("127.0.0.1", 0)
        try:
            return await client.ask(_get("/slices"))
        finally:
            await client.server.close()

    assert _body(uvloop.run(ask())).endswith(b"third\r\n0\r\n\r\n")


async def test_the_wrong_method_is_told_the_right_ones(client: _Client) -> None:
    assert b"\r\nallow: POST\r\n" in (await client.ask(_get("/change"))).replace(b"Allow", b"allow")
    answer = await client.ask(_get("/echo", "PUT", "content-length: 0\r\nconnection: close\r\n"))
    assert b"\r\nallow: GET, HEAD\r\n" in answer.replace(b"Allow", b"allow")


async def test_a_page_that_fails_half_way_is_visibly_cut_and_logged(
    client: _Client, caplog: pytest.LogCaptureFixture
) -> None:
    reader, writer = await client.connect()
    writer.write(_get("/fail-later"))
    assert not (await _read_until_lost(reader)).endswith(b"0\r\n\r\n")
    writer.close()
    assert "failed while it was sent" in caplog.text


async def test_garbage_after_a_complete_exchange_is_refused(client: _Client) -> None:
    reader, writer = await client.connect()
    writer.write(_get("/echo", headers="") + b"garbage\r\n\r\n")
    answer = await reader.read()
    assert answer.count(b"HTTP/1.1 ") == 2
    assert b"HTTP/1.1 400" in answer
    writer.close()


async def test_other_work_is_done_between_slices() -> None:
    turns: list[str] = []

    def body() -> Iterator[str]:
        for _ in range(4):
            turns.append("slice")
            asyncio.get_running_loop().call_soon(turns.append, "other")
            yield "x"

    server = HttpServer({"/": HttpRoute(lambda request: HttpResponse(body()))})
    port = await server.start("127.0.0.1", 0)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(_get("/"))
    await reader.read()
    writer.close()
    await server.close()
    assert turns == ["slice", "other"] * 4


async def test_a_reader_that_takes_nothing_stops_the_page_and_is_given_up() -> None:
    made = 0

    def endless() -> Iterator[str]:
        nonlocal made
        while True:
            made += 1
            yield "x" * 65_536

    limits = HttpServerLimits(stall_timeout=0.05)
    server = HttpServer({"/": HttpRoute(lambda request: HttpResponse(endless()))}, limits=limits)
    port = await server.start("127.0.0.1", 0)
    _, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
    writer.write(_get("/"))
    while server.connections or not made:  # noqa: ASYNC110
        await asyncio.sleep(0.001)
    assert made < 1000, "no more than the socket buffers take"
    writer.close()
    await server.close()


async def test_a_slow_reader_gets_everything() -> None:
    may_end = False
    made = 0

    def body() -> Iterator[str]:
        nonlocal made
        while not may_end:
            made += 65_536
            yield "x" * 65_536

    server = HttpServer({"/": HttpRoute(lambda request: HttpResponse(body()))})
    port = await server.start("127.0.0.1", 0)
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
    writer.write(b"GET / HTTP/1.0\r\n\r\n")
    seen = -1
    while seen != made or not made:
        seen = made
        await asyncio.sleep(0.005)
    may_end = True
    answer = bytearray()
    while data := await reader.read(100_000):
        answer += data
    assert len(_body(bytes(answer))) == made
    writer.close()
    await server.close()


@pytest.mark.parametrize(
    ("limits", "sent"),
    [
        (HttpServerLimits(request_timeout=0.02), b""),
        (HttpServerLimits(request_timeout=0.02), b"GET / HT"),
        (
            HttpServerLimits(request_timeout=0.02),
            b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhe",
        ),
        (HttpServerLimits(idle_timeout=0.02), _get("/", headers="")),
    ],
)
async def test_a_client_that_does_not_go_on_is_closed(limits: HttpServerLimits, sent: bytes) -> None:
    server = HttpServer({}, limits=limits)
    port = await server.start("127.0.0.1", 0)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(sent)
    answer = await _read_until_lost(reader)
    assert answer.startswith(b"HTTP/1.1 404") is (limits.idle_timeout < 1)
    writer.close()
    await server.close()


async def test_who_asks_nothing_gives_way_to_whoever_comes(client: _Client) -> None:
    held = [await client.connect() for _ in range(LIMITS.max_connections)]
    assert _status(await client.ask(_get("/echo"))) == 200
    assert await _read_until_lost(held[0][0]) == b""
    held[1][1].write(_get("/echo"))
    assert _status(await held[1][0].read()) == 200
    for _, writer in held:
        writer.close()


async def test_who_holds_the_most_connections_keeps_nobody_else_out() -> None:
    """All of them being answered, as slow probes are: the other's is answered, one of theirs is not."""
    gate, asked = asyncio.Event(), asyncio.Semaphore(0)

    async def slow() -> None:
        asked.release()
        await gate.wait()

    server = HttpServer({"/slow": HttpRoute(_echo, prepare=slow), "/echo": HttpRoute(_echo)}, limits=LIMITS)
    port = await server.start("127.0.0.1", 0)
    held = []
    for _ in range(LIMITS.max_connections):
        reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=("127.0.0.9", 0))
        writer.write(_get("/slow"))
        held.append((reader, writer))
        await asked.acquire()
    greedy, greedy_writer = await asyncio.open_connection("127.0.0.1", port, local_addr=("127.0.0.9", 0))
    assert await _read_until_lost(greedy) == b""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=("127.0.0.1", 0))
    writer.write(_get("/echo"))
    assert _status(await reader.read()) == 200
    gate.set()
    assert await _read_until_lost(held[0][0]) == b""
    assert _status(await held[1][0].read()) == 200
    for one in (*(writer for _, writer in held), writer, greedy_writer):
        one.close()
    await server.close()


async def test_close_ends_open_connections_and_may_be_repeated(client: _Client) -> None:
    reader, writer = await client.connect()
    writer.write(_get("/echo", headers=""))
    await reader.readuntil(b"}")
    await client.server.close()
    await client.server.close()
    assert not client.server.connections
    writer.close()


@pytest.mark.parametrize(
    ("host", "origin", "status"),
    [
        ("localhost", "", 200),
        ("LOCALHOST:15000", "", 200),
        ("127.0.0.1:15000", "", 200),
        ("[::1]:15000", "", 200),
        ("[::1]", "http://localhost:15000", 200),
        ("localhost", "http://[::1]:15000", 200),
        ("", "", 403),
        ("evil.example", "", 403),
        ("evil.example:15000", "", 403),
        ("localhost.evil.example", "", 403),
        ("10.244.0.7", "", 403),
        ("localhost", "https://evil.example", 403),
        ("localhost", "null", 403),
        ("localhost", "http://[broken", 403),
    ],
)
def test_only_loopback_names_may_ask_a_loopback_page(host: str, origin: str, status: int) -> None:
    server = HttpServer(ROUTES, allowed_hosts=LOOPBACK_HOSTS)
    assert server.respond(HttpRequest("GET", "/echo", {}), host, origin).status == status


async def test_host_and_origin_are_taken_from_the_request() -> None:
    server = HttpServer(ROUTES, allowed_hosts=LOOPBACK_HOSTS)
    port = await server.start("127.0.0.1", 0)
    statuses = []
    for headers in ("host: localhost", "host: evil", "host: localhost\r\norigin: http://evil"):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(f"GET /echo HTTP/1.1\r\n{headers}\r\nconnection: close\r\n\r\n".encode())
        statuses.append(_status(await reader.read()))
        writer.close()
    await server.close()
    assert statuses == [200, 403, 403]


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_everywhere_is_both_families(host: str) -> None:
    server = HttpServer(ROUTES)
    port = await server.start(EVERYWHERE, 0)
    try:
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(b"GET /echo HTTP/1.0\r\n\r\n")
        assert (await reader.read()).startswith(b"HTTP/1.1 200")
        writer.close()
    finally:
        await server.close()


async def test_without_ipv6_everywhere_is_ipv4(monkeypatch: pytest.MonkeyPatch) -> None:
    made = socket.create_server

    def create(address: tuple[str, int], **options: object) -> socket.socket:
        if options:
            raise OSError(errno.EAFNOSUPPORT, "no IPv6 here")
        return made(address)

    monkeypatch.setattr(socket, "create_server", create)
    server = HttpServer(ROUTES)
    port = await server.start(EVERYWHERE, 0)
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.close()
    with pytest.raises(OSError, match="in use"):
        await HttpServer(ROUTES).start(EVERYWHERE, port)
    await server.close()
