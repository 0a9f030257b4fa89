"""What route matches ask of a request head (pure): values of fields and of query parameters."""

from __future__ import annotations

from meshproxy.http.events import Headers, RequestHead


def header_value(headers: Headers, name: bytes) -> bytes | None:
    """Values of all fields called `name` (lower case), joined by commas; None when there is none."""
    found: bytes | None = None
    for field, value in headers:
        if field == name:
            found = value if found is None else found + b"," + value
    return found


def request_value(head: RequestHead, name: bytes) -> bytes | None:
    """As `header_value`, and `:method`, `:path` (with its query), `:authority` (as it was spelled)."""
    if name[:1] != b":":
        return header_value(head.headers, name)
    if name == b":method":
        return head.method
    if name == b":path":
        return head.target
    return header_value(head.headers, b"host") or head.authority.encode()


def query_value(target: bytes, name: bytes) -> bytes | None:
    """First value of a parameter, as it was sent: Envoy does not decode here. Without `=` it is empty."""
    for pair in target.partition(b"?")[2].split(b"&"):
        key, _, value = pair.partition(b"=")
        if key == name and pair:
            return value
    return None
