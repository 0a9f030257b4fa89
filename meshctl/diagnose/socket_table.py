"""The kernel's list of listening TCP sockets, as in `/proc/<pid>/net/tcp` and `tcp6` (pure)."""

import socket
import struct

from meshctl.diagnose.facts import Listening

_LISTEN = "0A"  # TCP_LISTEN in include/net/tcp_states.h
_WORDS = {8: (socket.AF_INET, 1), 32: (socket.AF_INET6, 4)}


def listening(table: str) -> tuple[Listening, ...]:
    """Of either file, in its order, each address and port once."""
    found = []
    for line in table.splitlines()[1:]:
        columns = line.split()
        if len(columns) > 3 and columns[3] == _LISTEN:
            address, _, port = columns[1].partition(":")
            found.append(Listening(_address(address), int(port, 16)))
    return tuple(dict.fromkeys(found))


def _address(digits: str) -> str:
    """Each 32-bit word is in the machine's byte order."""
    family, count = _WORDS[len(digits)]
    words = [int(digits[8 * i : 8 * i + 8], 16) for i in range(count)]
    text = socket.inet_ntop(family, struct.pack(f"={count}I", *words))
    return text.removeprefix("::ffff:") if "." in text else text
