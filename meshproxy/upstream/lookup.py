"""Asking the machine's resolver for the addresses of a name. [6]"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterable

from meshproxy.config.dns import LookupFamily


async def look_up(name: str) -> list[str]:
    """Its addresses, as the machine's resolver orders them. Raises OSError."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


def of_family(addresses: Iterable[str], family: LookupFamily) -> list[str]:
    """Those that are wanted."""
    known = list(addresses)
    four = [address for address in known if ":" not in address]
    six = [address for address in known if ":" in address]
    match family:
        case LookupFamily.V4_ONLY:
            return four
        case LookupFamily.V6_ONLY:
            return six
        case LookupFamily.V4_PREFERRED:
            return four or six
        case LookupFamily.AUTO:
            return six or four
        case LookupFamily.ALL:
            return known
