"""HAProxy as the other end of mesh TLS, on the load's core: cheap, the same for every side, and it decides
whether sessions are resumed, which is a sidecar's own choice otherwise.

Both hold an identity of the same CA and verify the sidecar's chain. What a handshake costs a sidecar in each
of its roles is measured with one of them in the other role.
"""

from __future__ import annotations

import contextlib
import socket
import statistics
import threading
from pathlib import Path
from typing import Final, Self

from bench.control import ControlPlane
from bench.dataset import CLIENT_ACCOUNT, CONNECTION_TARGET, SERVER_ACCOUNT, SERVER_ADDRESSES
from bench.network import Network
from bench.process import LOAD_CORE, Process, until
from bench.proxies import issue

_INBOUND_PORT = 15006
ORIGINATOR_PORT: Final = 9443
"""In the client's namespace: a plaintext connection here becomes a mesh TLS one."""
_STATS_SOCKET = "peer.sock"
_WATCH_SECONDS = 0.25
_START_SECONDS = 10.0
_TLS = "ssl-min-ver TLSv1.3 ssl-max-ver TLSv1.3"


def start_server(network: Network, control: ControlPlane, folder: Path, resumption: bool) -> Process:
    """Stands where the server's sidecar listens: ends mesh TLS and passes the bytes to the upstream."""
    pem, root = _identity(control, SERVER_ACCOUNT, folder)
    tickets = "" if resumption else " no-tls-tickets"
    sections = f"""
listen inbound
  bind :{_INBOUND_PORT} ssl crt {pem} ca-file {root} verify required alpn istio,istio-http/1.1 {_TLS}{tickets}
  server app 127.0.0.1:{CONNECTION_TARGET}
"""
    return _start(network.server, folder, sections, resumption)


def start_client(network: Network, control: ControlPlane, folder: Path, resumption: bool) -> Process:
    """Turns each connection to `ORIGINATOR_PORT` into a connection of the mesh to the server's sidecar."""
    pem, root = _identity(control, CLIENT_ACCOUNT, folder)
    reuse = "" if resumption else " no-ssl-reuse"
    target = f"{SERVER_ADDRESSES[0]}:{CONNECTION_TARGET}"
    sections = f"""
listen outbound
  bind 127.0.0.1:{ORIGINATOR_PORT}
  server sidecar {target} ssl crt {pem} ca-file {root} verify required alpn istio {_TLS}{reuse}
"""
    return _start(network.client, folder, sections, resumption)


def _start(namespace: Path, folder: Path, sections: str, resumption: bool) -> Process:
    # TLS 1.3 without tickets would still resume from HAProxy's own memory of sessions.
    cache = "" if resumption else "tune.ssl.cachesize 0"
    config = folder / "peer.conf"
    config.write_text(f"""
global
  nbthread 1
  maxconn 4000
  {cache}
  stats socket {folder}/{_STATS_SOCKET}
defaults
  mode tcp
  timeout connect 10s
  timeout client 60s
  timeout server 60s
{sections}""")
    stats = folder / _STATS_SOCKET
    stats.unlink(missing_ok=True)
    command = ["haproxy", "-db", "-f", str(config)]
    peer = Process(command, namespace=namespace, core=LOAD_CORE, log=folder / "peer.log", is_proxy=True)
    until(lambda: _answers(stats), "HAProxy not ready", _START_SECONDS, [peer])
    return peer


def _answers(stats: Path) -> bool:
    """It binds everything before it serves its statistics."""
    with contextlib.suppress(OSError):
        return bool(_show("show info", stats.parent))
    return False


def _identity(control: ControlPlane, account: str, folder: Path) -> tuple[Path, Path]:
    """Files: chain and key in one, and the root."""
    identity = issue(control, account)
    pem, root = folder / "peer.pem", folder / "peer-root.pem"
    pem.write_text(identity.chain + identity.key)
    root.write_text(identity.root)
    return pem, root


class ReuseWatch:
    """How many of the TLS connections at HAProxy were resumed, by its own counters, while load runs."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._shares: list[float] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    @property
    def share(self) -> float:
        """Median of what was seen each second; 0 when nothing was."""
        return statistics.median(self._shares) if self._shares else 0.0

    def _watch(self) -> None:
        while not self._stop.wait(_WATCH_SECONDS):
            share = resumed_share(_show("show info", self._folder))
            if share is not None:
                self._shares.append(share)


def resumed_share(info: str) -> float | None:
    """Of the TLS connections of the last second, from `show info` (pure); None when there were none.

    A connection that is not resumed computes keys; both rates are HAProxy's.
    """
    fields = dict(line.partition(": ")[::2] for line in info.splitlines())
    connections = int(fields["ConnRate"])
    if connections == 0:
        return None
    keys = int(fields["SslFrontendKeyRate"]) + int(fields["SslBackendKeyRate"])
    return max(0.0, 1.0 - keys / connections)


def _show(command: str, folder: Path) -> str:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(folder / _STATS_SOCKET))
        connection.sendall(command.encode() + b"\n")
        chunks = []
        while chunk := connection.recv(65536):
            chunks.append(chunk)
    return b"".join(chunks).decode()
