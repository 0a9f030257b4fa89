"""What route matches ask of a request head (pure): values of fields and of query parameters."""

from __future__ import annotations

from collections.abc import Sequence

from meshproxy.http.events import RequestHead

Fields = Sequence[tuple[bytes, bytes]]
"""(lower-case name, value) in order."""


def has_field(headers: Fields, name: bytes) -> bool:
    """`name` in lower case."""
    for field, _ in headers:  # noqa: SIM110 - `any` of a generator costs twice as much
        if field == name:
            return True
    return False


def pseudo_value(head: RequestHead, name: bytes) -> bytes:
    """`:method`, `:path` (with its query) or `:authority` (as it was spelled)."""
    if name == b":method":
        return head.method
    if name == b":path":
        return head.target
    for field, value in head.headers:
        if field == b"host":
            return value
    return head.authority.encode()


def request_values(head: RequestHead, name: bytes) -> list[bytes]:
    """Values of all fields of a name, or of the pseudo-header."""
    if name[:1] == b":":
        return [pseudo_value(head, name)]
    return [value for field, value in head.headers if field == name]


def query_value(target: bytes, name: bytes) -> bytes | None:
    """First value of a parameter, as it was sent: Envoy does not decode here. Without `=` it is empty."""
    for pair in target.partition(b"?")[2].split(b"&"):
        key, _, value = pair.partition(b"=")
        if key == name and pair:
            return value
    return None


def cookie_value(headers: Fields, name: bytes) -> bytes | None:
    """Value of the first cookie called `name` (RFC 6265 section 4.2.1), without quotes around it."""
    for field, value in headers:
        if field != b"cookie":
            continue
        for pair in value.split(b";"):
            key, equals, text = pair.strip(b" \t").partition(b"=")
            if equals and key == name:
                return text[1:-1] if len(text) > 1 and text[:1] == text[-1:] == b'"' else text
    return None
