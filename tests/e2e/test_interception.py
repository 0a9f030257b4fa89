"""The interception rules on the real kernel: what is redirected, what is not, and that applying leaves no
trace.

Nothing of the sidecar runs here: sockets on 15001 and 15006 stand for its listeners.
"""

import contextlib
import ctypes
import os
import select
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator, Sequence
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

from lab import netns
from lab.destruction import destroy_lab
from lab.network import Node, PodNetwork
from meshproxy.interception.apply import InterceptionError, Interceptor, run_command
from meshproxy.interception.original_dst import original_destination
from meshproxy.interception.rules import normalise
from meshproxy.interception.settings import InterceptionSettings

pytestmark = pytest.mark.privileged

PROXY, APP = 1337, 1000
OUTBOUND, INBOUND, SERVICE = 15001, 15006, 8080
VIP, OTHER_VIP = "10.96.3.7", "10.96.3.8"
POD_V6, NODE_V6, VIP_V6, OTHER_VIP_V6 = "fd00::3", "fd00::1", "fd00:96::7", "fd00:96::8"
DEFAULT = InterceptionSettings()

_libc = ctypes.CDLL(None, use_errno=True)


@pytest.fixture
def node() -> Iterator[Node]:
    root = Path(f"/run/meshproxy/test-interception-{os.getpid()}")
    yield Node(root)
    destroy_lab(root)


@pytest.fixture
def pod(node: Node) -> PodNetwork:
    return node.add_pod("pod")


@pytest.fixture
def client(node: Node) -> PodNetwork:
    return node.add_pod("client")


@pytest.fixture
def pod_v6(node: Node, pod: PodNetwork) -> PodNetwork:
    """The pod with an IPv6 address and a way out."""
    link = f"lab{int(pod.address):08x}"
    netns.run(node.namespace, ["ip", "-6", "address", "add", f"{NODE_V6}/64", "dev", link, "nodad"])
    netns.run(pod.namespace, ["ip", "-6", "address", "add", f"{POD_V6}/64", "dev", "eth0", "nodad"])
    netns.run(pod.namespace, ["ip", "-6", "route", "add", "default", "via", NODE_V6])
    return pod


def apply(pod: PodNetwork, settings: InterceptionSettings = DEFAULT) -> None:
    netns.inside(pod.namespace, lambda: Interceptor().apply(settings))


def clean(pod: PodNetwork) -> None:
    netns.inside(pod.namespace, lambda: Interceptor().clean())


def saved(pod: PodNetwork) -> list[str]:
    return [
        line
        for program in ("iptables-save", "ip6tables-save")
        for line in normalise(netns.run(pod.namespace, [program]))
    ]


class Listeners:
    """Listening sockets of a pod, by port; `caught` says which of them a connection reached."""

    def __init__(self, pod: PodNetwork, *ports: int) -> None:
        self._sockets = {netns.inside(pod.namespace, lambda p=port: self._open(p)): port for port in ports}  # type: ignore[misc]

    @staticmethod
    def _open(port: int) -> socket.socket:
        return socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True)

    def caught(self) -> tuple[int, tuple[str, int] | None, str]:
        """(port it arrived at, original destination, source address) of the one connection there is."""
        ready, _, _ = select.select(list(self._sockets), [], [], 5)
        (listener,) = ready
        connection, peer = listener.accept()
        with connection:
            return self._sockets[listener], original_destination(connection), peer[0].removeprefix("::ffff:")

    def close(self) -> None:
        for each in self._sockets:
            each.close()


@contextlib.contextmanager
def listening(pod: PodNetwork, *ports: int) -> Iterator[Listeners]:
    with contextlib.closing(Listeners(pod, *ports or (OUTBOUND, INBOUND, SERVICE))) as listeners:
        yield listeners


def open_as(uid: int, gid: int, family: socket.AddressFamily) -> socket.socket:
    """A socket that the kernel counts as this user's; setfsuid(2) acts on the calling thread only."""
    _libc.setfsgid(gid)
    _libc.setfsuid(uid)
    try:
        return socket.socket(family, socket.SOCK_STREAM)
    finally:
        _libc.setfsuid(0)
        _libc.setfsgid(0)


def connect(
    source: PodNetwork | Node, host: str, port: int, *, uid: int = APP, gid: int = APP, bind: str = ""
) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    connection = netns.inside(source.namespace, lambda: open_as(uid, gid, family))
    try:
        connection.settimeout(30)
        if bind:
            connection.bind((bind, 0))
        connection.connect((host, port))
    except BaseException:
        connection.close()
        raise
    return connection


