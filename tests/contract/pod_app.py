"""An app in the one-pod mesh whose connections to pods, too, leave through the outbound side."""

import asyncio
import contextlib
import http.client
import socket

from tests.contract.one_pod_mesh import Mesh

APP_IP = "10.244.0.99"


def let_app_in(mesh: Mesh) -> None:
    """From its address, other pods are reached through 15001, as from a pod of its own."""
    mesh.network.run("ip", "address", "add", f"{APP_IP}/32", "dev", "lo")
    first = ("iptables", "-t", "nat", "-I", "OUTPUT", "1", "-p", "tcp", "-s", APP_IP, "-d", "10.244.0.0/16")
    mesh.network.run(*first, "-j", "REDIRECT", "--to-ports", "15001")


def connect(mesh: Mesh, address: str, port: int) -> socket.socket:
    return mesh.network.call(socket.create_connection, (address, port), 10.0, (APP_IP, 0))


def get(mesh: Mesh, address: str, port: int, host: str, path: str = "/") -> tuple[int, str]:
    connection = http.client.HTTPConnection(address, port)
    connection.sock = connect(mesh, address, port)
    with contextlib.closing(connection):
        connection.request("GET", path, headers={"Host": host, "Connection": "close"})
        response = connection.getresponse()
        return response.status, response.read().decode()


def answer(mesh: Mesh, address: str, port: int, sent: bytes = b"") -> bytes:
    """The first bytes that come back; empty when the connection ends instead."""
    try:
        with connect(mesh, address, port) as connection:  # whoever refuses may be quicker than we are
            connection.sendall(sent)
            return connection.recv(1000)
    except ConnectionError:
        return b""


async def settled(mesh: Mesh) -> None:
    """Until the data plane has accepted everything that was sent; a refusal never settles."""
    async with asyncio.timeout(60):
        while await mesh.sync_states() != {"SYNCED"}:  # noqa: ASYNC110 (another process)
            await asyncio.sleep(0.05)
