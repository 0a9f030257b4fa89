"""Tell from a connection's first bytes what it speaks (pure): RFC 9112, 9113, 8446, 6066 (SNI), 7301
(ALPN). [1]

Called with everything received so far, each time more came, until the answer is not NEED_MORE. Nothing is
consumed. A wrong HTTP verdict would break a foreign protocol, so HTTP/1 is only claimed for a whole request
line: `GET key` is also Redis, `EHLO host` also looks like a method. Anything that cannot become one of ours
any more is OPAQUE at once. Not here: waiting and its timeout (listener).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

MAX_INSPECTED: Final = 16384
"""Bytes that may be needed for a verdict: the longest ClientHello handshake message, and the longest
request line."""

_HTTP2_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_VERSIONS: Final = {b"HTTP/1.1": "http/1.1", b"HTTP/1.0": "http/1.0"}
_METHOD: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_"
"""Fewer characters than a token may have: enough for every registered method, too few for most binary
protocols."""
_MAX_METHOD: Final = 32
_TARGET: Final = bytes(range(0x21, 0x7F))
_MAX_RECORDS: Final = 16
"""TLS records one ClientHello may be split over. Real ones use one or two; each call reads all again."""
_SCHEMES: Final = (b"http://", b"https://")


class DetectedKind(Enum):
    """What the first bytes are."""

    NEED_MORE = "need_more"
    HTTP1 = "http1"
    HTTP2 = "http2"
    TLS = "tls"
    OPAQUE = "opaque"


@dataclass(frozen=True, slots=True)
class Detected:
    """The verdict, in the words filter chains are matched by."""

    kind: DetectedKind
    alpn: tuple[str, ...] = ()
    """TLS: the client's ALPN list, in its order. Plain HTTP: `http/1.1`, `http/1.0` or `h2c`, as Envoy's HTTP
    inspector names them for `FilterChainMatch.application_protocols`."""
    server_name: str = ""
    """SNI, lower case; empty when the client sent none."""


NEED_MORE: Final = Detected(DetectedKind.NEED_MORE)
OPAQUE: Final = Detected(DetectedKind.OPAQUE)


def detect(data: bytes) -> Detected:
    """Verdict on the first bytes of a connection, however they are split."""
    if not data:
        return NEED_MORE
    if data[0] == 0x16:
        return _detect_tls(data)
    if data[: len(_HTTP2_PREFACE)] == _HTTP2_PREFACE[: len(data)]:
        if len(data) >= len(_HTTP2_PREFACE):
            return Detected(DetectedKind.HTTP2, ("h2c",))
        return NEED_MORE
    return _detect_http1(data)


# --- HTTP/1 -----------------------------------------------------------------------------------------------


def _detect_http1(data: bytes) -> Detected:
    method, blank, rest = data.partition(b" ")
    if not method or len(method) > _MAX_METHOD or method.translate(None, _METHOD):
        return OPAQUE
    if not blank:
        return NEED_MORE
    target, blank, rest = rest.partition(b" ")
    if target.translate(None, _TARGET) or not _may_be_target(method, target, is_whole=bool(blank)):
        return OPAQUE
    if blank:
        return _detect_version(rest)
    # A target longer than we look at is still HTTP, so that the codec answers 414 and not a passthrough.
    return Detected(DetectedKind.HTTP1, ("http/1.1",)) if len(data) >= MAX_INSPECTED else NEED_MORE


def _may_be_target(method: bytes, target: bytes, *, is_whole: bool) -> bool:
    if target[:1] == b"/" or target == b"*":
        return True
    if not target:
        return not is_whole
    if method == b"CONNECT":
        return not is_whole or b":" in target
    start = target[:8].lower()
    if is_whole:
        return start.startswith(_SCHEMES)
    return any(start.startswith(scheme[: len(start)]) for scheme in _SCHEMES)


def _detect_version(rest: bytes) -> Detected:
    """`rest` follows the blank after the target: version and CRLF."""
    version, ending = rest[:8], rest[8:10]
    if len(version) < 8:
        return NEED_MORE if any(known.startswith(version) for known in _VERSIONS) else OPAQUE
    name = _VERSIONS.get(version)
    if name is None or not b"\r\n".startswith(ending):
        return OPAQUE
    return Detected(DetectedKind.HTTP1, (name,)) if len(ending) == 2 else NEED_MORE


# --- TLS --------------------------------------------------------------------------------------------------


class _Malformed(Exception):
    """The bytes are not a ClientHello."""


class _Cursor:
    """Reads length-prefixed vectors of TLS (RFC 8446 section 3.4)."""

    __slots__ = ("_data", "_position")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0

    @property
    def is_at_end(self) -> bool:
        return self._position == len(self._data)

    def take(self, size: int) -> bytes:
        taken = self._data[self._position : self._position + size]
        if len(taken) != size:
            raise _Malformed
        self._position += size
        return taken

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")

    def vector(self, length_size: int) -> bytes:
        return self.take(self.number(length_size))


def _detect_tls(data: bytes) -> Detected:
    try:
        hello = _client_hello(data)
        if hello is None:
            return NEED_MORE
        server_name, protocols = _read_hello(_Cursor(hello))
    except _Malformed:
        return OPAQUE
    return Detected(DetectedKind.TLS, protocols, server_name)


def _client_hello(data: bytes) -> bytes | None:
    """Body of the ClientHello, put together from the records it is split over; None while it is
    incomplete."""
    message = b""
    position = 0
    for _ in range(_MAX_RECORDS):
        header = data[position : position + 5]
        if not _may_be_record(header):
            raise _Malformed
        length = int.from_bytes(header[3:5], "big") if len(header) == 5 else 0
        fragment = data[position + 5 : position + 5 + length]
        message += fragment
        if message[:1] not in {b"", b"\x01"}:
            raise _Malformed
        if len(message) >= 4:
            size = int.from_bytes(message[1:4], "big")
            if size > MAX_INSPECTED:
                raise _Malformed
            if len(message) >= 4 + size:
                return message[4 : 4 + size]
        if len(header) < 5 or len(fragment) < length:
            return None
        position += 5 + len(fragment)
    raise _Malformed


def _may_be_record(header: bytes) -> bool:
    """Whether up to five bytes may start a handshake record: type 22, version 3.0 to 3.4, 1 to 2^14 bytes."""
    if header[:1] not in {b"", b"\x16"} or header[1:2] not in {b"", b"\x03"} or header[2:3] > b"\x04":
        return False
    return len(header) < 5 or 1 <= int.from_bytes(header[3:5], "big") <= 16384


def _read_hello(hello: _Cursor) -> tuple[str, tuple[str, ...]]:
    """(server name, ALPN protocols) of a ClientHello body (RFC 8446 section 4.1.2)."""
    hello.take(2 + 32)  # legacy_version, random
    hello.vector(1)  # legacy_session_id
    hello.vector(2)  # cipher_suites
    hello.vector(1)  # legacy_compression_methods
    found: dict[int, bytes] = {}
    if not hello.is_at_end:
        extensions = _Cursor(hello.vector(2))
        while not extensions.is_at_end:
            kind = extensions.number(2)
            if kind in found:
                raise _Malformed  # RFC 8446 section 4.2: at most one of each type
            found[kind] = extensions.vector(2)
    if not hello.is_at_end:
        raise _Malformed
    return _read_server_name(found.get(0)), _read_protocols(found.get(16))


def _read_server_name(extension: bytes | None) -> str:
    if extension is None:
        return ""
    names = _Cursor(_Cursor(extension).vector(2))
    kind = names.number(1)
    name = names.vector(2)
    if kind != 0 or not name or name.translate(None, _TARGET):
        raise _Malformed
    return name.decode("ascii").lower()


def _read_protocols(extension: bytes | None) -> tuple[str, ...]:
    if extension is None:
        return ()
    names = _Cursor(_Cursor(extension).vector(2))
    protocols = []
    while not names.is_at_end:
        protocols.append(names.vector(1).decode("latin-1"))  # GREASE values are not text
    return tuple(protocols)