def test_a_connection_to_the_pod_arrives_at_the_inbound_listener(pod: PodNetwork, client: PodNetwork) -> None:
    apply(pod)
    with listening(pod) as listeners, connect(client, str(pod.address), SERVICE):
        assert listeners.caught() == (INBOUND, (str(pod.address), SERVICE), str(client.address))


def test_the_apps_connections_arrive_at_the_outbound_listener_by_vip(
    pod: PodNetwork,
) -> None:
    apply(pod)
    with listening(pod) as listeners:
        for address, port in ((VIP, 80), (OTHER_VIP, 81)):
            with connect(pod, address, port):
                assert listeners.caught()[:2] == (OUTBOUND, (address, port))


@pytest.mark.parametrize(("uid", "gid"), [(PROXY, APP), (APP, PROXY)])
def test_the_sidecars_own_connections_go_out(pod: PodNetwork, client: PodNetwork, uid: int, gid: int) -> None:
    apply(pod)
    with listening(client, 80) as server, connect(pod, str(client.address), 80, uid=uid, gid=gid):
        # A namespace without rules has no conntrack, so its kernel knows no original destination.
        assert server.caught() == (80, None, str(pod.address))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "own"])
def test_the_app_reaches_itself_directly(pod: PodNetwork, host: str) -> None:
    apply(pod)
    host = str(pod.address) if host == "own" else host
    with listening(pod) as listeners, connect(pod, host, SERVICE):
        assert listeners.caught()[0] == SERVICE


def test_the_sidecar_reaches_loopback_directly(pod: PodNetwork) -> None:
    apply(pod)
    with listening(pod) as listeners, connect(pod, "127.0.0.1", SERVICE, uid=PROXY, gid=PROXY):
        assert listeners.caught()[0] == SERVICE


def test_a_call_to_the_own_vip_goes_out_comes_in_again_and_ends_at_the_app(pod: PodNetwork) -> None:
    apply(pod)
    own = str(pod.address)
    with listening(pod) as listeners:
        with connect(pod, VIP, 80):
            assert listeners.caught()[:2] == (OUTBOUND, (VIP, 80))
        with connect(pod, own, SERVICE, uid=PROXY, gid=PROXY):
            assert listeners.caught()[:2] == (INBOUND, (own, SERVICE))
        with connect(pod, own, SERVICE, uid=PROXY, gid=PROXY, bind="127.0.0.6"):
            assert listeners.caught() == (SERVICE, (own, SERVICE), "127.0.0.6")


def test_dialling_a_listener_directly_shows_its_own_port(pod: PodNetwork, client: PodNetwork) -> None:
    apply(pod)
    with listening(pod) as listeners:
        for port in (INBOUND, OUTBOUND):
            with connect(client, str(pod.address), port):
                assert listeners.caught()[:2] == (INBOUND, (str(pod.address), port))


@pytest.mark.parametrize("port", [15020, 15021, 15090, 9000])
def test_excluded_inbound_ports_reach_their_owner_from_the_clients_address(
    pod: PodNetwork, client: PodNetwork, port: int
) -> None:
    apply(pod, InterceptionSettings(exclude_inbound_ports=(9000,)))
    with listening(pod, INBOUND, port) as listeners, connect(client, str(pod.address), port):
        assert listeners.caught() == (port, (str(pod.address), port), str(client.address))


def test_only_included_inbound_ports_are_redirected(pod: PodNetwork, client: PodNetwork) -> None:
    apply(pod, InterceptionSettings(include_inbound_ports=(SERVICE,)))
    with listening(pod, INBOUND, SERVICE, 9000) as listeners:
        for port, expected in ((SERVICE, INBOUND), (9000, 9000)):
            with connect(client, str(pod.address), port):
                assert listeners.caught()[0] == expected


def test_excluded_outbound_ports_and_ranges_are_direct(
    pod: PodNetwork, client: PodNetwork, node: Node
) -> None:
    other = node.add_pod("other")
    excluded = (ip_network(f"{other.address}/32"),)
    apply(pod, InterceptionSettings(exclude_outbound_ports=(3306,), exclude_outbound_ranges=excluded))
    with listening(pod) as own, listening(client, 3306) as database, listening(other, 80) as outside:
        with connect(pod, str(client.address), 3306):
            assert database.caught()[2] == str(pod.address)
        with connect(pod, str(other.address), 80):
            assert outside.caught()[2] == str(pod.address)
        with connect(pod, str(client.address), 80):
            assert own.caught()[:2] == (OUTBOUND, (str(client.address), 80))


