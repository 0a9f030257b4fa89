"""web: the page of the shop. It calls `http://catalog:8080/…` in plain HTTP and knows nothing else.

`GET /` shows product 1, `POST /orders` passes an order on, `GET /healthz`.
"""

import argparse
import asyncio
from collections.abc import Awaitable

from examples.shop.http_client import HttpClient, RequestFailed
from examples.shop.http_message import Request, Response
from examples.shop.http_server import json_response, serve

_PASSED_ON = ("x-version", "content-type")


class Web:
    """The program's state: its client of catalog."""

    def __init__(self, catalog: HttpClient) -> None:
        self._catalog = catalog

    def handle(self, request: Request) -> Response | Awaitable[Response]:
        """Answer one request."""
        if request.target == "/":
            return self._call(Request("GET", "/products/1"))
        if request.target == "/orders" and request.method == "POST":
            headers = {"content-type": "application/json"}
            return self._call(Request("POST", "/orders", headers, request.body))
        if request.target == "/healthz":
            return Response(200, b"ok\n")
        return json_response(404, {"error": f"no page {request.target}"})

    async def _call(self, request: Request) -> Response:
        try:
            answer = await self._catalog.send(request)
        except RequestFailed as error:
            return json_response(502, {"error": f"catalog: {error}"})
        headers = {name: answer.headers[name] for name in _PASSED_ON if name in answer.headers}
        return Response(answer.status, answer.body, headers)


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="web")
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--catalog", default="http://catalog:8080")
    parser.add_argument("--drain", type=float, default=0.0, help="seconds to go on after SIGTERM")
    given = parser.parse_args()
    asyncio.run(serve(Web(HttpClient(given.catalog)).handle, given.port, given.drain))


if __name__ == "__main__":
    main()
