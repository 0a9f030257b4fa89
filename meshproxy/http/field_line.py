"""One header line -> its meaning, as strict as RFC 9110 and 9112 allow (pure). [3]

The result of a line is remembered (`head_memory.py`), so checks here are paid once per distinct line.
Nothing is repaired: a line that two implementations could read differently is refused.
"""

from __future__ import annotations

from typing import Final

from meshproxy.http.syntax import FIELD_VALUE, TOKEN, parse_authority, parse_content_length, refuse

HOST: Final = 1
CONTENT_LENGTH: Final = 2
TRANSFER_ENCODING: Final = 3
CONNECTION: Final = 4
UPGRADE: Final = 5
EXPECT: Final = 6
REQUEST_ID: Final = 7
PEER_METADATA: Final = 8
DROPPED: Final = 9

REQUEST_KINDS: Final = {
    b"host": HOST,
    b"content-length": CONTENT_LENGTH,
    b"transfer-encoding": TRANSFER_ENCODING,
    b"connection": CONNECTION,
    b"upgrade": UPGRADE,
    b"expect": EXPECT,
    b"x-request-id": REQUEST_ID,
    b"x-envoy-peer-metadata": PEER_METADATA,
    b"x-forwarded-client-cert": DROPPED,
    b"keep-alive": DROPPED,
    b"proxy-connection": DROPPED,
    b"te": DROPPED,
}
RESPONSE_KINDS: Final = {
    b"content-length": CONTENT_LENGTH,
    b"transfer-encoding": TRANSFER_ENCODING,
    b"connection": CONNECTION,
    b"upgrade": UPGRADE,
    b"x-envoy-peer-metadata": DROPPED,
    b"x-meshproxy-unserved": DROPPED,
    b"keep-alive": DROPPED,
    b"proxy-connection": DROPPED,
    b"te": DROPPED,
}
_TRUSTED_BY_APPS: Final = frozenset({b"x-forwarded-client-cert", b"x-envoy-peer-metadata"})
"""Apps behind CGI-style interfaces read `X_Forwarded_Client_Cert` as the same variable: such twins are
dropped."""
_NOT_SENT_ON: Final = frozenset({TRANSFER_ENCODING, CONNECTION, UPGRADE, REQUEST_ID, PEER_METADATA, DROPPED})
_UNDERSCORE: Final = 0x5F
_TAB: Final = 0x09
"""By number, `in` of bytes takes a tenth of the time."""
_FRAMING: Final = frozenset({CONTENT_LENGTH, TRANSFER_ENCODING})
"""No tabs around these values, though RFC 9110 allows them: parsers disagree (llhttp refuses them)."""
_REFUSED_TRAILERS: Final = frozenset(
    b"transfer-encoding content-length host connection upgrade te trailer expect keep-alive "
    b"proxy-connection".split()
)
_MESH_FIELDS: Final = frozenset({b"x-request-id", b"x-envoy-peer-metadata", b"x-forwarded-client-cert"})


class Special:
    """What a field with a meaning for the proxy says. Immutable by convention: it is shared."""

    __slots__ = ("authority", "host", "kind", "length", "name", "options", "value")

    def __init__(self, kind: int, name: bytes, value: bytes) -> None:
        self.kind = kind
        self.name = name
        self.value = value
        self.length = 0
        """CONTENT_LENGTH only."""
        self.authority = ""
        self.host = ""
        """HOST only."""
        self.options: frozenset[bytes] = frozenset()
        """CONNECTION only: lower-case tokens."""


Field = tuple[tuple[bytes, bytes], bytes, Special | None]
"""((lower-case name, value), line to send on with CRLF or empty, special meaning)."""


def split_field(line: bytes) -> tuple[bytes, bytes]:
    """`name: value` -> (name as received, value without surrounding blanks)."""
    name, colon, value = line.partition(b":")
    if not colon or not name or name.translate(None, TOKEN):
        if line[:1] in {b" ", b"\t"}:
            raise refuse("a header line is folded (obs-fold)", "obs_fold")
        raise refuse("a header line is not `name: value` with a token as its name", "bad_field")
    value = value.strip(b" \t")
    if value.translate(None, FIELD_VALUE):
        raise refuse(f"control character in the value of header {_shown(name)}", "bad_field_value")
    return name, value


def parse_request_field(line: bytes) -> Field:
    return _parse_field(line, REQUEST_KINDS)


def parse_response_field(line: bytes) -> Field:
    return _parse_field(line, RESPONSE_KINDS)


def parse_trailer_field(line: bytes) -> tuple[bytes, bytes] | None:
    """Lower-case pair, or None for a field of the mesh's own, which no peer may append behind the head.

    Fields that frame, route or steer the connection are refused (RFC 9110 section 6.5.1).
    """
    name, value = split_field(line)
    lower = name.lower()
    if lower in _REFUSED_TRAILERS:
        raise refuse(f"{_shown(name)} in the trailer section", "bad_trailer")
    if lower.replace(b"_", b"-") in _MESH_FIELDS:
        return None
    return lower, value


def _parse_field(line: bytes, kinds: dict[bytes, int]) -> Field:
    name, value = split_field(line)
    lower = name.lower()
    kind = kinds.get(lower)
    if kind is None:
        if _UNDERSCORE in lower and lower.replace(b"_", b"-") in _TRUSTED_BY_APPS:
            return (lower, value), b"", None
        return (lower, value), _normalised(line, name, value), None
    if _TAB in line and kind in _FRAMING:
        raise refuse(f"tab in header {_shown(name)}", "bad_framing_field")
    special = _parse_special(kind, lower, value)
    forward = b"" if kind in _NOT_SENT_ON else _normalised(line, name, value)
    return (lower, value), forward, special


def _normalised(line: bytes, name: bytes, value: bytes) -> bytes:
    """The line with one blank behind the colon and none at the end; usually it is so already."""
    if len(line) == len(name) + len(value) + 2 and line[len(name) + 1] == 0x20:
        return line + b"\r\n"
    return b"%b: %b\r\n" % (name, value)


def _parse_special(kind: int, name: bytes, value: bytes) -> Special | None:
    special = Special(kind, name, value)
    if kind == DROPPED:
        return None
    if kind == HOST:
        special.authority, special.host = parse_authority(value)
    elif kind == CONTENT_LENGTH:
        special.length = parse_content_length(value)
    elif kind == TRANSFER_ENCODING:
        _check_transfer_encoding(value)
    elif kind == CONNECTION:
        special.options = _parse_options(value)
    elif kind == EXPECT and value.lower() != b"100-continue":
        return None  # an unknown expectation is the application's to refuse (417)
    return special


def _check_transfer_encoding(value: bytes) -> None:
    """Only `chunked`. A last coding other than chunked leaves a body's length unknown (RFC 9112 section
    6.3)."""
    codings = [coding.strip(b" \t") for coding in value.lower().split(b",")]
    if codings == [b"chunked"]:
        return
    if codings[-1] == b"chunked" and codings.count(b"chunked") == 1 and b"" not in codings:
        raise refuse("a transfer coding besides chunked is not supported", "transfer_coding_unsupported", 501)
    raise refuse("Transfer-Encoding is not exactly `chunked`", "bad_transfer_encoding")


def _parse_options(value: bytes) -> frozenset[bytes]:
    options = frozenset(option.strip(b" \t") for option in value.lower().split(b",")) - {b""}
    for option in options:
        if option.translate(None, TOKEN):
            raise refuse("Connection names something that is not a token", "bad_connection")
    return options


def _shown(name: bytes) -> str:
    return name[:64].decode("ascii", "replace")
