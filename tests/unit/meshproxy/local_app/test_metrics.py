"""The app's metrics behind ours, from an app on a real loopback socket."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from prometheus_client.parser import text_string_to_metric_families

from meshproxy.errors import ConfigError
from meshproxy.local_app.metrics import AppMetrics, MetricsPlace, parse_metrics, text_slices

POD = "127.0.0.1"


@asynccontextmanager
async def app(answer: bytes, asked: list[str]) -> AsyncIterator[AppMetrics]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append((await reader.readuntil(b"\r\n\r\n")).decode())
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(serve, POD, 0)
    try:
        yield AppMetrics(POD, MetricsPlace(server.sockets[0].getsockname()[1], "/m"))
    finally:
        server.close()
        await server.wait_closed()


def answer(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def values(text: str) -> dict[str, float]:
    return {
        sample.name: sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def test_what_the_app_shows_is_passed_on() -> None:
    asked: list[str] = []
    async with app(
        answer(b"# TYPE orders_total counter\norders_total 7", "Content-Type: text/plain"), asked
    ) as metrics:
        text = await metrics.scrape()
    assert values(text) == {"meshproxy_app_scrape_up": 1.0, "orders_total": 7.0}
    assert asked[0].startswith("GET /m HTTP/1.1\r\n")
    assert "Accept: text/plain;version=0.0.4" in asked[0]
    assert "".join(text_slices(text)) == text


async def test_scrapes_at_one_time_ask_the_app_once() -> None:
    asked: list[str] = []
    async with app(answer(b"a 1\n"), asked) as metrics:
        first, second = await asyncio.gather(metrics.scrape(), metrics.scrape())
        assert first == second
        assert len(asked) == 1
        await metrics.scrape()
    assert len(asked) == 2


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (answer(b"", status="404 Not Found"), "status 404"),
        (answer(b"<html>", "Content-Type: text/html; charset=utf-8"), "'text/html' is not text/plain"),
        (answer(b"# EOF\n", "Content-Type: application/openmetrics-text"), "is not text/plain"),
        (answer(b"\xff\xfe"), "not UTF-8"),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 9000000\r\n\r\n" + b"#" * 8_400_000,
            "longer than 8388608 bytes",
        ),
        (b"", "127.0.0.1:"),
    ],
)
async def test_an_app_that_shows_none_is_counted(
    made: bytes, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with app(made, []) as metrics:
        assert values(await metrics.scrape()) == {"meshproxy_app_scrape_up": 0.0}
        await metrics.scrape()
    assert reason in caplog.text
    assert len(caplog.records) == 1


def test_where_they_are_is_read() -> None:
    assert parse_metrics(" ") is None
    assert parse_metrics('{"port": 80}') == MetricsPlace(80)
    assert parse_metrics('{"port": 80, "path": "/m?x=1", "scheme": "https"}') == MetricsPlace(
        80, "/m?x=1", True
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not"),
        ("[1]", "is not"),
        ("{}", "is not"),
        ('{"port": 80, "host": "x"}', "unknown field 'host'"),
        ('{"port": "80"}', "port '80': give a number"),
        ('{"port": 80, "scheme": "ftp"}', "scheme 'ftp'"),
    ],
)
def test_what_is_wrong_is_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_metrics(text)
