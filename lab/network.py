"""The lab's pod network: a node as a network namespace, pods joined to it by veth pairs and /32 routes.

    pod namespace                      node namespace
    eth0 10.244.0.7/32  ── veth ──  lab0af40007      10.244.0.7 dev lab0af40007
    default via 169.254.1.1            lo: 10.244.0.1 (node), 10.96.0.10 (DNS), 10.96.0.0/16 (local)

There is no bridge, so every packet between pods is routed by the node, where Service VIPs are translated
(`service_vip.py`). Neighbours are permanent entries with addresses computed from the pod's: nothing waits
for ARP. The host's own namespace gets no interface, route or rule: the pairs are made inside the node's
namespace, both ends. All state is in the kernel: a `Node` opened again (a restarted supervisor) finds its
pods. Blocking calls.
"""

import json
import os
import re
import shutil
import threading
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import cast

from lab import netns
from lab.netns import NetworkError

POD_NETWORK = IPv4Network("10.244.0.0/16")
"""Node n owns `10.244.<n>.0/24` of it."""
SERVICE_NETWORK = IPv4Network("10.96.0.0/16")
DNS_ADDRESS = IPv4Address("10.96.0.10")

_GATEWAY = "169.254.1.1"
"""Link-local next hop of every pod; nobody owns it (the choice is Calico's)."""
_NODE_MAC = "02:00:00:00:00:01"
_INTERFACE_PREFIX = "lab"
_NODE_FILE = "node"
_FIRST_POD = 3
"""`.1` is the node, `.2` the control plane."""

_NODE_SYSCTLS = {
    "net/ipv4/ip_forward": "1",
    "net/ipv4/conf/all/send_redirects": "0",
    "net/ipv4/conf/default/send_redirects": "0",
    "net/ipv4/conf/all/rp_filter": "0",
    "net/ipv4/conf/default/rp_filter": "1",  # a pod cannot send with another pod's address
}
_POD_SYSCTLS = {
    "net/ipv4/conf/all/rp_filter": "0",
    "net/ipv4/conf/default/rp_filter": "0",
    "net/ipv6/conf/default/accept_ra": "0",
    "net/ipv4/ip_unprivileged_port_start": "0",  # as container runtimes do: apps have no capabilities
}


@dataclass(frozen=True, slots=True)
class PodNetwork:
    """One pod's place in the network."""

    name: str
    address: IPv4Address
    namespace: Path
    """The namespace's file, for `netns.inside`, `nsenter --net=…` or `setns`."""


class PodAddresses:
    """Next-fit allocator of one node's /24 (pure): a freed address is reused as late as possible, so that
    whoever still remembers the old pod does not reach the new one."""

    def __init__(self, network: IPv4Network) -> None:
        self._addresses = list(network.hosts())[_FIRST_POD - 1 :]
        self._taken: set[IPv4Address] = set()
        self._next = 0

    def take(self, address: IPv4Address) -> None:
        """Mark an address as used; it may lie outside the range (the control plane's)."""
        self._taken.add(address)

    def allocate(self) -> IPv4Address:
        """Raises NetworkError when every address is in use."""
        for step in range(len(self._addresses)):
            index = (self._next + step) % len(self._addresses)
            if self._addresses[index] not in self._taken:
                self._next = index + 1
                self._taken.add(self._addresses[index])
                return self._addresses[index]
        raise NetworkError(f"all {len(self._addresses)} pod addresses of the node are in use; delete pods")

    def release(self, address: IPv4Address) -> None:
        self._taken.discard(address)


