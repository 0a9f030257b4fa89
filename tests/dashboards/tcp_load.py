"""Connections to a TCP service at a fixed rate, with a ledger as JSON, until the end of standard input.

`python -m tests.dashboards.tcp_load greeter 9000 --rate 4 --size 2000`: each asks for the name, connects,
sends `size` bytes, half-closes and reads to the end. `[[opened_at, closed_at, sent, received], …]`.
"""

import argparse
import json
import select
import socket
import sys
import time


def converse(host: str, port: int, payload: bytes) -> tuple[float, float, int, int]:
    """One connection. Raises OSError."""
    address = str(socket.getaddrinfo(host, port, socket.AF_INET, socket.SOCK_STREAM)[0][4][0])
    with socket.create_connection((address, port), 10) as connection:
        opened_at = time.monotonic()
        connection.sendall(payload)
        connection.shutdown(socket.SHUT_WR)
        received = 0
        while chunk := connection.recv(65536):
            received += len(chunk)
    return opened_at, time.monotonic(), len(payload), received


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="tcp_load")
    parser.add_argument("host")
    parser.add_argument("port", type=int)
    parser.add_argument("--rate", type=float, required=True)
    parser.add_argument("--size", type=int, required=True)
    given = parser.parse_args()
    records: list[tuple[float, float, int, int]] = []
    due_at = time.monotonic()
    print("started", file=sys.stderr, flush=True)
    while not select.select([sys.stdin], [], [], max(0.0, due_at - time.monotonic()))[0]:
        records.append(converse(given.host, given.port, b"x" * given.size))
        due_at += 1 / given.rate
    json.dump(records, sys.stdout)


if __name__ == "__main__":
    main()
