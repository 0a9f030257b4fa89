"""A line-wise TCP client: prints what the server says first, then sends each line of its input.

`python -m examples.shop.talk greeter 9000`. After each line sent it prints the line that came back; at the
end of its input it half-closes and prints what the server says last. Ends with 1 when the connection breaks.
"""

import argparse
import socket
import sys


def talk(host: str, port: int, timeout: float) -> None:
    """Raises OSError."""
    with socket.create_connection((host, port), timeout) as connection, connection.makefile("rb") as answers:
        _show(answers.readline())
        for line in sys.stdin.buffer:
            connection.sendall(line)
            _show(answers.readline())
        connection.shutdown(socket.SHUT_WR)
        _show(answers.read())


def _show(answer: bytes) -> None:
    if not answer:
        raise ConnectionError("the server closed the connection")
    sys.stdout.buffer.write(answer)
    sys.stdout.buffer.flush()


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="talk")
    parser.add_argument("host")
    parser.add_argument("port", type=int)
    parser.add_argument("--timeout", type=float, default=10.0, help="seconds to wait for an answer")
    given = parser.parse_args()
    try:
        talk(given.host, given.port, given.timeout)
    except OSError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
