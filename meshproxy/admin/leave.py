"""`python -m meshproxy.admin.leave`: the sidecar's preStop hook. [1]

A native sidecar is told to end only when the app has ended. Clients without a sidecar keep their connections
to it until then, and would find the app gone behind them. So the hook, which runs when the pod begins to end,
has the sidecar end connections one by one while the app still serves. Ends with 1 and the reason otherwise.
"""

import http.client
import sys
from typing import Final

_ADMIN_PORT: Final = 15000
"""Of every injected sidecar."""
_TIMEOUT: Final = 3.0
"""Seconds; the pod's end waits for the hook."""


def leave(port: int) -> None:
    """Have the sidecar whose admin port this is begin. Raises OSError."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_TIMEOUT)
    try:
        connection.request("POST", "/drain?skip_exit=true")
        status = connection.getresponse().status
    except http.client.HTTPException as error:
        raise ConnectionError(f"{type(error).__name__}: {error}") from error
    finally:
        connection.close()
    if status != http.client.OK:
        raise ConnectionError(f"the answer is {status}")


def main() -> int:
    """Exit status."""
    try:
        leave(_ADMIN_PORT)
    except OSError as error:
        print(f"sidecar at port {_ADMIN_PORT}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
