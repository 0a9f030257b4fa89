"""Where a redirected connection wanted to go: SO_ORIGINAL_DST, asked of conntrack."""

import errno
import socket
import struct
from ipaddress import IPv6Address
from typing import Protocol

SO_ORIGINAL_DST = 80  # linux/netfilter_ipv4.h; IP6T_SO_ORIGINAL_DST has the same number

_SOCKADDR_IN_SIZE = 16
_SOCKADDR_IN6_SIZE = 28
_UNKNOWN = {errno.ENOENT, errno.ENOPROTOOPT, errno.EOPNOTSUPP}
"""No conntrack entry, no conntrack, not an IP socket."""


class ConnectedSocket(Protocol):
    """What is asked here of a socket; asyncio's transports hand out more than one type."""

    @property
    def family(self) -> int: ...
    def getpeername(self) -> object: ...
    def getsockopt(self, level: int, option: int, size: int, /) -> bytes: ...


def original_destination(connection: ConnectedSocket) -> tuple[str, int] | None:
    """(address, port) that the client dialled, or None when the kernel does not know.

    A connection that was not redirected answers with the socket's own address: to a listener that is only
    reached by redirection this means that somebody dialled it directly. An IPv4 client of a dual-stack
    socket is answered with an IPv4 address. Raises OSError when the socket is not connected any more.
    """
    try:
        if connection.family == socket.AF_INET6 and not _is_v4_mapped(connection):
            return _parse_v6(connection.getsockopt(socket.IPPROTO_IPV6, SO_ORIGINAL_DST, _SOCKADDR_IN6_SIZE))
        return _parse_v4(connection.getsockopt(socket.SOL_IP, SO_ORIGINAL_DST, _SOCKADDR_IN_SIZE))
    except OSError as error:
        if error.errno in _UNKNOWN:
            return None
        raise


def _is_v4_mapped(connection: ConnectedSocket) -> bool:
    peer = connection.getpeername()
    return isinstance(peer, tuple) and IPv6Address(peer[0].partition("%")[0]).ipv4_mapped is not None


def _parse_v4(raw: bytes) -> tuple[str, int]:
    """struct sockaddr_in: family, port, address."""
    port, address = struct.unpack_from("!2xH4s", raw)
    return socket.inet_ntop(socket.AF_INET, address), port


def _parse_v6(raw: bytes) -> tuple[str, int]:
    """struct sockaddr_in6: family, port, flow label, address, scope."""
    port, address = struct.unpack_from("!2xH4x16s", raw)
    return socket.inet_ntop(socket.AF_INET6, address), port
