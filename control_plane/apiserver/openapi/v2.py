"""`/openapi/v2` without a single definition (pure): what is known of the kinds stands in `/openapi/v3`.

kubectl asks for it all the same: about kinds that v3 does not tell of, `List` among them, before it looks for
the kind. Without an answer it says that it cannot validate the file, not which kind is unknown.
"""

from control_plane.resources.manifest import Manifest

PATH = "/openapi/v2"
PROTOBUF = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
PROTOBUF_TYPES = ("application/com.github.proto-openapi.spec.v2@v1.0+protobuf", PROTOBUF)
"""By what it is asked for; kubectl uses the first, which is no media type and may not stand in an answer."""
_TITLE, _VERSION = "Kubernetes", "unversioned"
_LENGTH_DELIMITED = 2


def document() -> Manifest:
    """As JSON."""
    info = {"title": _TITLE, "version": _VERSION}
    return {"swagger": "2.0", "info": info, "paths": {}, "definitions": {}}


def protobuf() -> bytes:
    """The same as `openapi.v2.Document` of gnostic: swagger is field 1, info 2 (title 1, version 2), paths 8,
    definitions 9."""
    info = _field(1, _TITLE.encode()) + _field(2, _VERSION.encode())
    return _field(1, b"2.0") + _field(2, info) + _field(8, b"") + _field(9, b"")


def _field(number: int, content: bytes) -> bytes:
    """Numbers below 16 and contents below 128 bytes: one byte each."""
    return bytes([number << 3 | _LENGTH_DELIMITED, len(content)]) + content
