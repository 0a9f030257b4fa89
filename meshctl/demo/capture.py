"""Reads every packet on a node's interfaces, in promiscuous mode, and searches it for texts.

A packet between two pods is seen twice: when it comes from the one and when it goes to the other.
"""

import contextlib
import re
import socket
import struct
import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lab import netns

# linux/if_packet.h, linux/if_ether.h, asm/socket.h
_ETH_P_ALL = 3
_SOL_PACKET = 263
_PACKET_ADD_MEMBERSHIP = 1
_PACKET_MR_PROMISC = 1
_PACKET_STATISTICS = 6
_SO_RCVBUFFORCE = 33

_BUFFER = 64 * 1024 * 1024
"""Bytes the kernel keeps for us: seconds of the demo's traffic, so that nothing is lost."""
_LARGEST_PACKET = 128 * 1024
_TICK = 0.1
_PLAIN_HTTP = re.compile(rb"(?:GET|HEAD|POST|PUT|DELETE) /[^ ]* HTTP/1|HTTP/1\.[01] \d\d\d")
_SERVER_NAME = re.compile(rb"outbound_\.\d+_\._\.[a-z0-9.-]+")
_TLS_RECORD = (b"\x16\x03", b"\x17\x03")


@dataclass(slots=True)
class Captured:
    """What was seen."""

    interfaces: int = 0
    packets: int = 0
    octets: int = 0
    dropped: int = 0
    """Packets the kernel could not keep: with any, absence proves nothing."""
    tls_segments: int = 0
    """TCP segments that begin with a TLS record."""
    plain_http: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Segments that begin as an HTTP message, by source and destination address."""
    found: Counter[str] = field(default_factory=Counter)
    """Packets that held each text."""
    server_names: Counter[str] = field(default_factory=Counter)
    """SNI of the TLS handshakes between sidecars."""


class Capture:
    """A running capture: `start`, then `stop`."""

    def __init__(self, network: Path, texts: Sequence[str]) -> None:
        """`network`: the namespace whose interfaces are read; `texts` are what is searched for."""
        self._network = network
        self._needles = [(text, text.encode()) for text in texts]
        self._captured = Captured()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._read, name="capture", daemon=True)

    def start(self) -> None:
        """Packets count from here on. Raises OSError."""
        self._socket = netns.inside(self._network, self._open)
        self._thread.start()

    def _open(self) -> socket.socket:
        packets = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL))
        packets.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER)
        for index, _ in socket.if_nameindex():
            membership = struct.pack("iHH8s", index, _PACKET_MR_PROMISC, 0, b"")
            packets.setsockopt(_SOL_PACKET, _PACKET_ADD_MEMBERSHIP, membership)
            self._captured.interfaces += 1
        packets.settimeout(_TICK)
        return packets

    def stop(self) -> Captured:
        """Everything that was sent before is in the result."""
        self._stopping.set()
        self._thread.join()
        statistics = self._socket.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8)
        self._captured.dropped = struct.unpack("II", statistics)[1]
        self._socket.close()
        return self._captured

    def _read(self) -> None:
        """Until told to stop and what the kernel has kept by then is read."""
        while not self._stopping.is_set():
            with contextlib.suppress(TimeoutError):
                self._take_in(self._socket.recv(_LARGEST_PACKET))
        self._socket.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                self._take_in(self._socket.recv(_LARGEST_PACKET))

    def _take_in(self, packet: bytes) -> None:
        captured = self._captured
        captured.packets += 1
        captured.octets += len(packet)
        for text, needle in self._needles:
            if needle in packet:
                captured.found[text] += 1
        payload = tcp_payload(packet)
        if payload[:2] in _TLS_RECORD:
            captured.tls_segments += 1
            if (name := _SERVER_NAME.search(payload)) is not None:
                captured.server_names[name[0].decode()] += 1
        elif _PLAIN_HTTP.match(payload):
            source, destination = (socket.inet_ntoa(packet[at : at + 4]) for at in (26, 30))
            captured.plain_http[source, destination] += 1


def tcp_payload(packet: bytes) -> bytes:
    """What an Ethernet frame with IPv4 and TCP carries; empty for anything else."""
    if len(packet) < 54 or packet[12:14] != b"\x08\x00" or packet[23] != socket.IPPROTO_TCP:
        return b""
    start = 14 + (packet[14] & 0x0F) * 4
    end = 14 + int.from_bytes(packet[16:18], "big")
    return packet[start + (packet[start + 12] >> 4) * 4 : end]
