"""The shop's programs on loopback: web → catalog → inventory, the greeter, the load generator."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from examples.shop.catalog import Catalog
from examples.shop.greeter import Greeter, banner
from examples.shop.http_client import HttpClient, RequestFailed
from examples.shop.http_message import Request, Response
from examples.shop.http_server import Handler, HttpServer
from examples.shop.inventory import Inventory
from examples.shop.load import Ledger, Load, LoadSettings, Target, summary
from examples.shop.order_ledger import OrderLedger
from examples.shop.web import Web


@asynccontextmanager
async def served(handler: Handler) -> AsyncIterator[str]:
    server = HttpServer(handler)
    listener = await server.listen("127.0.0.1", 0)
    host, port = listener.sockets[0].getsockname()
    try:
        yield f"http://{host}:{port}"
    finally:
        listener.close()
        await server.stop()


@asynccontextmanager
async def client(url: str) -> AsyncIterator[HttpClient]:
    made = HttpClient(url, 5.0)
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
async def shop() -> AsyncIterator[tuple[HttpClient, HttpClient]]:
    """Clients of web and of inventory."""
    async with AsyncExitStack() as stack:
        inventory = await stack.enter_async_context(served(Inventory().handle))
        to_inventory = await stack.enter_async_context(client(inventory))
        catalog = await stack.enter_async_context(served(Catalog("v1", to_inventory, OrderLedger()).handle))
        to_catalog = await stack.enter_async_context(client(catalog))
        web = await stack.enter_async_context(served(Web(to_catalog).handle))
        yield await stack.enter_async_context(client(web)), to_inventory


async def test_a_page_passes_all_three(shop: tuple[HttpClient, HttpClient]):
    web, _ = shop
    page = await web.get("/")
    assert (page.status, page.headers["x-version"]) == (200, "v1")
    assert json.loads(page.body) == {"version": "v1", "name": "product 1", "left": 99}
    assert (await web.get("/healthz")).status == 200
    assert (await web.get("/nowhere")).status == 404


async def test_an_order_is_counted_where_it_is_processed(shop: tuple[HttpClient, HttpClient]):
    web, inventory = shop
    body = json.dumps({"id": "a", "note": "please"}).encode()
    for times in (1, 2):
        answer = await web.send(Request("POST", "/orders", body=body))
        assert answer.status == 201
        assert json.loads(answer.body)["times"] == times
    assert json.loads((await inventory.get("/ledger")).body) == {"a": 2}


async def test_catalog_answers_for_itself_and_says_what_fails():
    gone = HttpClient("http://127.0.0.1:1", 5.0)
    async with served(Catalog("v2", gone, OrderLedger()).handle) as url, client(url) as catalog:
        assert json.loads((await catalog.get("/products")).body)["version"] == "v2"
        assert (await catalog.get("/products/none")).status == 404
        assert (await catalog.get("/products/1")).status == 502
        assert (await catalog.send(Request("POST", "/orders", body=b'{"id": "a"}'))).status == 502
        assert json.loads((await catalog.get("/ledger")).body) == {"a": 1}
        assert (await catalog.send(Request("POST", "/orders", body=b"nonsense"))).status == 500


def test_a_ledger_with_a_file_outlives_its_process(tmp_path: Path):
    first = OrderLedger(tmp_path / "orders")
    assert [first.record("a"), first.record("b"), first.record("a")] == [1, 1, 2]
    assert OrderLedger(tmp_path / "orders").counts() == {"a": 2, "b": 1}
    with pytest.raises(ValueError, match="one non-empty line"):
        first.record("a\nb")


async def test_a_connection_is_used_again_and_a_closed_one_is_not():
    seen: list[str] = []

    def handle(request: Request) -> Response:
        seen.append(request.headers.get("connection", ""))
        return Response(200)

    async with served(handle) as url, client(url) as http:
        await http.get("/")
        await http.get("/")
        assert len(http._idle) == 1
        await http.send(Request("GET", "/", {"connection": "close"}))
        assert http._idle == []
    assert seen == ["", "", "close"]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [(b"", "connection closed before a response"), (b"hello\r\n\r\n", "MessageError")],
)
async def test_a_server_that_hangs_up_or_talks_nonsense_is_a_reason(answer: bytes, reason: str):
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    with pytest.raises(RequestFailed, match=reason):
        await HttpClient(f"http://{host}:{port}", 5.0).get("/")
    server.close()


async def test_a_server_that_is_not_there_is_a_reason():
    with pytest.raises(RequestFailed, match="Connection"):
        await HttpClient("http://127.0.0.1:1", 5.0).get("/")


async def test_what_is_no_request_is_answered_400():
    async with served(lambda request: Response(200)) as url:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
        writer.write(b"nonsense\r\n\r\n")
        assert (await reader.read()).startswith(b"HTTP/1.1 400 ")
        writer.close()


async def test_the_greeter_speaks_first_echoes_and_has_the_last_word():
    server = await asyncio.get_running_loop().create_server(Greeter, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    assert await reader.readline() == banner()
    writer.write(b"x" * 100_000)
    writer.write_eof()
    assert await reader.readexactly(100_000) == b"x" * 100_000
    assert await reader.read() == b"goodbye, 100000 bytes\r\n"
    writer.close()
    server.close()


def settings(url: str, **changes: float) -> LoadSettings:
    targets = [Target.parse(f"GET {url}/products"), Target.parse(f"POST {url}/orders")]
    given = {"rate": 0.0, "connections": 2, "duration": 30.0, "limit": 10, "timeout": 5.0, **changes}
    return LoadSettings(targets, note="n", **given)  # type: ignore[arg-type]


@pytest.mark.parametrize("rate", [0.0, 2000.0])
async def test_a_load_accounts_for_every_request(rate: float):
    async with (
        served(Inventory().handle) as inventory,
        client(inventory) as stock,
        served(Catalog("v1", stock, OrderLedger()).handle) as url,
    ):
        load = Load(settings(url, rate=rate))
        await load.run()
        orders = json.loads((await stock.get("/ledger")).body)
    records = sorted(load.ledger.records)
    assert [(record[0], record[1], record[4], record[5]) for record in records] == [
        (number, number % 2, 201 if number % 2 else 200, "v1") for number in range(10)
    ]
    assert orders == {f"{load.ledger.run}-{number}": 1 for number in range(1, 10, 2)}
    if rate:
        dues = [record[2] for record in records]
        assert dues[9] - dues[0] == pytest.approx(9 / rate)


async def test_a_load_tells_failures_and_stops_when_told():
    load = Load(settings("http://127.0.0.1:1", limit=0, rate=1000.0))
    running = asyncio.ensure_future(load.run())
    while not load.ledger.records:  # noqa: ASYNC110
        await asyncio.sleep(0.001)
    load.stop()
    await asyncio.wait_for(running, 30)
    assert load.ledger.records[0][4] == 0
    assert "Connection" in load.ledger.records[0][6]


def test_a_request_that_cannot_be_sent_is_refused():
    with pytest.raises(ValueError, match="must be 'METHOD http"):
        Target.parse("http://catalog:8080/")
    with pytest.raises(ValueError, match="must be http"):
        HttpClient("https://catalog")


def test_a_ledger_is_summed_up_by_how_requests_ended():
    ledger = Ledger(records=[(0, 0, 0.0, 1.0, 200, "v1", ""), (1, 0, 0.0, 1.0, 200, "v1", "")])
    ledger.records.append((2, 0, 0.0, 1.0, 0, "", "refused"))
    assert summary(ledger).split("\n") == ["     3 requests", "     1 0 refused", "     2 200 v1"]
