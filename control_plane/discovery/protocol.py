"""Which protocol a Service port speaks (pure): `appProtocol`, else the port name's prefix, else the port
number.

The precedence is the one Istio documents ("protocol selection"), so that Services written for it behave the
same, with two differences: what an HTTP/1.1 codec cannot carry (HTTP/2, gRPC, WebSocket) is relayed as opaque
bytes, and so is a port of the sidecar itself.
"""

from control_plane.discovery.model import PortProtocol

_HTTP = frozenset({"http"})
_OPAQUE = frozenset(
    {"tcp", "tls", "https", "mongo", "mysql", "redis"}
    | {"http2", "grpc", "kubernetes.io/h2c", "kubernetes.io/ws", "kubernetes.io/wss"}
)

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
    for declared in (app_protocol.lower(), name.lower().partition("-")[0]):
        if declared in _HTTP:
            return PortProtocol.HTTP
        if declared in _OPAQUE:
            return PortProtocol.TCP
    return PortProtocol.TCP if number in SERVER_FIRST_PORTS else PortProtocol.UNDECLARED
