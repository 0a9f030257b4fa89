"""The DNS servers that a resolv.conf names (pure)."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Final

MAX_SERVERS: Final = 3
"""resolv.conf(5): MAXNS; resolvers read no more."""


def nameservers(text: str) -> tuple[str, ...]:
    """Addresses in order, each once; a line that holds none is skipped, as resolvers do."""
    found = []
    for line in text.splitlines():
        keyword, *words = line.split() or [""]
        if keyword == "nameserver" and words and _is_address(words[0]):
            found.append(words[0])
    return tuple(dict.fromkeys(found[:MAX_SERVERS]))


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
