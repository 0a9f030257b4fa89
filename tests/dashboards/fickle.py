"""An HTTP server whose failures are known: `python -m tests.dashboards.fickle --port 8080`.

Every answer has 1,000 bytes. `/unsteady` fails every fourth time with 503; `/slow` takes 120 ms; `/broken`
answers 500, `/down` 503; the rest is well. `GET /ledger` says what was answered, times by CLOCK_MONOTONIC:
`[[finished_at, path, status], …]`. `/metrics` has what every program's library shows: its process's memory.
"""

import argparse
import asyncio
import time

from examples.shop.http_message import Request, Response
from examples.shop.http_server import json_response, serve

SLOWNESS = 0.12
BODY = b"x" * 1000
OWN_MEMORY = 123456
METRICS = f"""# HELP process_resident_memory_bytes Of the program.
# TYPE process_resident_memory_bytes gauge
process_resident_memory_bytes {OWN_MEMORY}
""".encode()
_FIXED = {"/broken": 500, "/down": 503}


class Fickle:
    """The program's state: what it has answered."""

    def __init__(self) -> None:
        self._records: list[tuple[float, str, int]] = []
        self._unsteady = 0

    async def handle(self, request: Request) -> Response:
        """Answer, and write it down."""
        if request.target == "/ledger":
            return json_response(200, self._records)
        if request.target == "/metrics":
            return Response(200, METRICS, {"content-type": "text/plain; version=0.0.4"})
        if request.target == "/healthz":
            return Response(200, b"ok\n")
        status = _FIXED.get(request.target, 200)
        if request.target == "/slow":
            await asyncio.sleep(SLOWNESS)
        if request.target == "/unsteady":
            self._unsteady += 1
            status = 503 if self._unsteady % 4 == 0 else 200
        self._records.append((time.monotonic(), request.target, status))
        return Response(status, BODY)


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="fickle")
    parser.add_argument("--port", type=int, default=8080)
    asyncio.run(serve(Fickle().handle, parser.parse_args().port))


if __name__ == "__main__":
    main()
