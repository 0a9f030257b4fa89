"""The static table of HPACK (RFC 7541 appendix A) (pure). [3]"""

from __future__ import annotations

from typing import Final

Field = tuple[bytes, bytes]

_TEXT: Final = """
:authority
:method GET
:method POST
:path /
:path /index.html
:scheme http
:scheme https
:status 200
:status 204
:status 206
:status 304
:status 400
:status 404
:status 500
accept-charset
accept-encoding gzip, deflate
accept-language
accept-ranges
accept
access-control-allow-origin
age
allow
authorization
cache-control
content-disposition
content-encoding
content-language
content-length
content-location
content-range
content-type
cookie
date
etag
expect
expires
from
host
if-match
if-modified-since
if-none-match
if-range
if-unmodified-since
last-modified
link
location
max-forwards
proxy-authenticate
proxy-authorization
range
referer
refresh
retry-after
server
set-cookie
strict-transport-security
transfer-encoding
user-agent
vary
via
www-authenticate
"""


def _fields() -> tuple[Field, ...]:
    fields: list[Field] = [(b"", b"")]  # indices begin at 1
    for line in _TEXT.strip().splitlines():
        name, _, value = line.partition(" ")
        fields.append((name.encode(), value.encode()))
    return tuple(fields)


STATIC: Final = _fields()
"""By index; 0 is no field."""
SIZE: Final = len(STATIC) - 1
NAME_INDEX: Final = {name: index for index, (name, _) in reversed(list(enumerate(STATIC))) if index}
"""The first index of each name."""
FIELD_INDEX: Final = {field: index for index, field in enumerate(STATIC) if index and field[1]}
