"""TCPRoutes and TLSRoutes in the mesh, on both data planes: connections split by weight, told by SNI."""

import asyncio
import contextlib
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.contract.certificate import TlsClient, server_certificate
from tests.contract.one_pod_mesh import (
    DATA_PLANES,
    PLAIN_IP,
    POD_IP,
    Handler,
    Mesh,
    create,
    running_mesh,
    without_bookkeeping,
)
from tests.contract.pod_app import settled
from tests.unit.control_plane import manifest_builder as build

pytestmark = pytest.mark.privileged

STORE_VIP, ONE_VIP, TWO_VIP = "10.96.0.30", "10.96.0.31", "10.96.0.32"
TCP_PORT, TLS_PORT = 7000, 7443
CONNECTIONS = 400


def _speaker(name: bytes) -> Handler:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            writer.write(name)
            await reader.read(1)
        writer.close()

    return serve


def _service(name: str, vip: str) -> dict[str, object]:
    ports = [{"name": "tcp", "port": TCP_PORT}, {"name": "tls", "port": TLS_PORT}]
    return build.service(name, *ports, vip=vip, selector={"version": "v1"} if name == "one" else {})


def _manifests() -> Iterator[dict[str, object]]:
    numbers = [("tcp", TCP_PORT), ("tls", TLS_PORT)]
    yield _service("store", STORE_VIP)
    yield _service("one", ONE_VIP)
    yield _service("two", TWO_VIP)
    yield build.endpoint_slice("one", build.endpoint(POD_IP, "v1-1"), ports=numbers)
    yield build.endpoint_slice("two", build.endpoint(PLAIN_IP, "v2-1"), ports=numbers)
    yield _split(90, 10)
    for name, hostnames in {"one": ["db.example.com"], "two": ["*.example.org", "other.example.com"]}.items():
        parent = build.service_parent("store", sectionName="tls")
        yield build.stream_route(
            "TLSRoute", f"sni-{name}", build.backend(name, TLS_PORT), parents=[parent], hostnames=hostnames
        )


def _split(one: int, two: int) -> dict[str, object]:
    shares = [build.backend("one", TCP_PORT, weight=one), build.backend("two", TCP_PORT, weight=two)]
    parent = build.service_parent("store", sectionName="tcp")
    return build.stream_route("TCPRoute", "split", *shares, parents=[parent])


@pytest.fixture(params=DATA_PLANES)
async def mesh(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Mesh]:
    async with running_mesh(data_plane=request.param) as running, contextlib.AsyncExitStack() as stack:
        for name, address in (("one", POD_IP), ("two", PLAIN_IP)):
            speaker = _speaker(name.encode())
            context = server_certificate(tmp_path, name)
            plain = await asyncio.start_server(speaker, sock=running.network.listen(address, TCP_PORT))
            secret = await asyncio.start_server(
                speaker, sock=running.network.listen(address, TLS_PORT), ssl=context
            )
            stack.callback(plain.close)
            stack.callback(secret.close)
        for manifest in _manifests():
            await create(running.api, manifest)
        # Not by trying: what no listener has would be passed on to the same address, which leads back here.
        await running.until(lambda: "tlsroute.shop/sni-two" in running.admin("/config_dump"), "no listener")
        await running.until(lambda: "tcproute.shop/split" in running.admin("/config_dump"), "no listener")
        yield running


def _speaks(mesh: Mesh) -> str:
    """Who speaks on a connection to the Service; empty when it is closed."""
    with mesh.network.connect(STORE_VIP, TCP_PORT) as connection, contextlib.suppress(ConnectionError):
        return connection.recv(100).decode()
    return ""


def _certificate(mesh: Mesh, server_name: str | None) -> str:
    """Whose certificate a TLS client that asks for `server_name` is shown; empty when it is closed."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with contextlib.suppress(ConnectionError), mesh.network.connect(STORE_VIP, TLS_PORT) as connection:
        client = TlsClient(connection, context, server_name)
        assert client.receive() in client.certificate, "the server at the other end has the certificate"
        return "one" if b"one" in client.certificate else "two"
    return ""


async def test_connections_are_split_by_weight_and_follow_a_change(mesh: Mesh) -> None:
    def shares() -> Counter[str]:
        return Counter(_speaks(mesh) for _ in range(CONNECTIONS))

    counted = await asyncio.to_thread(shares)
    assert set(counted) == {"one", "two"}
    # 4 standard deviations of a binomial share at 400 connections are 6 points.
    assert abs(counted["two"] / CONNECTIONS - 0.10) < 0.06
    await mesh.api.apply(without_bookkeeping(_split(0, 1)))
    await mesh.until(
        lambda: Counter(_speaks(mesh) for _ in range(20))["two"] == 20, "the new weights had no effect"
    )


async def test_a_share_without_a_backend_is_closed(mesh: Mesh) -> None:
    shares = [build.backend("one", TCP_PORT), build.backend("gone", TCP_PORT)]
    parent = build.service_parent("store", sectionName="tcp")
    await mesh.api.apply(
        without_bookkeeping(build.stream_route("TCPRoute", "split", *shares, parents=[parent]))
    )
    await mesh.until(
        lambda: {_speaks(mesh) for _ in range(20)} == {"one", ""}, "half of the connections end, half go on"
    )


async def test_tls_is_told_by_its_server_name_and_never_opened(mesh: Mesh) -> None:
    await mesh.until(lambda: _certificate(mesh, "db.example.com") == "one", "the TLSRoute did not route")

    def shown() -> dict[str | None, str]:
        names = ("a.b.example.org", "other.example.com", "db.example.net", "example.org", None)
        return {name: _certificate(mesh, name) for name in names}

    assert await asyncio.to_thread(shown) == {
        "a.b.example.org": "two",
        "other.example.com": "two",
        "db.example.net": "",
        "example.org": "",
        None: "",
    }
    await settled(mesh)
