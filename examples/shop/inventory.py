"""inventory: how many of a product are left, and reservations.

`GET /stock/<product>`, `POST /reservations` with `{"id": …}`, `GET /ledger`, `GET /healthz`.
"""

import argparse
import asyncio
import json

from examples.shop.http_message import Request, Response
from examples.shop.http_server import json_response, serve
from examples.shop.order_ledger import OrderLedger

_FULL = 100


class Inventory:
    """The program's state: reservations made."""

    def __init__(self) -> None:
        self._ledger = OrderLedger()

    def handle(self, request: Request) -> Response:
        """Answer one request."""
        if request.target.startswith("/stock/"):
            product = request.target.removeprefix("/stock/")
            return json_response(200, {"product": product, "left": _FULL - len(product)})
        if request.target == "/reservations" and request.method == "POST":
            order = json.loads(request.body)
            self._ledger.record(order["id"])
            return json_response(201, {"reserved": order["id"], "note": order.get("note", "")})
        if request.target == "/ledger":
            return json_response(200, self._ledger.counts())
        if request.target == "/healthz":
            return Response(200, b"ok\n")
        return json_response(404, {"error": f"no page {request.target}"})


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="inventory")
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--drain", type=float, default=0.0, help="seconds to go on after SIGTERM")
    given = parser.parse_args()
    asyncio.run(serve(Inventory().handle, given.port, given.drain))


if __name__ == "__main__":
    main()
