"""A lab's nodes and pods on the kernel: network namespaces, joined by veth pairs and routes.

    pod namespace                      node namespace
    eth0 10.244.0.7/32  ── veth ──  lab0af40007      10.244.0.7 dev lab0af40007
    default via 169.254.1.1            lo: 10.244.0.1 (node), 10.96.0.10 (DNS), 10.96.0.0/16 (local)

So on a routed node; a bridge node has a bridge instead (`pod_link.py`). Packets to Service VIPs pass through
the node on both, and are translated there (`service_vip.py`). Nodes are joined by `fabric.py`. The host's own
namespace gets no interface, route or rule: the pairs are made inside the node's namespace, both ends. All
state is in the kernel: a `Node` opened again (a restarted kubelet) finds its pods. Blocking calls.
"""

import fcntl
import json
import os
import socket
import struct
import threading
import time
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path
from typing import cast

from lab import netns, pod_link
from lab.addressing import (
    DNS_ADDRESS,
    SERVICE_NETWORK,
    SERVICE_NETWORK_6,
    Address,
    NoAddressLeft,
    NodeAddresses,
    PodAddresses,
)
from lab.fabric import FABRIC_FILE, node_file
from lab.lab_file import DEFAULT_NODE, LabPlan, NodeKind
from lab.netns import NetworkError
from lab.pod_link import BRIDGE, INTERFACE_PREFIX, PodLink

_RESERVED = (".", "node", FABRIC_FILE)
_LONGEST_NAME = 250  # an interface's alias has 255 bytes

_NODE_SYSCTLS = {
    "net/ipv4/ip_forward": "1",
    "net/ipv4/conf/all/send_redirects": "0",
    "net/ipv4/conf/default/send_redirects": "0",
    "net/ipv4/conf/all/rp_filter": "0",
    "net/ipv4/conf/default/rp_filter": "1",  # a pod cannot send with another pod's address
    "net/ipv6/conf/default/accept_ra": "0",
    "net/ipv6/conf/default/accept_dad": "0",  # nobody else gives out these addresses: none is tentative
    "net/ipv6/conf/all/forwarding": "1",
}
_BRIDGE_SYSCTLS = {
    # Answers of a VIP's pod to a pod beside it must pass the packet filter, which undoes the translation.
    "net/bridge/bridge-nf-call-iptables": "1",
    "net/bridge/bridge-nf-call-ip6tables": "1",
}
_POD_SYSCTLS = {
    "net/ipv4/conf/all/rp_filter": "0",
    "net/ipv4/conf/default/rp_filter": "0",
    "net/ipv6/conf/default/accept_ra": "0",
    "net/ipv6/conf/default/accept_dad": "0",
    "net/ipv4/ip_unprivileged_port_start": "0",  # as container runtimes do: apps have no capabilities
}
_SIOCGIFFLAGS = 0x8913  # linux/sockios.h
_IFF_RUNNING = 0x40  # linux/if.h
_LINK_TIMEOUT = 1.0
_LINK_POLL = 0.001
"""Seconds."""
_RESTORE = {4: "iptables-restore", 6: "ip6tables-restore"}


@dataclass(frozen=True, slots=True)
class PodNetwork:
    """One pod's place in the network."""

    name: str
    address: IPv4Address
    namespace: Path
    """The namespace's file, for `netns.inside`, `nsenter --net=…` or `setns`."""
    addresses: tuple[Address, ...] = ()
    """All of them, IPv4 first: `status.podIPs`."""


