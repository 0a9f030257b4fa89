"""The namespace that other tests rely on."""

import socket

import pytest

from tests.contract.network_namespace import NetworkNamespace

pytestmark = pytest.mark.privileged


def test_sockets_made_in_the_namespace_do_not_see_the_hosts_network() -> None:
    with NetworkNamespace() as network, socket.create_server(("127.0.0.1", 0)) as outside:
        network.run("ip", "link", "set", "lo", "up")
        with pytest.raises(ConnectionRefusedError):
            network.connect("127.0.0.1", outside.getsockname()[1])
