"""Which protocol a Service port speaks."""

import pytest

from control_plane.discovery.model import PortProtocol
from control_plane.discovery.protocol import port_protocol


@pytest.mark.parametrize(
    ("number", "name", "app_protocol", "expected"),
    [
        (8080, "http", "", PortProtocol.HTTP),
        (8080, "http-web", "", PortProtocol.HTTP),
        (8080, "HTTP-web", "", PortProtocol.HTTP),
        (8080, "httpfoo", "", PortProtocol.UNDECLARED),
        (8080, "", "http", PortProtocol.HTTP),
        (8080, "tcp", "http", PortProtocol.HTTP),
        (8080, "http", "tcp", PortProtocol.TCP),
        (8080, "http", "example.com/own", PortProtocol.HTTP),
        (9000, "tcp-raw", "", PortProtocol.TCP),
        (443, "tls", "", PortProtocol.TCP),
        (50051, "grpc-api", "", PortProtocol.HTTP2),
        (8080, "http2", "", PortProtocol.HTTP2),
        (8080, "h2c-a", "", PortProtocol.HTTP2),
        (8080, "http", "kubernetes.io/h2c", PortProtocol.HTTP2),
        (8080, "", "GRPC", PortProtocol.HTTP2),
        (8080, "grpc-web", "", PortProtocol.HTTP),
        (8080, "grpc-web-a", "", PortProtocol.HTTP),
        (8080, "", "grpc-web", PortProtocol.HTTP),
        (8080, "", "kubernetes.io/ws", PortProtocol.HTTP),
        (8080, "", "kubernetes.io/wss", PortProtocol.TCP),
        (3306, "", "", PortProtocol.TCP),
        (3306, "db", "", PortProtocol.TCP),
        (3306, "http", "", PortProtocol.HTTP),
        (9000, "", "", PortProtocol.UNDECLARED),
        (9000, "web", "", PortProtocol.UNDECLARED),
    ],
)
def test_app_protocol_then_name_then_number(
    number: int, name: str, app_protocol: str, expected: PortProtocol
) -> None:
    assert port_protocol(number, name, app_protocol) is expected
