"""The gRPC health protocol as a kubelet asks it (grpc.health.v1, GRPC Health Checking Protocol)."""

import asyncio
from dataclasses import dataclass, field

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, ResponseReceived, StreamEnded, StreamReset, TrailersReceived
from h2.exceptions import H2Error

_PATH = "/grpc.health.v1.Health/Check"
_FRAME_HEAD = 5  # one byte of flags, four of length: gRPC over HTTP/2, Length-Prefixed-Message
_STATUSES = {0: "UNKNOWN", 1: "SERVING", 2: "NOT_SERVING", 3: "SERVICE_UNKNOWN"}
_SERVING = 1
_LONGEST_ANSWER = 4096


@dataclass(frozen=True, slots=True)
class HealthAnswer:
    """What a server said of a service."""

    is_serving: bool
    message: str = ""
    """Why it is not."""


@dataclass(slots=True)
class _Answer:
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    has_ended: bool = False


def request_message(service: str) -> bytes:
    """A HealthCheckRequest, length-prefixed: field 1, `service`."""
    name = service.encode()
    message = b"\x0a" + _varint(len(name)) + name if name else b""
    return b"\0" + len(message).to_bytes(4, "big") + message


def _varint(value: int) -> bytes:
    encoded = b""
    while value > 0x7F:
        encoded += bytes([value & 0x7F | 0x80])
        value >>= 7
    return encoded + bytes([value])


def judge(headers: dict[str, str], body: bytes) -> HealthAnswer:
    """`headers` and trailers of the answer; its body is a HealthCheckResponse, field 1 the status."""
    status = headers.get("grpc-status", "0" if headers.get(":status") == "200" and body else "")
    if status != "0":
        told = headers.get("grpc-message", "") or f"HTTP status {headers.get(':status', 'none')}"
        return HealthAnswer(False, f"health rpc failed: {told}" + (f" (code {status})" if status else ""))
    message = body[_FRAME_HEAD:]
    serving = message[1] if len(message) > 1 and message[0] == 0x08 else 0
    if serving == _SERVING:
        return HealthAnswer(True)
    return HealthAnswer(False, f"service unhealthy (responded with {_STATUSES.get(serving, str(serving))!r})")


async def check(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, authority: str, service: str
) -> HealthAnswer:
    """Ask on a connection that is open. Raises OSError; the caller bounds the time."""
    connection = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
    connection.initiate_connection()
    headers = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", _PATH),
        (":authority", authority),
        ("content-type", "application/grpc"),
        ("user-agent", "kube-probe/1.33"),
        ("te", "trailers"),
    ]
    connection.send_headers(1, headers)
    connection.send_data(1, request_message(service), end_stream=True)
    answer = _Answer()
    try:
        while not answer.has_ended:
            writer.write(connection.data_to_send())
            data = await reader.read(65536)
            if not data:
                return HealthAnswer(False, "the connection was closed before the answer")
            _receive(connection, data, answer)
    except H2Error as error:
        return HealthAnswer(False, f"not an HTTP/2 answer: {error}")
    return judge(answer.headers, answer.body)


def _receive(connection: H2Connection, data: bytes, answer: _Answer) -> None:
    for event in connection.receive_data(data):
        if isinstance(event, (ResponseReceived, TrailersReceived)):
            answer.headers |= {str(name): str(value) for name, value in event.headers}
        elif isinstance(event, DataReceived):
            answer.body = (answer.body + event.data)[:_LONGEST_ANSWER]
        elif isinstance(event, (StreamEnded, StreamReset)):
            answer.has_ended = True
