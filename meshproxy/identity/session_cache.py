"""Bounding what a server context remembers of TLS sessions, so that it may remember them at all.

A TLS 1.3 server either seals a session into the ticket that it sends or keeps the session and sends its
number (RFC 8446 section 4.6.1). OpenSSL 3.0 writes and parses the client's certificate anew for each ticket:
a resumed handshake takes 400 µs of a server's CPU with sealed tickets and 155 with kept sessions. But it
keeps 20,480 of them, 12 KB each after a full handshake, and Python's `ssl` cannot ask for less; OpenSSL's own
function can. It is reached by the address inside the context object, which is looked at only in the versions
of CPython where its place is known. Everywhere else tickets stay sealed.
"""

from __future__ import annotations

import ctypes
import functools
import importlib.util
import ssl
import sys
from typing import Final

MAX_SESSIONS: Final = 1024
"""Kept by one context; the oldest go first. Every connection brings one, of 1 KB when it was resumed itself:
at a thousand connections a second they last a second; who comes more seldom makes a full handshake."""
_KNOWN_PYTHONS: Final = ((3, 11), (3, 12), (3, 13))
"""Where `PySSLContext` in Modules/_ssl.c begins with the `SSL_CTX *`."""
_SET_CACHE_SIZE: Final = 42
_GET_CACHE_SIZE: Final = 43
"""`SSL_CTRL_SET_SESS_CACHE_SIZE` and its twin in openssl/ssl.h: macros, part of the ABI."""


def keep_sessions(context: ssl.SSLContext, most: int = MAX_SESSIONS) -> bool:
    """Have the server `context` keep its newest `most` sessions. False: not here, tickets stay sealed."""
    library = _library()
    address = _address(context)
    if library is None or address is None:
        return False
    if library.SSL_CTX_get_options(address) != context.options & 0xFFFFFFFFFFFFFFFF:
        return False
    library.SSL_CTX_ctrl(address, _SET_CACHE_SIZE, most, None)
    if library.SSL_CTX_ctrl(address, _GET_CACHE_SIZE, 0, None) != most:
        return False
    context.options |= ssl.OP_NO_TICKET
    return True


def _address(context: ssl.SSLContext) -> int | None:
    """Of the `SSL_CTX`."""
    if sys.implementation.name != "cpython" or sys.version_info[:2] not in _KNOWN_PYTHONS:
        return None
    return ctypes.c_void_p.from_address(id(context) + object.__basicsize__).value


@functools.cache
def _library() -> ctypes.CDLL | None:
    """The libssl that Python itself uses, found through its module; None when it is built in unseen."""
    spec = importlib.util.find_spec("_ssl")
    if spec is None or spec.origin is None or not spec.has_location:
        return None
    try:
        library = ctypes.CDLL(spec.origin)
        options, control = library.SSL_CTX_get_options, library.SSL_CTX_ctrl
    except (OSError, AttributeError):
        return None
    options.argtypes, options.restype = [ctypes.c_void_p], ctypes.c_uint64
    control.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_long, ctypes.c_void_p]
    control.restype = ctypes.c_long
    return library
