"""SIGTERM of a whole sidecar under load, the app behind it still up: no request fails, connections end one by
one. The sidecar is the client's and, through mTLS, the server's at once; or only one of the two."""

import asyncio
import signal
import threading
from http.client import HTTPConnection

import pytest

from tests.contract.network_namespace import NetworkNamespace
from tests.contract.one_pod_mesh import V1_VIP, running_mesh
from tests.contract.pods_apart import VIP, running_pods

pytestmark = pytest.mark.privileged

CLIENTS = 8
DRAIN = 4.0


class Client(threading.Thread):
    """An application: POSTs one after the other on a kept connection, on a new one when told to close."""

    def __init__(self, network: NetworkNamespace, address: str, host: str) -> None:
        super().__init__()
        self._network = network
        self._address = address
        self._host = host
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
        connection = HTTPConnection(self._address, 8080)
        connection.sock = self._network.connect(self._address, 8080)
        while not self.stop.is_set():
            connection.request("POST", "/", headers={"Host": self._host, "Content-Length": "0"})
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
        clients = [Client(mesh.network, V1_VIP, "v1.shop:8080") for _ in range(CLIENTS)]
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
        assert await asyncio.to_thread(mesh.proxy.wait, DRAIN + 60) == 0


@pytest.mark.parametrize("side", ["client", "server"])
async def test_no_request_fails_when_the_sidecar_of_one_side_is_told_to_end(side: str) -> None:
    """The server's endpoint is withdrawn when its sidecar is told, not before, as a cluster does it."""
    async with running_pods(DRAIN) as pods:
        clients = [Client(pods.load.network, VIP, "catalog.shop:8080") for _ in range(CLIENTS)]
        for client in clients:
            client.start()
        await pods.until(lambda: min(client.answers for client in clients) >= 20, "no load")
        ending = pods.load if side == "client" else pods.servers["c-1"]
        ending.sidecar.send_signal(signal.SIGTERM)
        if side == "server":
            await pods.withdraw("c-1")
            assert await asyncio.to_thread(ending.sidecar.wait, DRAIN + 60) == 0  # under load all the time
            left = pods.served["c-1"]
            many = sum(client.answers for client in clients) + CLIENTS * 20
            await pods.until(lambda: sum(client.answers for client in clients) >= many, "no load is left")
            assert pods.served["c-1"] == left
        else:
            await pods.until(lambda: all(client.closes for client in clients), "no connection was ended")
        for client in clients:
            client.stop.set()
        for client in clients:
            await asyncio.to_thread(client.join)
        assert [error for client in clients for error in client.errors] == []
        if side == "client":
            assert await asyncio.to_thread(ending.sidecar.wait, DRAIN + 60) == 0
