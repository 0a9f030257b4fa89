"""Exceptions for boundaries. A failed request is an `Outcome` value (`proxy/outcome.py`), not one of these.

MeshproxyError
├── ConfigError            configuration refused: names the resource, the field and the mend
├── LocalProtocolError     we misused a codec or a state machine: our bug
├── RemoteProtocolError    a peer broke its protocol; carries the status to answer with
└── UpstreamError          a peer could not be reached or ended the exchange
"""


class MeshproxyError(Exception):
    """Root of this package's exceptions."""


class ConfigError(MeshproxyError):
    """Configuration that is refused. The message names the resource, the field path and the value."""


class LocalProtocolError(MeshproxyError):
    """Our side used a protocol object wrongly: a bug here, never the peer's fault."""


class RemoteProtocolError(MeshproxyError):
    """The peer broke its protocol.

    `status` is the HTTP status a server answers with before it closes (400 when nothing better is known);
    `reason` is a short stable token for metrics and logs, e.g. `"header_too_large"`.
    """

    def __init__(self, message: str, *, status: int = 400, reason: str = "protocol_error") -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason


class UpstreamError(MeshproxyError):
    """An upstream could not be connected to, or ended the exchange before it was complete."""
