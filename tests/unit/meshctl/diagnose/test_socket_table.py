"""Listening sockets from the kernel's tables."""

import socket

from meshctl.diagnose.facts import Listening
from meshctl.diagnose.socket_table import listening

HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"


def test_only_listening_sockets_count() -> None:
    table = (
        f"{HEAD}   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1337 0 1\n"
        "   1: 0500F40A:1F90 0700F40A:D431 01 00000000:00000000 00:00000000 00000000  1337 0 2\n"
        "   2: 00000000:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1337 0 3\n"
        "   3: 00000000:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1337 0 4\n"
        "   4: short\n"
    )
    assert listening(table) == (Listening("127.0.0.1", 8080), Listening("0.0.0.0", 80))


def test_ipv6_too() -> None:
    table = (
        f"{HEAD}   0: 00000000000000000000000001000000:1F90 0 0A 0\n"
        "   1: 0000000000000000FFFF00000100007F:1F91 0 0A 0\n"
        "   2: 00000000000000000000000000000000:1F92 0 0A 0\n"
    )
    assert listening(table) == (Listening("::1", 8080), Listening("127.0.0.1", 8081), Listening("::", 8082))


def test_a_socket_of_this_process_is_found() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with open("/proc/self/net/tcp") as table:
            assert Listening("127.0.0.1", port) in listening(table.read())