def test_only_included_ranges_and_ports_are_redirected_outbound(pod: PodNetwork, client: PodNetwork) -> None:
    settings = InterceptionSettings(
        include_outbound_ranges=(ip_network("10.96.0.0/16"),), include_outbound_ports=(9000,)
    )
    apply(pod, settings)
    with listening(pod) as own, listening(client, 80) as outside:
        with connect(pod, VIP, 80):
            assert own.caught()[:2] == (OUTBOUND, (VIP, 80))
        with connect(pod, str(client.address), 9000):
            assert own.caught()[:2] == (OUTBOUND, (str(client.address), 9000))
        with connect(pod, str(client.address), 80):
            assert outside.caught()[0] == 80


def test_udp_is_not_captured(pod: PodNetwork, client: PodNetwork) -> None:
    apply(pod)
    server = netns.open_socket(client.namespace, socket.AF_INET, socket.SOCK_DGRAM)
    sender = netns.open_socket(pod.namespace, socket.AF_INET, socket.SOCK_DGRAM)
    with server, sender:
        server.settimeout(30)
        server.bind(("0.0.0.0", 53))
        sender.sendto(b"query", (str(client.address), 53))
        assert server.recvfrom(10)[0] == b"query"


def udp_as(pod: PodNetwork, uid: int, port: int = 0) -> socket.socket:
    """A UDP socket of a user, bound to `port`."""

    def open_it() -> socket.socket:
        _libc.setfsgid(uid)
        _libc.setfsuid(uid)
        try:
            made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        finally:
            _libc.setfsuid(0)
            _libc.setfsgid(0)
        made.bind(("0.0.0.0", port))
        made.settimeout(30)
        return made

    return netns.inside(pod.namespace, open_it)


def test_dns_queries_meet_the_resolver_and_its_own_go_out_even_from_the_same_port(
    pod: PodNetwork, client: PodNetwork
) -> None:
    server_address = str(client.address)
    apply(pod, InterceptionSettings(dns_servers=(client.address,)))
    server = netns.open_socket(client.namespace, socket.AF_INET, socket.SOCK_DGRAM)
    resolver = netns.open_socket(pod.namespace, socket.AF_INET, socket.SOCK_DGRAM)
    app = udp_as(pod, APP)
    with server, resolver:
        server.settimeout(30)
        resolver.settimeout(30)
        server.bind(("0.0.0.0", 53))
        resolver.bind(("127.0.0.1", 15053))
        with app:
            app.sendto(b"from the app", (server_address, 53))
            query, asker = resolver.recvfrom(64)
            resolver.sendto(b"answer", asker)
            assert (query, *app.recvfrom(64)) == (b"from the app", b"answer", (server_address, 53))
        with udp_as(pod, PROXY, asker[1]) as own:
            own.sendto(b"from the resolver", (server_address, 53))
            query, place = server.recvfrom(64)
            assert (query, place[1]) == (b"from the resolver", asker[1])
            server.sendto(b"answer from outside", place)
            assert own.recv(64) == b"answer from outside"


def test_dns_over_tcp_meets_the_resolver_too(pod: PodNetwork, client: PodNetwork) -> None:
    apply(pod, InterceptionSettings(dns_servers=(client.address,)))
    with listening(pod, OUTBOUND, 15053) as own, listening(client, 53) as server:
        with connect(pod, str(client.address), 53):
            assert own.caught()[0] == 15053
        with connect(pod, str(client.address), 53, uid=PROXY, gid=PROXY):
            assert server.caught()[0] == 53


def test_ipv6_is_redirected_as_ipv4_is(pod_v6: PodNetwork, node: Node) -> None:
    apply(pod_v6)
    with listening(pod_v6) as listeners:
        for address, port in ((VIP_V6, 80), (OTHER_VIP_V6, 81)):
            with connect(pod_v6, address, port):
                assert listeners.caught()[:2] == (OUTBOUND, (address, port))
        with connect(node, POD_V6, SERVICE):
            assert listeners.caught() == (INBOUND, (POD_V6, SERVICE), NODE_V6)
        with connect(pod_v6, POD_V6, SERVICE, uid=PROXY, gid=PROXY):
            assert listeners.caught()[:2] == (INBOUND, (POD_V6, SERVICE))
        with connect(pod_v6, POD_V6, SERVICE, uid=PROXY, gid=PROXY, bind="::6"):
            assert listeners.caught() == (SERVICE, (POD_V6, SERVICE), "::6")
        for host in ("::1", POD_V6):
            with connect(pod_v6, host, SERVICE):
                assert listeners.caught()[0] == SERVICE


def lo_addresses(pod: PodNetwork) -> str:
    return netns.run(pod.namespace, ["ip", "-6", "-oneline", "address", "show", "dev", "lo"])


FOREIGN = """\
*nat
:OTHERS - [0:0]
-A OUTPUT -d 198.51.100.0/24 -j OTHERS
-A OTHERS -m comment --comment "-j MESHPROXY_OUTPUT" -j RETURN
COMMIT
*filter
-A INPUT -p udp -m udp --dport 9 -j DROP
COMMIT
"""


