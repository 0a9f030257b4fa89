"""greeter: a TCP service that speaks first: a banner, then an echo, a last line after the client's FIN."""

import argparse
import asyncio
import signal
import socket


def banner() -> bytes:
    """The first line, before the client has said anything."""
    return f"hello from {socket.gethostname()}\r\n".encode()


class Greeter(asyncio.Protocol):
    """One client. A client that does not read is not read from."""

    def __init__(self) -> None:
        self._echoed = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(banner())

    def data_received(self, data: bytes) -> None:
        self._echoed += len(data)
        self._transport.write(data)

    def eof_received(self) -> bool:
        # The client has said everything and still listens: the last line goes to its open half.
        self._transport.write(f"goodbye, {self._echoed} bytes\r\n".encode())
        self._transport.close()  # after what is buffered
        return True

    def pause_writing(self) -> None:
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._transport.resume_reading()


async def serve(port: int) -> None:
    """Until SIGTERM."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    server = await asyncio.get_running_loop().create_server(Greeter, "0.0.0.0", port)
    await stop.wait()
    server.close()


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="greeter")
    parser.add_argument("--port", type=int, default=9000)
    asyncio.run(serve(parser.parse_args().port))


if __name__ == "__main__":
    main()
