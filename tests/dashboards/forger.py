"""Asks for certificates with a token that is none, at a fixed rate, until the end of standard input.

`python -m tests.dashboards.forger ADDRESS ROOT_PEM --rate 2`; the ledger: `[[refused_at, what], …]`, times by
CLOCK_MONOTONIC.
"""

import argparse
import asyncio
import json
import os
import sys
import time

from certs.csr import create_csr, generate_key
from certs.spiffe_id import SpiffeId, TrustDomain
from meshproxy.errors import UpstreamError
from meshproxy.identity.signing_client import GrpcSigningClient


async def forge(address: str, root_pem: bytes, rate: float) -> list[tuple[float, str]]:
    """Until there is no more input."""
    client = GrpcSigningClient(address, address)
    csr = create_csr(generate_key(), SpiffeId.for_workload(TrustDomain("cluster.local"), "shop", "web"))
    over = asyncio.Event()

    def on_input() -> None:
        if not os.read(sys.stdin.fileno(), 1):
            asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
            over.set()

    asyncio.get_running_loop().add_reader(sys.stdin.fileno(), on_input)
    records = []
    while not over.is_set():
        due_at = time.monotonic() + 1 / rate
        try:
            await client.bootstrap(csr, token="forged", root_pem=root_pem)
            records.append((time.monotonic(), "a certificate"))
        except UpstreamError as error:
            records.append((time.monotonic(), str(error)))
        await asyncio.sleep(due_at - time.monotonic())
    return records


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="forger")
    parser.add_argument("address")
    parser.add_argument("root_pem")
    parser.add_argument("--rate", type=float, required=True)
    given = parser.parse_args()
    json.dump(asyncio.run(forge(given.address, given.root_pem.encode(), given.rate)), sys.stdout)


if __name__ == "__main__":
    main()