class Node:
    """One node. Methods may be called from several threads; changes are made one at a time."""

    def __init__(self, root: Path, plan: LabPlan | None = None, name: str = DEFAULT_NODE) -> None:
        """Create the namespace of node `name` under `root`/netns, or open the one that is there.

        `root` is the lab's directory, `/run/meshproxy/<lab>`; without a plan the lab is a single node.
        Raises LabFileError for a node the plan does not have, NetworkError.
        """
        self._plan = plan or LabPlan()
        self._own = self._plan.node(name)
        self._at = NodeAddresses(self._own.number)
        self.name = name
        self.address = self._at.node
        self.addresses = self._versions(self._at.node)
        """By which pods and other nodes reach the node, IPv4 first."""
        self.control_plane_address = self._at.control_plane
        self._folder = root / "netns"
        self.namespace = self._folder / node_file(name)
        self._lock = threading.RLock()
        self._free = PodAddresses(self._at.pods)
        self._pods: dict[str, PodNetwork] = {}
        self._open()

    def _versions(self, address: IPv4Address) -> tuple[Address, ...]:
        return (address, self._at.second(address)) if self._plan.is_dual_stack else (address,)

    def _open(self) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        netns.create(self.namespace)
        netns.inside(self.namespace, self._configure)
        for pod in self._find_pods():
            self._pods[pod.name] = pod
            self._free.take(pod.address)

    def _configure(self) -> None:
        _write_sysctls(_NODE_SYSCTLS)
        commands = [
            "link set lo up",
            f"address replace {DNS_ADDRESS}/32 dev lo",
            *(f"address replace {address} dev lo nodad" for address in self.addresses if not self._is_bridge),
        ]
        if self._is_bridge:
            self._make_bridge()
            commands += pod_link.bridge_commands(
                self._at, self._plan.pod_mtu, is_dual_stack=self._plan.is_dual_stack
            )
        # VIPs are local, so that a port no rule translates is refused instead of unroutable.
        commands.append(f"route replace local {SERVICE_NETWORK} dev lo src {self.address}")
        if self._plan.is_dual_stack:
            commands.append(f"route replace local {SERVICE_NETWORK_6} dev lo src {self._at.node_6}")
        _ip(commands)

    @property
    def _is_bridge(self) -> bool:
        return self._own.kind is NodeKind.BRIDGE

    def _make_bridge(self) -> None:
        if not os.path.exists("/proc/sys/net/bridge"):
            raise NetworkError(
                f"node {self.name} is of kind bridge, which needs the kernel module br_netfilter: "
                "run `modprobe br_netfilter`, or make it of kind routed"
            )
        _write_sysctls(_BRIDGE_SYSCTLS)
        if not _link_exists(BRIDGE):
            # Without snooping neighbour solicitations pass at once, not only when a querier is known.
            _ip([f"link add {BRIDGE} type bridge mcast_snooping 0"])

    def _find_pods(self) -> list[PodNetwork]:
        links = cast(
            "list[dict[str, object]]", json.loads(netns.run(self.namespace, ["ip", "-json", "link"]))
        )
        pods = []
        for link in links:
            name, interface = link.get("ifalias"), str(link["ifname"])
            if isinstance(name, str) and interface.startswith(INTERFACE_PREFIX):
                address = IPv4Address(int(interface.removeprefix(INTERFACE_PREFIX), 16))
                pods.append(self._pod(name, address))
        return pods

    def _pod(self, name: str, address: IPv4Address) -> PodNetwork:
        return PodNetwork(name, address, self._folder / name, self._versions(address))

    @property
    def pods(self) -> dict[str, PodNetwork]:
        """A copy, by name."""
        with self._lock:
            return dict(self._pods)

    def add_pod(self, name: str, address: IPv4Address | None = None) -> PodNetwork:
        """Give `name` a namespace and an address (allocated when None); a pod that exists is returned as it
        is.

        `name` is a file name that is unique in the lab, e.g. `shop_catalog-v1-x7f_<uid>`. Raises
        NetworkError.
        """
        if not name or "/" in name or name.startswith(_RESERVED) or len(name) > _LONGEST_NAME:
            raise NetworkError(
                f"pod name {name!r} must be a file name of 1-{_LONGEST_NAME} characters, not starting with "
                f"{', '.join(_RESERVED)}"
            )
        with self._lock:
            if name in self._pods:
                return self._pods[name]
            if address is not None and any(pod.address == address for pod in self._pods.values()):
                raise NetworkError(f"address {address} is in use by another pod")
            pod = self._pod(name, self._take(address))
            try:
                self._connect(pod)
            except BaseException:
                self._disconnect(pod)
                raise
            self._pods[name] = pod
            return pod

    def _take(self, address: IPv4Address | None) -> IPv4Address:
        if address is not None:
            self._free.take(address)
            return address
        try:
            return self._free.allocate()
        except NoAddressLeft as error:
            raise NetworkError(f"node {self.name}: {error}") from error

    def _connect(self, pod: PodNetwork) -> None:
        netns.create(pod.namespace)
        self._delete_link(pod)  # half-made by a process that was killed meanwhile
        second = self._at.second(pod.address) if self._plan.is_dual_stack else None
        link = PodLink(pod.name, pod.address, second, pod.namespace, self._plan.pod_mtu)
        kind = self._own.kind
        netns.inside(self.namespace, lambda: _ip(pod_link.node_commands(link, kind, self._at)))

        def configure() -> None:
            _write_sysctls(_POD_SYSCTLS)
            _ip(pod_link.pod_commands(link, kind, self._at))
            _wait_until_running("eth0")

        netns.inside(pod.namespace, configure)
        netns.inside(self.namespace, lambda: _wait_until_running(link.interface))

    def remove_pod(self, name: str) -> None:
        """Take the pod off the network, kill what still runs in it, free its address. Absent is fine."""
        with self._lock:
            pod = self._pods.pop(name, None)
            if pod is not None:
                self._disconnect(pod)

    def _disconnect(self, pod: PodNetwork) -> None:
        # Processes first: their closing connections can still say goodbye over the link.
        namespace = netns.identity(pod.namespace)
        if namespace is not None:
            netns.kill_processes({namespace})
        self._delete_link(pod)
        netns.delete(pod.namespace)
        self._free.release(pod.address)

    def _delete_link(self, pod: PodNetwork) -> None:
        link = pod_link.interface(pod.address)
        if netns.inside(self.namespace, lambda: _link_exists(link)):
            netns.run(self.namespace, ["ip", "link", "delete", link])

    def restore_firewall(self, ruleset: str, version: int = 4) -> None:
        """Replace the node's tables named in `ruleset` (iptables-restore text, of IPv4 or IPv6), each table
        atomically."""
        with self._lock:
            netns.run(self.namespace, [_RESTORE[version], "--wait"], stdin=ruleset)

    def destroy(self) -> None:
        """Remove every pod, kill what runs on the node itself, delete its namespace."""
        with self._lock:
            for name in list(self._pods):
                self.remove_pod(name)
            namespace = netns.identity(self.namespace)
            if namespace is not None:
                netns.kill_processes({namespace})
            netns.delete(self.namespace)


def _ip(commands: list[str]) -> None:
    """In the calling thread's namespace."""
    netns.execute(["ip", "-batch", "-"], stdin="\n".join([*commands, ""]))


def _link_exists(name: str) -> bool:
    """In the calling thread's namespace."""
    return os.path.exists(f"/proc/sys/net/ipv4/conf/{name}")


def _wait_until_running(name: str) -> None:
    """The kernel starts a link's queue a little after its other end is up, and drops what is sent before.
    Gives up silently: who sends first is only slower then."""
    give_up_at = time.monotonic() + _LINK_TIMEOUT
    request = struct.pack("16sH14x", name.encode(), 0)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        while time.monotonic() < give_up_at:
            flags = struct.unpack_from("H", fcntl.ioctl(any_socket, _SIOCGIFFLAGS, request), 16)[0]
            if flags & _IFF_RUNNING:
                return
            time.sleep(_LINK_POLL)


def _write_sysctls(values: dict[str, str]) -> None:
    """`/proc/sys/net` shows the namespace of the thread that opens it."""
    for name, value in values.items():
        with open(f"/proc/sys/{name}", "w") as file:
            file.write(value)
