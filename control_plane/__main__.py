"""`python -m control_plane`: flags, logging, signals; the only place that ends the process."""

import asyncio
import logging
import signal
import sys

from certs.errors import CertificateError
from control_plane.app import ControlPlane
from control_plane.collection import collect_only_what_is_new
from control_plane.kubeconfig import KubeconfigError
from control_plane.options import Options, parse_options
from control_plane.store.database import DatabaseError


async def serve(options: Options) -> None:
    """Run until SIGTERM or SIGINT."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    control_plane = await ControlPlane.start(options)
    stop = asyncio.ensure_future(stopping.wait())
    try:
        await asyncio.wait((stop, control_plane.failure), return_when=asyncio.FIRST_COMPLETED)
        logging.getLogger("control_plane").info("stopping")
    finally:
        stop.cancel()
        await control_plane.stop()
    if control_plane.failure.done():
        control_plane.failure.result()


def main() -> int:
    options = parse_options(sys.argv[1:])
    logging.basicConfig(level=options.log_level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    collect_only_what_is_new()
    try:
        asyncio.run(serve(options))
    except (OSError, CertificateError, DatabaseError, KubeconfigError) as error:
        print(f"control plane: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
