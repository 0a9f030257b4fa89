"""`python -m injector`: the admission webhook as a process."""

import asyncio
import contextlib
import logging
import signal
import socket
import sys
from collections.abc import Sequence

from certs.errors import KeyStoreError
from control_plane.kubeconfig import KubeconfigError
from injector.options import Options, parse_options
from injector.process import Injector

_BACKLOG = 1024
_log = logging.getLogger("injector")


async def _serve(options: Options) -> None:
    stop = asyncio.get_running_loop().create_future()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, _set, stop)
    starting = asyncio.ensure_future(Injector.start(options, _listener(options)))
    await asyncio.wait({starting, stop}, return_when=asyncio.FIRST_COMPLETED)
    if not starting.done():
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
        return
    injector = starting.result()
    try:
        await asyncio.wait({stop, injector.failure}, return_when=asyncio.FIRST_COMPLETED)
        if injector.failure.done():
            injector.failure.result()
    finally:
        await injector.stop()


def _listener(options: Options) -> socket.socket:
    if options.listen_fd is not None:
        return socket.socket(fileno=options.listen_fd)
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    return socket.create_server((options.host, options.port), family=family, backlog=_BACKLOG)


def _set(stop: "asyncio.Future[None]") -> None:
    if not stop.done():
        stop.set_result(None)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until SIGTERM; returns the exit status."""
    options = parse_options(sys.argv[1:] if arguments is None else arguments)
    logging.basicConfig(level=options.log_level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    try:
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(_serve(options))
    except (KeyStoreError, KubeconfigError, OSError) as error:
        _log.error("cannot start: %s", error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
