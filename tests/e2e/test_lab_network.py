"""The lab's pod network on the real kernel: pods reach each other and VIPs, and nothing is left behind."""

import asyncio
import contextlib
import os
import select
import socket
import subprocess
from collections import Counter
from collections.abc import Iterator
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from lab import dns, netns
from lab.addressing import DNS_ADDRESS, SERVICE_NETWORK
from lab.destruction import destroy_lab
from lab.network import Node, PodNetwork
from lab.service_vip import LocalPort, ServicePort, TransportProtocol, ruleset

pytestmark = pytest.mark.privileged

VIP = IPv4Address("10.96.3.7")


@pytest.fixture
def root() -> Iterator[Path]:
    folder = Path(f"/run/meshproxy/test-network-{os.getpid()}")
    yield folder
    destroy_lab(folder)


@pytest.fixture
def node(root: Path) -> Node:
    return Node(root)


def listen(namespace: Path, port: int = 8080) -> socket.socket:
    return netns.inside(namespace, lambda: socket.create_server(("0.0.0.0", port)))


def connect(namespace: Path, address: IPv4Address, port: int) -> socket.socket:
    """A connection from `namespace`; a refusal is raised at once, silence after 5 s."""
    return netns.inside(namespace, lambda: socket.create_connection((str(address), port), timeout=30))


def peer_of(listener: socket.socket) -> str:
    """Accept one connection and say where it comes from."""
    connection, peer = listener.accept()
    connection.close()
    return str(peer[0])


def service(*pods: PodNetwork, port: int = 80) -> str:
    endpoints = tuple((pod.address, 8080) for pod in pods)
    return ruleset(
        [ServicePort("shop/catalog:http", VIP, port, endpoints)],
        service_network=SERVICE_NETWORK,
        node_address=IPv4Address("10.244.0.1"),
        local_ports=[LocalPort(DNS_ADDRESS, 53, TransportProtocol.UDP)],
    )


def test_pods_reach_each_other_with_their_own_addresses(node: Node) -> None:
    one, two = node.add_pod("one"), node.add_pod("two")
    assert (str(one.address), str(two.address)) == ("10.244.0.3", "10.244.0.4")
    with listen(two.namespace) as listener, connect(one.namespace, two.address, 8080):
        assert peer_of(listener) == str(one.address)


def test_the_node_reaches_pods_and_pods_the_control_planes_address(node: Node) -> None:
    pod = node.add_pod("pod")
    control_plane = node.add_pod("control-plane", node.control_plane_address)
    with listen(pod.namespace) as listener, connect(node.namespace, pod.address, 8080):
        assert peer_of(listener) == "10.244.0.1"
    with listen(control_plane.namespace) as listener, connect(pod.namespace, control_plane.address, 8080):
        assert peer_of(listener) == str(pod.address)


def test_an_address_nobody_has_is_unreachable_at_once(node: Node) -> None:
    pod = node.add_pod("pod")
    with pytest.raises(OSError, match="unreachable"):
        connect(pod.namespace, IPv4Address("10.244.0.200"), 80)


def test_a_vip_is_balanced_over_its_endpoints_for_pods_and_for_the_node(node: Node) -> None:
    client, *servers = (node.add_pod(name) for name in ("client", "a", "b", "c"))
    node.restore_firewall(service(*servers))
    with contextlib.ExitStack() as stack:
        listeners = [stack.enter_context(listen(server.namespace)) for server in servers]
        hits: Counter[int] = Counter()
        for namespace in [client.namespace] * 90 + [node.namespace] * 10:
            with connect(namespace, VIP, 80):
                (ready,), _, _ = select.select(listeners, [], [], 5)
                hits[listeners.index(ready)] += 1
                assert peer_of(ready) in (str(client.address), "10.244.0.1")
    # Each has 1/3 of 100: fewer than 10 has a probability below one in a million.
    assert all(hits[server] >= 10 for server in range(3))


