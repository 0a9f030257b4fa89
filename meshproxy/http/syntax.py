"""Character rules of HTTP/1.1 shared by the line parsers (pure). [3]

Checks are written as `not data.translate(None, ALLOWED)`: deleting the allowed bytes must leave nothing.
That is faster than a regular expression on the lengths heads have, and long values gain most.
"""

from __future__ import annotations

from typing import Final

from meshproxy.errors import RemoteProtocolError

TOKEN: Final = b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
"""RFC 9110 section 5.6.2."""
FIELD_VALUE: Final = b"\t" + bytes(range(0x20, 0x7F)) + bytes(range(0x80, 0x100))
"""RFC 9110 section 5.5: no CR, LF, NUL or other control character."""
VISIBLE: Final = bytes(range(0x21, 0x7F))
TARGET: Final = VISIBLE.replace(b"#", b"")
"""Visible ASCII without `#`: a fragment is never sent (RFC 9112 section 3.2). Laxer than RFC 3986 (clients
do send `|` or `{`), as Envoy and h11 are; none of these can end or split a line."""
REG_NAME: Final = b"-._~%!$&'()*+;=0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
"""RFC 3986 section 3.2.2 without the comma: a Host list is two merged Host fields."""
IP_LITERAL: Final = b"0123456789ABCDEFabcdef:."
HEX_DIGITS: Final = b"0123456789ABCDEFabcdef"

MAX_LENGTH: Final = 2**63 - 1
"""Largest body or chunk: what peers in C hold in a signed 64-bit integer. More is refused, not wrapped."""


def is_token(data: bytes) -> bool:
    return bool(data) and not data.translate(None, TOKEN)


def refuse(message: str, reason: str, status: int = 400) -> RemoteProtocolError:
    """The error to raise for a peer's violation; `message` never holds a field value."""
    return RemoteProtocolError(message, status=status, reason=reason)


def parse_authority(value: bytes) -> tuple[str, str]:
    """`uri-host [":" port]` -> (authority, host), both lower case; the host of an IPv6 literal keeps its
    brackets.

    An empty value is allowed: it is what a client sends when the target has no authority (RFC 9112 section
    3.2).
    """
    if value[:1] == b"[":
        host, bracket, port = value.partition(b"]")
        host += bracket
        valid = bool(bracket) and len(host) > 2 and not host[1:-1].translate(None, IP_LITERAL)
        if port and port[:1] != b":":
            valid = False
        port = port[1:]
    else:
        host, _, port = value.partition(b":")
        valid = not host.translate(None, REG_NAME) and bool(host or not value)
    if not valid or (port and not (port.isdigit() and len(port) <= 5 and int(port) <= 65535)):
        raise refuse("Host is not `host` or `host:port`", "bad_host")
    return value.decode("ascii").lower(), host.decode("ascii").lower()


def parse_content_length(value: bytes) -> int:
    """Digits only: a list, a sign or blanks inside are attempts at smuggling, or bugs like them."""
    if not value.isdigit() or len(value) > 19 or int(value) > MAX_LENGTH:
        raise refuse("Content-Length is not a number below 2^63", "bad_content_length")
    return int(value)
