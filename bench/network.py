"""The network of one side: a client pod, a server pod and the control plane, each in a namespace.

    control 10.244.0.2 ──veth── client 10.244.0.11
           └────────────veth── server 10.244.0.21, .22 ──veth── client

Every two are joined by a cable of their own, so no packet is routed in between: what is measured is proxies,
not a node's forwarding. The rules that redirect are those of the init container, the same for every side.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import shutil
import socket
import sys
from pathlib import Path
from typing import Final

from bench.dataset import CLIENT_ADDRESS, CONTROL_ADDRESS, SERVER_ADDRESSES, SERVICE_NETWORK
from lab import netns
from lab.destruction import destroy_lab

ROOT: Final = Path("/run/meshproxy-bench")
DIRECT_PORT: Final = 8090
"""Of the upstream, past all interception: what a call without a proxy costs."""

_ADDRESSES = {"control": (CONTROL_ADDRESS,), "client": (CLIENT_ADDRESS,), "server": SERVER_ADDRESSES}
_PAIRS = (("control", "client"), ("control", "server"), ("client", "server"))
_SYSCTLS = {
    "net/ipv4/conf/all/rp_filter": "0",
    "net/ipv4/conf/default/rp_filter": "0",
    "net/ipv4/ip_local_port_range": "20000 65000",  # thousands of connections a second, and TIME_WAIT
    "net/ipv4/tcp_tw_reuse": "1",
}


class Network:
    """Made by the constructor; `close` leaves nothing."""

    def __init__(self, name: str) -> None:
        self.root = ROOT / str(os.getpid()) / name
        self._folder = self.root / "netns"
        self._folder.mkdir(parents=True, mode=0o700)
        self.control, self.client, self.server = (self._folder / each for each in _ADDRESSES)
        try:
            for place, addresses in _ADDRESSES.items():
                self._create(place, addresses)
            for pair in _PAIRS:
                self._join(*pair)
            self._ip("client", [f"route add {SERVICE_NETWORK} dev to-server src {CLIENT_ADDRESS}"])
        except BaseException:
            self.close()
            raise

    def _create(self, place: str, addresses: tuple[str, ...]) -> None:
        path = self._folder / place
        netns.create(path)
        netns.inside(path, _write_sysctls)
        self._ip(place, ["link set lo up", *(f"address add {each}/32 dev lo" for each in addresses)])

    def _join(self, one: str, other: str) -> None:
        peer = f"peer name to-{one} netns {self._folder / other}"
        self._ip(one, [f"link add to-{other} type veth {peer}"])
        for here, there in ((one, other), (other, one)):
            source = _ADDRESSES[here][0]
            routes = [f"route add {each}/32 dev to-{there} src {source}" for each in _ADDRESSES[there]]
            # REDIRECT goes to the interface's own address and drops what arrives where there is none.
            address = f"address add {source}/32 dev to-{there}"
            self._ip(here, [f"link set to-{there} up", address, *routes])

    def _ip(self, place: str, commands: list[str]) -> None:
        netns.run(self._folder / place, ["ip", "-batch", "-"], stdin="\n".join(commands))

    def intercept(self, namespace: Path) -> None:
        """Apply the init container's rules."""
        flags = [f"--exclude-{direction}-ports={DIRECT_PORT}" for direction in ("inbound", "outbound")]
        netns.run(namespace, [sys.executable, "-m", "meshproxy.interception", *flags])

    def close(self) -> None:
        """End whatever runs inside, and remove the namespaces and files."""
        destroy_lab(self.root)
        with contextlib.suppress(OSError):
            self.root.parent.rmdir()
            ROOT.rmdir()


def _write_sysctls() -> None:
    for name, value in _SYSCTLS.items():
        Path("/proc/sys", name).write_text(value)


def connect(namespace: Path, address: str, port: int, timeout: float = 5.0) -> socket.socket:
    """A connection made inside. Raises OSError."""
    return netns.inside(namespace, lambda: socket.create_connection((address, port), timeout))


def http_get(namespace: Path, port: int, path: str, timeout: float = 30.0) -> tuple[int, bytes] | None:
    """Ask a program on the namespace's loopback; None when there is no answer."""
    with contextlib.suppress(OSError, http.client.HTTPException):
        connection = http.client.HTTPConnection("127.0.0.1", port)
        connection.sock = connect(namespace, "127.0.0.1", port, timeout)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()
    return None


def remove_stale() -> None:
    """Remove what benches that were killed have left."""
    if not ROOT.is_dir():
        return
    for owner in ROOT.iterdir():
        if owner.name.isdigit() and not Path("/proc", owner.name).exists():
            for root in owner.iterdir():
                destroy_lab(root)
            shutil.rmtree(owner)
