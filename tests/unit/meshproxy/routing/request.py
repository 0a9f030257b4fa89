"""Request heads for tests of routing, read by the strict codec."""

from meshproxy.http.events import Request, RequestHead
from meshproxy.http.h1_strict import RequestReader
from meshproxy.http.limits import HeadLimits


def request(target: str = "/", *fields: str, host: str = "a", method: str = "GET") -> RequestHead:
    """`fields` are whole lines, e.g. `"x-user: 7"`."""
    lines = (f"{method} {target} HTTP/1.1", f"Host: {host}", *fields, "", "")
    [event] = RequestReader(HeadLimits()).receive("\r\n".join(lines).encode())
    assert isinstance(event, Request)
    return event.head
