"""Probes of a container, made from the node as Kubernetes makes them.

A sidecar that demands mesh TLS would refuse them: that is why injection turns an app's probes to the sidecar.
`ProbeState` is the counting (pure).
"""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from control_plane.resources.container import Container
from control_plane.resources.container_probe import GrpcAction, HttpGetAction, Probe
from lab import grpc_health, netns
from lab.environment import PodStartError

_HTTP_SUCCESS = range(200, 400)
_URL_CHARACTERS = "%/:=&?~+!$,;'@()*[]"


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """One attempt."""

    success: bool
    message: str = ""
    """Why it failed."""


class ProbeState:
    """Turns single results into a verdict by the thresholds of the probe."""

    def __init__(self, probe: Probe) -> None:
        self._probe = probe
        self._successes = 0
        self._failures = 0

    def on_result(self, success: bool) -> bool | None:
        """True or False once the threshold is reached with this result, else None: nothing changes."""
        if success:
            self._successes, self._failures = self._successes + 1, 0
            return True if self._successes >= self._probe.success_threshold else None
        self._successes, self._failures = 0, self._failures + 1
        return False if self._failures >= self._probe.failure_threshold else None


@dataclass(frozen=True, slots=True)
class Ended:
    """A command that was run in a container."""

    status: int
    """Exit code, 124 when it took too long."""
    output: str = ""


Execute = Callable[[list[str], float], Awaitable[Ended]]
"""Runs a command in the container within a time in seconds."""


def port_number(container: Container, port: int | str) -> int:
    """A probe's port, looked up among the container's ports when it is a name. Raises PodStartError."""
    if isinstance(port, int):
        return port
    for declared in container.ports:
        if declared.name == port:
            return declared.container_port
    raise PodStartError(
        f"container {container.name}: probe port {port!r} is not the name of one of its ports"
    )


async def run_probe(
    probe: Probe, container: Container, network: Path, pod_ip: str, execute: Execute
) -> ProbeResult:
    """One attempt of any kind of probe."""
    timeout = float(probe.timeout_seconds)
    try:
        if probe.http_get is not None:
            port = port_number(container, probe.http_get.port)
            async with asyncio.timeout(timeout):
                return await _http(probe.http_get, port, network, pod_ip)
        if probe.tcp_socket is not None:
            port = port_number(container, probe.tcp_socket.port)
            host = probe.tcp_socket.host or pod_ip
            async with asyncio.timeout(timeout):
                (await _connect(network, host, port)).close()
                return ProbeResult(True)
        if probe.grpc is not None:
            async with asyncio.timeout(timeout):
                return await _grpc(probe.grpc, network, pod_ip)
        if probe.exec_ is not None:
            ended = await execute(list(probe.exec_.command), timeout)
            said = f": {ended.output.strip()}" if ended.output.strip() else ""
            return ProbeResult(ended.status == 0, f"command ended with {ended.status}{said}")
    except TimeoutError:
        return ProbeResult(False, f"no answer within {probe.timeout_seconds} s (context deadline exceeded)")
    except (OSError, ValueError, PodStartError) as error:
        return ProbeResult(False, str(error))
    raise AssertionError("the model demands one action")


async def _connect(network: Path, host: str, port: int) -> socket.socket:
    # A socket stays in the namespace it was made in, so only its creation happens there.
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    connection = netns.open_socket(network, family, socket.SOCK_STREAM)
    connection.setblocking(False)
    try:
        await asyncio.get_running_loop().sock_connect(connection, (host, port))
    except BaseException:
        connection.close()
        raise
    return connection


async def _http(action: HttpGetAction, port: int, network: Path, pod_ip: str) -> ProbeResult:
    host = action.host or pod_ip
    connection = await _connect(network, host, port)
    context = _unverified() if action.scheme == "HTTPS" else None
    name = host if context is not None else None
    reader, writer = await asyncio.open_connection(sock=connection, ssl=context, server_hostname=name)
    try:
        headers = {
            "Host": f"[{host}]:{port}" if ":" in host else f"{host}:{port}",
            "User-Agent": "kube-probe/1.33",
            "Accept": "*/*",
            "Connection": "close",
        }
        headers |= {header.name: header.value for header in action.http_headers}
        writer.write(_request(action.path, headers))
        return _judge(await reader.readline())
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def _grpc(action: GrpcAction, network: Path, pod_ip: str) -> ProbeResult:
    connection = await _connect(network, pod_ip, action.port)
    reader, writer = await asyncio.open_connection(sock=connection)
    try:
        answer = await grpc_health.check(reader, writer, f"{pod_ip}:{action.port}", action.service)
        return ProbeResult(answer.is_serving, answer.message)
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


def _unverified() -> ssl.SSLContext:
    """Kubernetes does not verify the certificate of a probed app either."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _request(path: str, headers: Mapping[str, str]) -> bytes:
    """One request, whatever a pod says: the node sends nothing else for it. Raises ValueError."""
    target = quote(path.partition("#")[0], safe=_URL_CHARACTERS)
    fields = [f"{name}: {value}" for name, value in headers.items()]
    if bad := next((field for field in fields if any(mark in field for mark in "\r\n\0")), None):
        raise ValueError(f"httpHeaders: {bad!r} has the end of a line in it")
    lines = [f"GET {target if target.startswith('/') else f'/{target}'} HTTP/1.1", *fields]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def _judge(status_line: bytes) -> ProbeResult:
    parts = status_line.split(b" ", 2)
    if len(parts) < 2 or not parts[0].startswith(b"HTTP/") or not parts[1].strip().isdigit():
        return ProbeResult(False, f"not an HTTP answer: {status_line[:80]!r}")
    status = int(parts[1])
    return ProbeResult(status in _HTTP_SUCCESS, f"HTTP probe failed with statuscode: {status}")
