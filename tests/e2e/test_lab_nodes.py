"""Several nodes on the real kernel: the rules of the flat network, on each kind of node and join."""

import json
import socket
import threading
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

import pytest

from lab import netns
from lab.addressing import Address
from lab.lab_file import Join
from lab.network import Node
from tests.e2e.lab_cluster import PLANS, Cluster, connect, listen, pod_on, running_cluster

pytestmark = pytest.mark.privileged

MEBIBYTE = 1 << 20


@pytest.fixture(scope="module", params=PLANS)
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    with running_cluster(request.param) as made:
        yield made


def seen_from(source: Path, target: Path, address: Address) -> str:
    """Whom a server at `address` sees when somebody at `source` dials it."""
    with listen(target, address) as listener, connect(source, address, listener.getsockname()[1]) as client:
        connection, peer = listener.accept()
        connection.close()
        assert client.getpeername()[0] == str(address)
        return str(peer[0])


def test_every_pod_reaches_every_other_without_translation(cluster: Cluster) -> None:
    pods = [pod_on(node, name) for node in cluster.nodes for name in ("a", "b")]
    for client in pods:
        for server in pods:
            if client is server:
                continue
            for own, address in zip(client.addresses, server.addresses, strict=True):
                assert seen_from(client.namespace, server.namespace, address) == str(own)


def test_a_node_reaches_every_pod_with_its_own_address_and_pods_reach_it(cluster: Cluster) -> None:
    for node in cluster.nodes:
        for other in cluster.nodes:
            pod = pod_on(other)
            for own, address in zip(node.addresses, pod.addresses, strict=True):
                assert seen_from(node.namespace, pod.namespace, address) == str(own)
                assert seen_from(pod.namespace, node.namespace, own) == str(address)


def test_the_address_a_pod_sees_is_the_one_others_see(cluster: Cluster) -> None:
    pod = pod_on(cluster.nodes[1])
    links = json.loads(netns.run(pod.namespace, ["ip", "-json", "address", "show", "eth0"]))
    own = {entry["local"] for entry in links[0]["addr_info"] if entry["scope"] == "global"}
    assert own == {str(address) for address in pod.addresses}
    assert [type(address) for address in pod.addresses] == [IPv4Address, IPv6Address]


def test_a_mebibyte_crosses_between_nodes(cluster: Cluster) -> None:
    client, server = (pod_on(node) for node in cluster.nodes)
    before = _carried_by_tunnel(cluster)
    for address in server.addresses:
        assert _transfer(client.namespace, server.namespace, address) == MEBIBYTE
    carried = _carried_by_tunnel(cluster) - before
    if cluster.plan.join is Join.VXLAN:
        assert carried > 2 * MEBIBYTE
    else:
        assert carried == 0


def _transfer(source: Path, target: Path, address: Address) -> int:
    """Bytes that arrived of a mebibyte."""
    with listen(target, address) as listener, connect(source, address, listener.getsockname()[1]) as client:
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(30)
            sender = threading.Thread(target=_send_mebibyte, args=[client])
            sender.start()
            received = 0
            while chunk := connection.recv(65536):
                received += len(chunk)
            sender.join()
            return received


def _send_mebibyte(connection: socket.socket) -> None:
    connection.sendall(bytes(MEBIBYTE))
    connection.close()


def _carried_by_tunnel(cluster: Cluster) -> int:
    text = netns.run(cluster.nodes[0].namespace, ["ip", "-s", "-json", "link"])
    tunnels = [link["stats64"]["tx"]["bytes"] for link in json.loads(text) if link["ifname"] == "vxlan0"]
    return int(sum(tunnels))


def test_the_largest_packet_of_a_pod_crosses_whole(cluster: Cluster) -> None:
    client, server = (pod_on(node) for node in cluster.nodes)
    largest = cluster.plan.pod_mtu - 28  # IPv4 20, UDP 8
    sender = netns.open_socket(client.namespace, socket.AF_INET, socket.SOCK_DGRAM)
    receiver = netns.open_socket(server.namespace, socket.AF_INET, socket.SOCK_DGRAM)
    with sender, receiver:
        receiver.bind((str(server.address), 0))
        receiver.settimeout(30)
        sender.setsockopt(socket.IPPROTO_IP, 10, 2)  # IP_MTU_DISCOVER = IP_PMTUDISC_DO: never in fragments
        sender.sendto(bytes(largest), receiver.getsockname())
        assert len(receiver.recv(65536)) == largest
        with pytest.raises(OSError, match="too long"):
            sender.sendto(bytes(largest + 1), receiver.getsockname())


def test_a_node_opened_again_finds_its_pods(cluster: Cluster) -> None:
    pod = pod_on(cluster.nodes[1])
    again = Node(cluster.root, cluster.plan, "n1")
    assert again.pods["a-n1"] == pod
    assert seen_from(cluster.nodes[0].namespace, pod.namespace, pod.address) == str(cluster.nodes[0].address)


def test_a_pod_that_is_removed_can_be_made_again(cluster: Cluster) -> None:
    node, other = cluster.nodes
    gone = node.add_pod("gone")
    node.remove_pod("gone")
    assert not gone.namespace.exists()
    pod = node.add_pod("gone", gone.address)
    client = pod_on(other)
    for own, address in zip(client.addresses, pod.addresses, strict=True):
        assert seen_from(client.namespace, pod.namespace, address) == str(own)