class Node:
    """One node. Methods may be called from several threads; changes are made one at a time."""

    def __init__(self, root: Path, number: int = 0) -> None:
        """Create the node's namespace under `root`/netns, or open the one that is there.

        `root` is the lab's directory, `/run/meshproxy/<lab>`; `number` (0-255) chooses the /24.
        """
        self.number = number
        self.network = IPv4Network((int(POD_NETWORK.network_address) + (number << 8), 24))
        self.address = self.network.network_address + 1
        self.control_plane_address = self.network.network_address + 2
        self._folder = root / "netns"
        self.namespace = self._folder / (_NODE_FILE if number == 0 else f"{_NODE_FILE}-{number}")
        self._lock = threading.RLock()
        self._addresses = PodAddresses(self.network)
        self._pods: dict[str, PodNetwork] = {}
        self._open()

    def _open(self) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        netns.create(self.namespace)
        netns.inside(self.namespace, self._configure)
        for pod in self._find_pods():
            self._pods[pod.name] = pod
            self._addresses.take(pod.address)

    def _configure(self) -> None:
        _write_sysctls(_NODE_SYSCTLS)
        commands = [
            "link set lo up",
            f"address replace {self.address}/32 dev lo",
            f"address replace {DNS_ADDRESS}/32 dev lo",
            # VIPs are local, so that a port no rule translates is refused instead of unroutable.
            f"route replace local {SERVICE_NETWORK} dev lo src {self.address}",
        ]
        netns.execute(["ip", "-batch", "-"], stdin="\n".join(commands))

    def _find_pods(self) -> list[PodNetwork]:
        links = cast(
            "list[dict[str, object]]", json.loads(netns.run(self.namespace, ["ip", "-json", "link"]))
        )
        pods = []
        for link in links:
            name, interface = link.get("ifalias"), str(link["ifname"])
            if isinstance(name, str) and interface.startswith(_INTERFACE_PREFIX):
                address = IPv4Address(int(interface.removeprefix(_INTERFACE_PREFIX), 16))
                pods.append(PodNetwork(name, address, self._folder / name))
        return pods

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
        if (
            not name or "/" in name or name.startswith((".", _NODE_FILE)) or len(name) > 250
        ):  # ifalias: 255 bytes
            raise NetworkError(
                f"pod name {name!r} must be a file name of 1-250 characters, not starting with . or node"
            )
        with self._lock:
            if name in self._pods:
                return self._pods[name]
            if address is not None and any(pod.address == address for pod in self._pods.values()):
                raise NetworkError(f"address {address} is in use by another pod")
            if address is None:
                address = self._addresses.allocate()
            else:
                self._addresses.take(address)
            pod = PodNetwork(name, address, self._folder / name)
            try:
                self._connect(pod)
            except BaseException:
                self._disconnect(pod)
                raise
            self._pods[name] = pod
            return pod

    def _connect(self, pod: PodNetwork) -> None:
        netns.create(pod.namespace)
        self._delete_link(pod)  # half-made by a process that was killed meanwhile
        link, mac = _interface(pod.address), _mac(pod.address)
        node_side = [
            f"link add {link} address {_NODE_MAC} type veth"
            f" peer name eth0 address {mac} netns {pod.namespace}",
            f"link set {link} up alias {pod.name}",
            f"neighbour replace {pod.address} lladdr {mac} dev {link} nud permanent",
            f"route replace {pod.address}/32 dev {link} src {self.address}",
        ]
        netns.run(self.namespace, ["ip", "-batch", "-"], stdin="\n".join(node_side))
        pod_side = [
            "link set lo up",
            f"address add {pod.address}/32 dev eth0",
            "link set eth0 up",
            f"neighbour replace {_GATEWAY} lladdr {_NODE_MAC} dev eth0 nud permanent",
            f"route add default via {_GATEWAY} dev eth0 onlink src {pod.address}",
        ]

        def configure() -> None:
            _write_sysctls(_POD_SYSCTLS)
            netns.execute(["ip", "-batch", "-"], stdin="\n".join(pod_side))

        netns.inside(pod.namespace, configure)

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
        self._addresses.release(pod.address)

    def _delete_link(self, pod: PodNetwork) -> None:
        link = _interface(pod.address)
        if netns.inside(self.namespace, lambda: os.path.exists(f"/proc/sys/net/ipv4/conf/{link}")):
            netns.run(self.namespace, ["ip", "link", "delete", link])

    def restore_firewall(self, ruleset: str) -> None:
        """Replace the node's IPv4 tables named in `ruleset` (iptables-restore text), each table
        atomically."""
        with self._lock:
            netns.run(self.namespace, ["iptables-restore", "--wait"], stdin=ruleset)

    def destroy(self) -> None:
        """Remove every pod, kill what runs on the node itself, delete its namespace."""
        with self._lock:
            for name in list(self._pods):
                self.remove_pod(name)
            namespace = netns.identity(self.namespace)
            if namespace is not None:
                netns.kill_processes({namespace})
            netns.delete(self.namespace)


def destroy_lab(root: Path) -> None:
    """Leave nothing of the lab at `root`: processes in its namespaces, mounts below it, its files. Absent
    is fine.

    Needs no running lab: what belongs to it is found through the namespaces' files and the mount table, so
    it also works after everything was killed. Raises NetworkError when something could not be removed;
    files are deleted only when no mount is left below `root`, because a mount may show somebody else's
    files.
    """
    root = root.resolve()
    files = list((root / "netns").iterdir()) if (root / "netns").is_dir() else []
    namespaces = {found for path in files if (found := netns.identity(path)) is not None}
    if namespaces:
        netns.kill_processes(namespaces)
    for path in files:
        netns.delete(path)
    for mount in reversed(_mounts_below(root)):
        netns.unmount(mount)
    if left := _mounts_below(root):
        raise NetworkError(
            f"still mounted below {root}: {', '.join(map(str, left))}; unmount them and run it again"
        )
    if root.exists():
        shutil.rmtree(root)


def _mounts_below(root: Path) -> list[Path]:
    """Mount points at or below `root`, in the order they were mounted."""
    with open("/proc/self/mountinfo", "rb") as table:
        points = [Path(os.fsdecode(_unescape(line.split()[4]))) for line in table]
    return [point for point in points if point == root or root in point.parents]


def _unescape(field: bytes) -> bytes:
    """The kernel writes white space and backslashes in the mount table as three octal digits."""
    return re.sub(rb"\\([0-7]{3})", lambda match: bytes([int(match[1], 8)]), field)


def _interface(address: IPv4Address) -> str:
    """The node-side interface of a pod: the address in hexadecimal, 11 of the 15 characters a name may
    have."""
    return f"{_INTERFACE_PREFIX}{int(address):08x}"


def _mac(address: IPv4Address) -> str:
    """A locally administered MAC that carries the address."""
    return "02:01:" + ":".join(f"{octet:02x}" for octet in address.packed)


def _write_sysctls(values: dict[str, str]) -> None:
    """`/proc/sys/net` shows the namespace of the thread that opens it."""
    for name, value in values.items():
        with open(f"/proc/sys/{name}", "w") as file:
            file.write(value)