def test_a_pod_may_be_answered_by_itself(node: Node) -> None:
    pod = node.add_pod("pod")
    node.restore_firewall(service(pod))
    with listen(pod.namespace) as listener, connect(pod.namespace, VIP, 80):
        assert peer_of(listener) == "10.244.0.1"


def test_ports_without_endpoints_and_undefined_ports_are_refused(node: Node) -> None:
    pod = node.add_pod("pod")
    node.restore_firewall(service())
    for namespace in (pod.namespace, node.namespace):
        for port in (80, 81):
            with pytest.raises(ConnectionRefusedError):
                connect(namespace, VIP, port)
    datagram = netns.open_socket(pod.namespace, socket.AF_INET, socket.SOCK_DGRAM)
    with datagram:
        datagram.settimeout(30)
        datagram.connect((str(VIP), 80))
        datagram.send(b"x")
        with pytest.raises(ConnectionRefusedError):
            datagram.recv(1)


def test_new_rules_replace_the_old_ones(node: Node) -> None:
    one, two = node.add_pod("one"), node.add_pod("two")
    for _ in range(3):
        node.restore_firewall(service(one))
    with listen(one.namespace) as listener, connect(two.namespace, VIP, 80):
        assert peer_of(listener) == str(two.address)
    saved = netns.run(node.namespace, ["iptables-save", "-t", "nat"])
    jumps = len([line for line in saved.splitlines() if line.endswith("-j LAB-SERVICES")])
    node.restore_firewall(service(one, port=90))
    assert jumps == 2, "of PREROUTING and OUTPUT"
    with pytest.raises(ConnectionRefusedError):
        connect(two.namespace, VIP, 80)


def test_a_pod_cannot_send_with_the_address_of_another(node: Node) -> None:
    thief, victim = node.add_pod("thief"), node.add_pod("victim")
    netns.run(thief.namespace, ["ip", "address", "add", f"{victim.address}/32", "dev", "lo"])
    server = node.add_pod("server")
    listener = netns.open_socket(server.namespace, socket.AF_INET, socket.SOCK_DGRAM)
    forged = netns.open_socket(thief.namespace, socket.AF_INET, socket.SOCK_DGRAM)
    with listener, forged:
        listener.bind(("0.0.0.0", 53))
        forged.bind((str(victim.address), 0))
        forged.sendto(b"forged", (str(server.address), 53))
        forged.close()
        with netns.open_socket(victim.namespace, socket.AF_INET, socket.SOCK_DGRAM) as honest:
            honest.sendto(b"honest", (str(server.address), 53))
        listener.settimeout(30)
        assert listener.recv(10) == b"honest"


