"""One request to a proxy on loopback, and what comes back."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from tests.unit.meshproxy.proxy.test_http_proxy import exchange


@dataclass(frozen=True)
class Answer:
    status: str
    fields: list[str]
    """Field lines, names in lower case."""
    body: str


async def ask(port: int, target: str, *lines: str, method: str = "GET") -> Answer:
    """On a connection of its own."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    request = "\r\n".join((f"{method} {target} HTTP/1.1", "host: a", *lines, "", ""))
    try:
        data = (await exchange(reader, writer, request.encode())).decode()
    finally:
        writer.close()
    head, _, body = data.partition("\r\n\r\n")
    start, *fields = head.split("\r\n")
    named = [field.partition(":") for field in fields]
    return Answer(start.split(" ")[1], [f"{name.lower()}:{value}" for name, _, value in named], body)