WITH_DNS = InterceptionSettings(dns_servers=(ip_address("10.96.0.10"), ip_address("fd00::a")))


@pytest.mark.parametrize(("foreign", "settings"), [("", DEFAULT), (FOREIGN, DEFAULT), (FOREIGN, WITH_DNS)])
def test_applying_three_times_is_applying_once_and_cleaning_restores(
    pod: PodNetwork, foreign: str, settings: InterceptionSettings
) -> None:
    if foreign:
        netns.run(pod.namespace, ["iptables-restore", "--noflush"], stdin=foreign)
    before, addresses = saved(pod), lo_addresses(pod)
    apply(pod, settings)
    once = saved(pod)
    assert once != before
    for _ in range(2):
        apply(pod, settings)
    assert saved(pod) == once
    clean(pod)
    assert (saved(pod), lo_addresses(pod)) == (before, addresses)
    clean(pod)
    assert saved(pod) == before


def test_other_settings_replace_the_rules(pod: PodNetwork) -> None:
    other = InterceptionSettings(proxy_uid=4000, exclude_inbound_ports=(9000,), drop_invalid=False)
    apply(pod, other)
    expected = saved(pod)
    apply(pod)
    assert saved(pod) != expected
    apply(pod, other)
    assert saved(pod) == expected


@pytest.mark.parametrize("had_rules", [False, True])
def test_a_failure_of_ipv6_leaves_everything_as_it_was(pod: PodNetwork, had_rules: bool) -> None:
    failed: list[Sequence[str]] = []

    def run_but_fail_once(command: Sequence[str], stdin: str) -> str:
        if command[0] == "ip6tables-restore" and not failed:
            failed.append(command)
            raise InterceptionError("no IPv6 nat")
        return run_command(command, stdin)

    if had_rules:
        apply(pod, InterceptionSettings(proxy_uid=4000))
    before, addresses = saved(pod), lo_addresses(pod)
    with pytest.raises(InterceptionError, match="no IPv6 nat"):
        netns.inside(pod.namespace, lambda: Interceptor(run_but_fail_once).apply(DEFAULT))
    assert (saved(pod), lo_addresses(pod)) == (before, addresses)


def invalid_packet(source: PodNetwork, destination: PodNetwork) -> bytes:
    """A TCP SYN+ACK that answers nothing: source and destination port, numbers, flags 0x12, checksum."""
    segment = struct.pack("!HHIIBBHHH", 4000, SERVICE, 1, 1, 5 << 4, 0x12, 1000, 0, 0)
    pseudo = (
        source.address.packed
        + destination.address.packed
        + struct.pack("!HH", socket.IPPROTO_TCP, len(segment))
    )
    total = sum(struct.unpack(f"!{len(pseudo + segment) // 2}H", pseudo + segment))
    total = (total & 0xFFFF) + (total >> 16)
    checksum = ~(total + (total >> 16)) & 0xFFFF
    return segment[:16] + struct.pack("!H", checksum) + segment[18:]


@pytest.mark.parametrize("drop", [True, False])
def test_an_invalid_packet_is_dropped_instead_of_answered_with_a_reset(
    pod: PodNetwork, client: PodNetwork, drop: bool
) -> None:
    apply(pod, InterceptionSettings(drop_invalid=drop))
    packet = invalid_packet(client, pod)

    def open_raw() -> socket.socket:
        return socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP)

    with netns.inside(client.namespace, open_raw) as raw, listening(pod) as listeners:
        raw.settimeout(30)
        raw.sendto(packet, (str(pod.address), 0))
        # Packets on one link keep their order: what the next connection makes comes after a reset, if there
        # is one.
        with connect(client, str(pod.address), SERVICE):
            listeners.caught()
        flags = raw.recv(100)[33]
    assert bool(flags & 0x04) is not drop


def test_the_init_container_applies_cleans_and_refuses(pod: PodNetwork) -> None:
    def run(*flags: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "meshproxy.interception", *flags]
        return netns.inside(
            pod.namespace,
            lambda: subprocess.run(command, capture_output=True, text=True, check=False, timeout=300),
        )

    before = saved(pod)
    assert "-A MESHPROXY_OUTPUT" in run("--dry-run").stdout
    assert saved(pod) == before
    refused = run("--exclude-inbound-ports=http")
    assert (refused.returncode, saved(pod)) == (2, before)
    assert "--exclude-inbound-ports: 'http' is not a port" in refused.stderr
    applied = run("--exclude-inbound-ports=9000")
    assert (applied.returncode, applied.stderr) == (0, "")
    assert any("--dport 9000 -j RETURN" in line for line in saved(pod))
    assert run("--clean").returncode == 0
    assert saved(pod) == before
