"""catalog: what the shop sells, in two versions; asks inventory for stock and places orders there.

`GET /products` (its own knowledge), `GET /products/<id>` (with the stock from inventory), `POST /orders` with
`{"id": …, "note": …}`, `GET /ledger`, `GET /healthz`. Every answer says its version in `x-version`.
"""

import argparse
import asyncio
import json
from collections.abc import Awaitable
from pathlib import Path

from examples.shop.http_client import HttpClient, RequestFailed
from examples.shop.http_message import Request, Response
from examples.shop.http_server import json_response, serve
from examples.shop.order_ledger import OrderLedger

_PRODUCTS = {str(number): f"product {number}" for number in range(1, 11)}


class Catalog:
    """The program's state."""

    def __init__(self, version: str, inventory: HttpClient, ledger: OrderLedger) -> None:
        self._version = version
        self._inventory = inventory
        self._ledger = ledger

    def handle(self, request: Request) -> Response | Awaitable[Response]:
        """Answer one request; what needs inventory is awaited."""
        target = request.target
        if target == "/products":
            return self._answer(200, {"version": self._version, "products": list(_PRODUCTS.values())})
        if target.startswith("/products/"):
            product = target.removeprefix("/products/")
            if product not in _PRODUCTS:
                return self._answer(404, {"error": f"no product {product}"})
            return self._product(product)
        if target == "/orders" and request.method == "POST":
            return self._order(request.body)
        if target == "/ledger":
            return self._answer(200, self._ledger.counts())
        if target == "/healthz":
            return Response(200, b"ok\n")
        return self._answer(404, {"error": f"no page {target}"})

    async def _product(self, product: str) -> Response:
        try:
            stock = await self._inventory.get(f"/stock/{product}")
        except RequestFailed as error:
            return self._answer(502, {"error": f"inventory: {error}"})
        if stock.status != 200:
            return self._answer(502, {"error": f"inventory answered {stock.status}"})
        left = json.loads(stock.body)["left"]
        return self._answer(200, {"version": self._version, "name": _PRODUCTS[product], "left": left})

    async def _order(self, body: bytes) -> Response:
        order = json.loads(body)
        times = self._ledger.record(order["id"])
        reservation = Request("POST", "/reservations", {"content-type": "application/json"}, body)
        try:
            reserved = await self._inventory.send(reservation)
        except RequestFailed as error:
            return self._answer(502, {"error": f"inventory: {error}"})
        note = order.get("note", "")
        content = {"version": self._version, "id": order["id"], "times": times, "note": note}
        return self._answer(reserved.status, content)

    def _answer(self, status: int, content: object) -> Response:
        return json_response(status, content, **{"x-version": self._version})


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="catalog")
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--version", required=True)
    parser.add_argument("--inventory", default="http://inventory:8080")
    parser.add_argument("--ledger", type=Path, help="file that outlives the process")
    parser.add_argument("--drain", type=float, default=0.0, help="seconds to go on after SIGTERM")
    given = parser.parse_args()
    catalog = Catalog(given.version, HttpClient(given.inventory), OrderLedger(given.ledger))
    asyncio.run(serve(catalog.handle, given.port, given.drain))


if __name__ == "__main__":
    main()
