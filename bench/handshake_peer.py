"""HAProxy as the other end of mesh TLS, on the load's core: cheap, the same for every side, and it decides
whether sessions are resumed, which is a sidecar's own choice otherwise.

Both hold an identity of the same CA and verify the sidecar's chain. What a handshake costs a sidecar in each
of its roles is measured with one of them in the other role.
"""

from __future__ import annotations

import csv
import io
import socket
from pathlib import Path
from typing import Final

from bench.control import ControlPlane
from bench.dataset import CLIENT_ACCOUNT, CONNECTION_TARGET, SERVER_ACCOUNT, SERVER_ADDRESSES
from bench.network import Network
from bench.process import LOAD_CORE, Process
from bench.proxies import issue

_INBOUND_PORT = 15006
ORIGINATOR_PORT: Final = 9443
"""In the client's namespace: a plaintext connection here becomes a mesh TLS one."""
_STATS_SOCKET = "peer.sock"


def start_server(network: Network, control: ControlPlane, folder: Path, resumption: bool) -> Process:
    """Stands where the server's sidecar listens: ends mesh TLS and passes the bytes to the upstream."""
    pem, root = _identity(control, SERVER_ACCOUNT, folder)
    tickets = "" if resumption else " no-tls-tickets"
    sections = f"""
listen inbound
  bind :{_INBOUND_PORT} ssl crt {pem} ca-file {root} verify required alpn istio,istio-http/1.1 {_TLS}{tickets}
  server app 127.0.0.1:{CONNECTION_TARGET}
"""
    return _start(network.server, folder, sections)


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
    return _start(network.client, folder, sections)


_TLS = "ssl-min-ver TLSv1.3 ssl-max-ver TLSv1.3"


def _start(namespace: Path, folder: Path, sections: str) -> Process:
    config = folder / "peer.conf"
    config.write_text(f"""
global
  nbthread 1
  maxconn 4000
  tune.ssl.default-dh-param 2048
  stats socket {folder}/{_STATS_SOCKET}
defaults
  mode tcp
  timeout connect 10s
  timeout client 60s
  timeout server 60s
{sections}""")
    command = ["haproxy", "-db", "-f", str(config)]
    return Process(command, namespace=namespace, core=LOAD_CORE, log=folder / "peer.log", is_proxy=True)


def _identity(control: ControlPlane, account: str, folder: Path) -> tuple[Path, Path]:
    """Files: chain and key in one, and the root."""
    identity = issue(control, account)
    pem, root = folder / "peer.pem", folder / "peer-root.pem"
    pem.write_text(identity.chain + identity.key)
    root.write_text(identity.root)
    return pem, root


def handshakes(folder: Path) -> int:
    """Connections HAProxy has had with its TLS side so far, from its statistics."""
    return int(_show("show stat", folder).splitlines()[0] or 0)


def _show(command: str, folder: Path) -> str:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(folder / _STATS_SOCKET))
        connection.sendall(command.encode() + b"\n")
        chunks = []
        while chunk := connection.recv(65536):
            chunks.append(chunk)
    return b"".join(chunks).decode()


def csv_rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text.removeprefix("# "))))