async def test_the_clusters_dns_answers_pods_on_its_vip(node: Node) -> None:
    pod = node.add_pod("pod")
    node.restore_firewall(service())
    server = dns.DnsServer(dns.DnsTable.of({("shop", "catalog"): [VIP]}))
    await server.start(*dns.open_sockets(node.namespace, DNS_ADDRESS))
    with netns.open_socket(pod.namespace, socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.setblocking(False)
        client.connect((str(DNS_ADDRESS), 53))
        client.send(dns.DNSRecord.question("catalog.shop.svc.cluster.local").pack())
        async with asyncio.timeout(30):
            reply = dns.DNSRecord.parse(await asyncio.get_running_loop().sock_recv(client, 2000))
    assert str(reply.rr[0].rdata) == str(VIP)
    server.close()
    await asyncio.sleep(0)


def test_an_app_without_privileges_may_listen_on_low_ports(node: Node) -> None:
    pod = node.add_pod("pod")
    path = Path("/proc/sys/net/ipv4/ip_unprivileged_port_start")
    assert netns.inside(pod.namespace, path.read_text).strip() == "0"
    assert path.read_text().strip() != "0"


def test_a_node_opened_again_finds_its_pods_and_gives_out_no_address_twice(root: Path, node: Node) -> None:
    pod = node.add_pod("pod")
    again = Node(root)
    assert again.pods == {"pod": pod}
    assert again.add_pod("pod") == pod
    assert again.add_pod("next").address != pod.address


def test_a_half_made_pod_is_made_again(root: Path, node: Node) -> None:
    netns.create(root / "netns" / "pod")
    netns.run(node.namespace, ["ip", "link", "add", "lab0af40003", "type", "veth"])
    pod, other = node.add_pod("pod"), node.add_pod("other")
    with listen(pod.namespace) as listener, connect(other.namespace, pod.address, 8080):
        assert peer_of(listener) == str(other.address)


def test_a_removed_pod_is_gone_with_its_processes(root: Path, node: Node) -> None:
    pod = node.add_pod("pod")
    process = netns.inside(pod.namespace, lambda: subprocess.Popen(["sleep", "1000"]))
    node.remove_pod("pod")
    node.remove_pod("pod")
    assert process.wait(timeout=30) == -9
    assert not pod.namespace.exists()
    assert "lab0" not in netns.run(node.namespace, ["ip", "link"])
    assert node.add_pod("pod").address != pod.address


@pytest.mark.parametrize("name", ["", "a/b", ".", "node", "x" * 251])
def test_a_name_that_is_no_file_name_is_refused(node: Node, name: str) -> None:
    with pytest.raises(netns.NetworkError, match="file name"):
        node.add_pod(name)


def test_an_address_in_use_is_refused(node: Node) -> None:
    pod = node.add_pod("pod")
    with pytest.raises(netns.NetworkError, match="in use"):
        node.add_pod("other", pod.address)
    assert "other" not in node.pods


def host_state() -> tuple[str, str, str, int]:
    """Interfaces, routes and mounts of the host, and how many descriptors this process has open."""
    mounts = Path("/proc/self/mountinfo").read_text()
    own = [line for line in mounts.splitlines() if f"test-network-{os.getpid()}" in line]
    links, routes = (
        netns.execute(["ip", "-o", "link"]),
        netns.execute(["ip", "route", "show", "table", "all"]),
    )
    return links, routes, "\n".join(own), len(os.listdir("/proc/self/fd"))


def test_nothing_is_left_of_a_lab_whose_keepers_are_dead(root: Path) -> None:
    before = host_state()
    node = Node(root)
    namespaces = [node.add_pod(name).namespace for name in ("one", "two")] + [node.namespace]
    identities = {found for path in namespaces if (found := netns.identity(path)) is not None}
    assert len(identities) == 3
    processes = [netns.inside(path, lambda: subprocess.Popen(["sleep", "1000"])) for path in namespaces]
    for name in ("mounted", "with space and ü"):
        (root / name).mkdir()
        netns.execute(["mount", "-t", "tmpfs", "lab-test", str(root / name)])
    during = host_state()
    assert (during[0], during[1]) == (before[0], before[1])
    destroy_lab(root)
    destroy_lab(root)
    assert [process.wait(timeout=30) for process in processes] == [-9, -9, -9]
    assert host_state() == before
    assert not root.exists()
    assert netns.processes_in(identities) == []


def test_destroying_a_node_leaves_no_namespace(root: Path, node: Node) -> None:
    node.add_pod("pod")
    node.destroy()
    assert list((root / "netns").iterdir()) == []


def test_the_hosts_own_namespace_is_never_cleared_of_processes() -> None:
    host = netns.identity(Path("/proc/self/ns/net"))
    assert host is not None
    with pytest.raises(netns.NetworkError, match="refusing"):
        netns.kill_processes({host})


def test_a_failing_command_is_reported_in_its_own_words(node: Node) -> None:
    with pytest.raises(netns.NetworkError, match="Cannot find device"):
        netns.run(node.namespace, ["ip", "link", "set", "absent", "up"])
    with pytest.raises(netns.NetworkError, match="No such file"):
        netns.run(node.namespace, ["absent-command"])
