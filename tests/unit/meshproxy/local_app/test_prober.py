"""Probes against an app on a real loopback socket."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest

from control_plane.api.grpc.health.v1 import health_pb2
from meshproxy.local_app.probe import AppProbe, GrpcProbe, HttpProbe, TcpProbe
from meshproxy.local_app.prober import ProbeOutcome, Prober

POD = "127.0.0.1"


class App:
    """Answers GETs with what is written down for their path, and keeps the heads it was asked with."""

    def __init__(self, answers: dict[str, bytes]) -> None:
        self.answers = answers
        self.heads: list[str] = []
        self.peers: list[str] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.peers.append(writer.get_extra_info("peername")[0])
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            self.heads.append(head)
            writer.write(self.answers[head.split()[1]])
            await reader.read()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.transport.abort()


@asynccontextmanager
async def running(app: App, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    server = await asyncio.start_server(app.serve, POD, 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()


async def ask(action: HttpProbe | TcpProbe | GrpcProbe, seconds: float = 5.0) -> ProbeOutcome:
    return await Prober(POD).ask(AppProbe(action, seconds))


def reply(status: str, *headers: str) -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status}", "Content-Length: 6", *headers, "", "secret"]).encode()


@pytest.mark.parametrize("status", [200, 204, 302, 404, 500])
async def test_the_apps_status_is_passed_on(status: int) -> None:
    async with running(App({"/live": reply(f"{status} X")})) as port:
        assert (await ask(HttpProbe(port, "/live"))).status == status


async def test_the_app_sees_the_headers_of_the_pod_and_the_sidecars_source() -> None:
    app = App({"/live?a=b%20c": reply("200 OK")})
    async with running(app) as port:
        await ask(HttpProbe(port, "live?a=b c#d", headers=(("X-A", "1"), ("X-A", "2"), ("Accept", ""))))
    assert app.peers == ["127.0.0.6"]
    lines = app.heads[0].split("\r\n")
    assert lines[0] == "GET /live?a=b%20c HTTP/1.1"
    assert f"Host: 127.0.0.1:{port}" in lines
    assert [line for line in lines if line.startswith(("X-A", "Accept"))] == ["X-A: 1", "X-A: 2"]
    assert "User-Agent: kube-probe/meshproxy" in lines


async def test_a_host_and_user_agent_of_the_pods_own_replace_ours() -> None:
    app = App({"/": reply("200 OK")})
    async with running(app) as port:
        await ask(HttpProbe(port, headers=(("host", "shop.example"), ("user-agent", "me"))))
    assert "Host: shop.example\r\n" in app.heads[0]
    assert "kube-probe" not in app.heads[0]


async def test_the_app_may_redirect_to_itself_and_to_nobody_else() -> None:
    app = App(
        {
            "/": reply("302 Found", "Location: /login?next=x"),
            "/login?next=x": reply("503 Service Unavailable"),
            "/away": reply("302 Found", "Location: http://192.0.2.1/"),
            "/bad": reply("302 Found", "Location: http://[::/"),
            "/loop": reply("302 Found", "Location: /loop"),
        }
    )
    async with running(app) as port:
        assert (await ask(HttpProbe(port))).status == 503
        assert (await ask(HttpProbe(port, "/away"))).status == 302
        assert "is no address" in (await ask(HttpProbe(port, "/bad"))).reason
        loop = await ask(HttpProbe(port, "/loop"))
        assert (loop.status, "redirected 10 times" in loop.reason) == (503, True)


async def test_an_app_that_does_not_answer_is_given_up_at_the_timeout() -> None:
    async with running(App({"/": b"HTTP/1.1 100 Continue\r\n\r\n"})) as port:
        outcome = await ask(HttpProbe(port), seconds=0.02)
    assert outcome == ProbeOutcome(503, "the app did not answer within 0.02 s")


@pytest.mark.parametrize("answer", [b"SSH-2.0-x\r\n\r\n", b"HTTP/1.1 200 OK\r\nA: " + b"a" * 200_000])
async def test_what_is_not_http_is_not_well(answer: bytes) -> None:
    async with running(App({"/": answer})) as port:
        outcome = await ask(HttpProbe(port))
    assert outcome.status == 503
    assert outcome.reason.startswith("127.0.0.1:")


async def test_a_closed_port_is_not_well() -> None:
    async with running(App({})) as port:
        assert (await ask(TcpProbe(port))).status == 200
    for action in (TcpProbe(port), HttpProbe(port), GrpcProbe(port)):
        outcome = await ask(action)
        assert (outcome.status, str(port) in outcome.reason) == (503, True)


async def test_https_is_asked_without_verifying(tmp_path: Path) -> None:
    app = App({"/": reply("200 OK")})
    async with running(app, _server_context(tmp_path)) as port:
        assert await ask(HttpProbe(port, is_tls=True)) == ProbeOutcome(200)
        assert (await ask(HttpProbe(port))).status == 503


def _server_context(folder: Path) -> ssl.SSLContext:
    from datetime import UTC, datetime, timedelta

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "somebody else")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + timedelta(days=1))
    ).sign(key, hashes.SHA256())
    pem = serialization.Encoding.PEM
    (folder / "key.pem").write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(pem)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "key.pem")
    return context


@asynccontextmanager
async def health_service(answers: dict[str, bytes]) -> AsyncIterator[int]:
    """gRPC's health service on a real gRPC server; a service that is not in `answers` is NOT_FOUND."""

    async def check(
        request: health_pb2.HealthCheckRequest, context: "grpc.aio.ServicerContext[object, object]"
    ) -> bytes:
        if request.service not in answers:
            await context.abort(grpc.StatusCode.NOT_FOUND, "unknown service")
        return answers[request.service]

    handler = grpc.unary_unary_rpc_method_handler(check, health_pb2.HealthCheckRequest.FromString)
    server = grpc.aio.server()
    server.add_generic_rpc_handlers(
        [grpc.method_handlers_generic_handler("grpc.health.v1.Health", {"Check": handler})]
    )
    port = server.add_insecure_port(f"{POD}:0")
    await server.start()
    try:
        yield port
    finally:
        await server.stop(None)


async def test_grpc_health_is_asked_over_http2() -> None:
    answers = {"": b"\x08\x01", "starting": b"\x08\x02", "odd": b"\x08\x63", "broken": b"\xff"}
    async with health_service(answers) as port:
        assert await ask(GrpcProbe(port)) == ProbeOutcome(200)
        assert await ask(GrpcProbe(port, "starting")) == ProbeOutcome(
            503, "gRPC service 'starting' is NOT_SERVING"
        )
        assert "is 99" in (await ask(GrpcProbe(port, "odd"))).reason
        assert "not a HealthCheckResponse" in (await ask(GrpcProbe(port, "broken"))).reason
        assert "NOT_FOUND: unknown service" in (await ask(GrpcProbe(port, "gone"))).reason
