"""SIGTERM of a whole sidecar under load, the app behind it still up: no request fails, connections end one by
one. The sidecar is the client's and, through mTLS, the server's at once."""

import asyncio
import signal
import threading
from http.client import HTTPConnection

import pytest

from tests.contract.one_pod_mesh import V1_VIP, Mesh, running_mesh

pytestmark = pytest.mark.privileged

CLIENTS = 8
DRAIN = 4.0


class Client(threading.Thread):
    """An application: POSTs one after the other on a kept connection, on a new one when told to close."""

    def __init__(self, mesh: Mesh) -> None:
        super().__init__()
        self._mesh = mesh
        self.answers = 0
        self.closes = 0
        self.errors: list[str] = []
        self.stop = threading.Event()

    def run(self) -> None:
        try:
            while not self.stop.is_set():
                self._use_a_connection()
        except Exception as error:
            self.errors.append(repr(error))

    def _use_a_connection(self) -> None:
        connection = HTTPConnection(V1_VIP, 8080)
        connection.sock = self._mesh.network.connect(V1_VIP, 8080)
        while not self.stop.is_set():
            connection.request("POST", "/", headers={"Host": "v1.shop:8080", "Content-Length": "0"})
            response = connection.getresponse()
            response.read()
            if response.status != 200:
                self.errors.append(str(response.status))
            self.answers += 1
            if response.getheader("connection") == "close":
                self.closes += 1
                break
        connection.close()


async def test_no_request_fails_when_a_sidecar_is_told_to_end_under_load() -> None:
    async with running_mesh(data_plane="meshproxy", drain_timeout=DRAIN) as mesh:
        clients = [Client(mesh) for _ in range(CLIENTS)]
        for client in clients:
            client.start()
        await mesh.until(lambda: min(client.answers for client in clients) >= 20, "no load")
        assert not any(client.closes for client in clients)
        mesh.proxy.send_signal(signal.SIGTERM)
        await mesh.until(lambda: all(client.closes for client in clients), "no connection was ended")
        kept = sum(client.answers for client in clients) - sum(client.closes for client in clients)
        for client in clients:
            client.stop.set()
        for client in clients:
            await asyncio.to_thread(client.join)
        assert [error for client in clients for error in client.errors] == []
        assert kept > CLIENTS * 20  # not every response ended its connection
        assert await asyncio.to_thread(mesh.proxy.wait, DRAIN + 5) == 0
