"""The gRPC health check, against a server of h2's."""

import asyncio

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import StreamEnded

from lab.grpc_health import HealthAnswer, check, judge, request_message

SERVING = b"\0\0\0\0\x02\x08\x01"


def test_a_request_names_the_service() -> None:
    assert request_message("") == b"\0\0\0\0\0"
    assert request_message("web") == b"\0\0\0\0\x05\x0a\x03web"
    assert request_message("a" * 200)[5:8] == b"\x0a\xc8\x01"


@pytest.mark.parametrize(
    ("headers", "body", "serving", "said"),
    [
        ({":status": "200", "grpc-status": "0"}, SERVING, True, ""),
        ({":status": "200"}, SERVING, True, ""),
        ({":status": "200", "grpc-status": "0"}, b"\0\0\0\0\x02\x08\x02", False, "'NOT_SERVING'"),
        ({":status": "200", "grpc-status": "0"}, b"\0\0\0\0\0", False, "'UNKNOWN'"),
        ({":status": "200", "grpc-status": "0"}, b"\0\0\0\0\x02\x08\x09", False, "'9'"),
        ({":status": "200", "grpc-status": "12", "grpc-message": "none"}, b"", False, "none (code 12)"),
        ({":status": "404"}, b"", False, "HTTP status 404"),
        ({}, b"", False, "HTTP status none"),
    ],
)
def test_answers_are_judged(headers: dict[str, str], body: bytes, serving: bool, said: str) -> None:
    answer = judge(headers, body)
    assert answer.is_serving is serving
    assert said in answer.message


async def ask(serve: object) -> HealthAnswer:
    server = await asyncio.start_server(serve, "127.0.0.1", 0)  # type: ignore[arg-type]
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    try:
        return await asyncio.wait_for(check(reader, writer, "a", "web"), 30)
    finally:
        writer.close()
        await writer.wait_closed()
        server.close()
        await server.wait_closed()


async def test_a_server_that_serves_is_healthy() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = H2Connection(H2Configuration(client_side=False))
        connection.initiate_connection()
        ended = False
        while not ended:
            for event in connection.receive_data(await reader.read(65536)):
                ended = ended or isinstance(event, StreamEnded)
            writer.write(connection.data_to_send())
        connection.send_headers(1, [(":status", "200"), ("content-type", "application/grpc")])
        connection.send_data(1, SERVING)
        connection.send_headers(1, [("grpc-status", "0")], end_stream=True)
        writer.write(connection.data_to_send())
        await reader.read()
        writer.close()

    assert await ask(serve) == HealthAnswer(True)


@pytest.mark.parametrize(("said", "expected"), [(b"", "closed"), (b"\0\0\1\0\0\0\0\0\0x", "HTTP/2")])
async def test_what_is_no_grpc_server_is_told(said: bytes, expected: str) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(65536)
        writer.write(said)
        writer.close()

    assert expected in (await ask(serve)).message
