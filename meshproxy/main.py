"""The sidecar from its command line to its end."""

from __future__ import annotations

import logging
import os
import sys

import uvloop

from meshproxy import bootstrap as bootstrap_flags
from meshproxy._speedups.finder import Speedups
from meshproxy.app import Sidecar
from meshproxy.bootstrap import Bootstrap
from meshproxy.errors import ConfigError
from meshproxy.memory import collect_only_what_is_new, tune_allocator
from meshproxy.transport.connection_limit import raise_file_limit

_log = logging.getLogger(__name__)


async def _run(bootstrap: Bootstrap, speedups: Speedups) -> None:
    await Sidecar(bootstrap, speedups).run()


def main(speedups: Speedups) -> int:
    """Exit status: 0 after a drain, 2 for flags that cannot be."""
    try:
        bootstrap = bootstrap_flags.parse(sys.argv[1:], os.environ)
    except ConfigError as error:
        print(f"meshproxy: {error}", file=sys.stderr)
        return 2
    logging.basicConfig(
        level=bootstrap.log_level.upper(),
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
    )
    _log.log(
        logging.WARNING if speedups is Speedups.OUTDATED else logging.INFO,
        "compiled data path: %s",
        speedups.value,
    )
    tune_allocator()
    collect_only_what_is_new()
    raise_file_limit()
    uvloop.run(_run(bootstrap, speedups))
    return 0
