"""Which protocol a Service port speaks (pure): `appProtocol`, else the port name's prefix, else the port
number.

The precedence is the one Istio documents ("protocol selection"), so that Services written for it behave the
same, with one difference: a port of the sidecar itself is opaque.
"""

from typing import Final

from control_plane.discovery.model import PortProtocol

GRPC_WEB: Final = "grpc-web"
"""gRPC's words in HTTP/1.1; the one name with a hyphen."""

_HTTP = frozenset({"http", GRPC_WEB, "kubernetes.io/ws"})
_HTTP2 = frozenset({"http2", "h2c", "grpc", "kubernetes.io/h2c"})
_OPAQUE = frozenset({"tcp", "tls", "https", "mongo", "mysql", "redis", "kubernetes.io/wss"})

SERVER_FIRST_PORTS = frozenset({25, 53, 3306, 27017})
"""SMTP, DNS over TCP, MySQL and MongoDB: the server may speak first, so waiting for the client's bytes would
stall."""

SIDECAR_PORTS = frozenset({15001, 15006})
"""Where the sidecar's two listeners are bound, on every address: a listener that all Services of such a port
share would have the same address, and Envoy then refuses all listeners.
"""


def port_protocol(number: int, name: str, app_protocol: str) -> PortProtocol:
    """The protocol of a port; an unknown `appProtocol` is treated as absent, as Kubernetes advises."""
    if number in SIDECAR_PORTS:
        return PortProtocol.TCP
    for declared in (app_protocol.lower(), _prefix(name.lower())):
        if declared in _HTTP:
            return PortProtocol.HTTP
        if declared in _HTTP2:
            return PortProtocol.HTTP2
        if declared in _OPAQUE:
            return PortProtocol.TCP
    return PortProtocol.TCP if number in SERVER_FIRST_PORTS else PortProtocol.UNDECLARED


def _prefix(name: str) -> str:
    """`<protocol>[-<suffix>]`"""
    if name == GRPC_WEB or name.startswith(f"{GRPC_WEB}-"):
        return GRPC_WEB
    return name.partition("-")[0]
