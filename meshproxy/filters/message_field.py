"""Fields of messages that filters read and write (pure)."""

from __future__ import annotations

from meshproxy.http.events import Headers


def joined_value(headers: Headers, name: bytes) -> bytes:
    """Values of all fields of a lower-case name, joined with commas (RFC 9110 section 5.3); empty without
    one. Who lists two values where one belongs matches nothing that is compared with one."""
    values = [value for field, value in headers if field == name]
    return b",".join(values) if values else b""


def first_value(headers: Headers, name: bytes) -> bytes | None:
    """Value of the first field of a lower-case name."""
    for field, value in headers:
        if field == name:
            return value
    return None


def with_field(forward: bytes, name: bytes, value: bytes) -> bytes:
    """Start line and fields, each ended by CRLF, with one field of this lower-case name."""
    lines = forward.split(b"\r\n")
    kept = [line for line in lines[1:-1] if line.partition(b":")[0].lower() != name]
    return b"\r\n".join((lines[0], *kept, b"%b: %b" % (name, value), b""))
