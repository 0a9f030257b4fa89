"""What OpenSSL can do with TLS sessions and Python's `ssl` cannot; done without where it is out of reach.

Sessions a server keeps: a TLS 1.3 server either seals a session into the ticket that it sends or keeps the
session and sends its number (RFC 8446 section 4.6.1). OpenSSL 3.0 writes and parses the client's certificate
anew for each ticket: a resumed handshake takes 400 µs of a server's CPU with sealed tickets and 155 with kept
sessions. But it keeps 20,480 of them, 12 KB each after a full handshake, unless it is told to keep less.

Sessions a client offers: `SSLObject.session = …` copies the session, parsing the certificate again, in 110
µs of the 250 that a resumed handshake takes a client, and reading it leaks 7 KB in CPython 3.11. OpenSSL's
own copies share the certificate and take 10 µs.

Both are reached by the addresses inside Python's objects, which are looked at only in the versions of CPython
where their places are known, and only used when what stands around them is as it should be.
"""

from __future__ import annotations

import ctypes
import functools
import importlib.util
import ssl
import sys
from typing import Final

_KNOWN_PYTHONS: Final = ((3, 11), (3, 12), (3, 13))
"""In their Modules/_ssl.c, after the object's head: `PySSLContext` has the `SSL_CTX *`; `PySSLSocket` a weak
reference, the `SSL *`, and the context."""
_HEAD: Final = object.__basicsize__
_POINTER: Final = ctypes.sizeof(ctypes.c_void_p)
_SET_CACHE_SIZE: Final = 42
_GET_CACHE_SIZE: Final = 43
"""`SSL_CTRL_SET_SESS_CACHE_SIZE` and its twin in openssl/ssl.h: macros, part of the ABI."""
_FUNCTIONS: Final = {
    "SSL_CTX_ctrl": (ctypes.c_long, ctypes.c_void_p, ctypes.c_int, ctypes.c_long, ctypes.c_void_p),
    "SSL_CTX_get_options": (ctypes.c_uint64, ctypes.c_void_p),
    "SSL_SESSION_dup": (ctypes.c_void_p, ctypes.c_void_p),
    "SSL_SESSION_free": (None, ctypes.c_void_p),
    "SSL_SESSION_has_ticket": (ctypes.c_int, ctypes.c_void_p),
    "SSL_get_session": (ctypes.c_void_p, ctypes.c_void_p),
    "SSL_set_session": (ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p),
}
"""Result, arguments."""


def keep_sessions(context: ssl.SSLContext, most: int) -> bool:
    """Have the server `context` keep its newest `most` sessions. False: not here, its tickets stay sealed."""
    library = _library()
    if library is None:
        return False
    address = _pointer(context, 0)
    if library.SSL_CTX_get_options(address) != context.options & 0xFFFFFFFFFFFFFFFF:
        return False
    library.SSL_CTX_ctrl(address, _SET_CACHE_SIZE, most, None)
    if library.SSL_CTX_ctrl(address, _GET_CACHE_SIZE, 0, None) != most:
        return False
    context.options |= ssl.OP_NO_TICKET
    return True


class SharedSession:
    """A session of our own, that any number of connections may offer at once."""

    __slots__ = ("_library", "address", "context")

    def __init__(self, library: ctypes.CDLL, address: int, context: ssl.SSLContext) -> None:
        """`address` of the `SSL_SESSION`: ours from now on."""
        self._library = library
        self.address = address
        self.context = context
        """That it was made with, and may be offered with."""

    def __del__(self) -> None:
        self._library.SSL_SESSION_free(self.address)

    def offer(self, connection: int) -> None:
        """A copy of it: OpenSSL spoils the session of a connection that ends without close_notify."""
        copy = self._library.SSL_SESSION_dup(self.address)
        self._library.SSL_set_session(connection, copy)
        self._library.SSL_SESSION_free(copy)

    @property
    def has_ticket(self) -> bool:
        """Without one there is nothing to offer."""
        return bool(self._library.SSL_SESSION_has_ticket(self.address))


Session = SharedSession | ssl.SSLSession


def take_session(ssl_object: ssl.SSLObject) -> Session | None:
    """The session of a client's connection, for others."""
    library, connection = _library(), _connection(ssl_object)
    if library is None or connection is None:
        return ssl_object.session
    own = library.SSL_get_session(connection)
    copy = library.SSL_SESSION_dup(own) if own is not None else None
    return SharedSession(library, copy, ssl_object.context) if copy is not None else None


def offer_session(ssl_object: ssl.SSLObject, session: Session) -> None:
    """Offer `session` in the handshake of `ssl_object`, which has not begun.

    Raises ValueError when its context is another.
    """
    if not isinstance(session, SharedSession):
        ssl_object.session = session
        return
    if session.context is not ssl_object.context:
        raise ValueError("the TLS session was made with another context: offer it with its own")
    if (connection := _connection(ssl_object)) is not None:
        session.offer(connection)


def _connection(ssl_object: ssl.SSLObject) -> int | None:
    """Address of the `SSL`; None when the object is not as it should be."""
    inner = ssl_object._sslobj  # type: ignore[attr-defined]  # as in `ssl.py`
    return _pointer(inner, 1) if _library() and _pointer(inner, 2) == id(ssl_object.context) else None


def _pointer(holder: object, place: int) -> int | None:
    """The pointer that is the object's member number `place`."""
    return ctypes.c_void_p.from_address(id(holder) + _HEAD + place * _POINTER).value


@functools.cache
def _library() -> ctypes.CDLL | None:
    """The libssl that Python itself uses, found through its module. None when it is built in unseen, and
    where Python's objects are unknown.
    """
    if sys.implementation.name != "cpython" or sys.version_info[:2] not in _KNOWN_PYTHONS:
        return None
    spec = importlib.util.find_spec("_ssl")
    if spec is None or spec.origin is None or not spec.has_location:
        return None
    try:
        library = ctypes.CDLL(spec.origin)
        for name, (result, *arguments) in _FUNCTIONS.items():
            function = getattr(library, name)
            function.restype, function.argtypes = result, arguments
    except (OSError, AttributeError):
        return None
    return library
