"""No files left: connections are turned away, nothing spins or ends, and serving resumes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import select
import socket
from collections.abc import Iterator

import pytest
import uvloop

from tests.unit.meshproxy.proxy.harness import (
    Mesh,
    running,
    snapshot,
    static_cluster,
    tcp_listener,
)
from tests.unit.meshproxy.proxy.test_http_failure import serving, settled

_CLIENTS = 24
_FREE = 20
"""Descriptors that connections may have when the test begins: the mesh itself needs a few of them."""


async def _banner(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"ready")
    await reader.read()
    writer.close()


def _open_files() -> list[int]:
    return [file for file in map(int, os.listdir("/proc/self/fd")) if os.path.exists(f"/proc/self/fd/{file}")]


@contextlib.contextmanager
def _file_limit(files: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture
def clients() -> Iterator[list[socket.socket]]:
    """Sockets made while there are files."""
    made = [socket.socket() for _ in range(_CLIENTS)]
    for each in made:
        each.setblocking(False)
    fillers = [os.open("/dev/null", os.O_RDONLY)]
    while fillers[-1] < max(
        300, *_open_files()
    ):  # below, none is free; the limit on connections is no matter
        fillers.append(os.open("/dev/null", os.O_RDONLY))
    yield made
    for each in made:
        each.close()
    for filler in fillers:
        os.close(filler)


async def _call(mesh: Mesh, client: socket.socket) -> bytes:
    """The banner; nothing when we were turned away."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(30):
            await loop.sock_connect(client, ("127.0.0.1", mesh.port))
            return await loop.sock_recv(client, 5)
    except (ConnectionResetError, BrokenPipeError):
        return b""


async def test_the_last_files_are_not_given_to_new_connections(clients):
    highest = max(_open_files()) + _FREE
    with _file_limit((highest + 1) * 4 // 3 + 1):  # a quarter is kept
        async with serving(_banner) as upstream:
            config = snapshot(tcp_listener("a"), static_cluster("a", upstream.endpoint))
            async with running(config) as mesh:
                answers = [await _call(mesh, client) for client in clients]
                assert answers[0] == b"ready"
                assert b"" in answers
                assert set(mesh.refused) == {("listener", "file_limit")}
                assert len(mesh.refused) == answers.count(b"")
                for client in clients[:-1]:
                    client.close()
                await settled(lambda: mesh.worker.listeners.connections("listener").open == 0)
                reader, writer = await mesh.connect()
                assert (await asyncio.wait_for(reader.read(5), 30)) == b"ready"
                writer.close()


async def test_without_any_file_the_loop_neither_spins_nor_ends(clients):
    if not isinstance(asyncio.get_running_loop(), uvloop.Loop):
        pytest.skip("the sidecar runs on uvloop; asyncio itself waits a second and logs")
    async with serving(_banner) as upstream:
        config = snapshot(tcp_listener("a"), static_cluster("a", upstream.endpoint))
        async with running(config) as mesh:
            held: list[int] = []
            with _file_limit(max(_open_files()) + 4):
                with contextlib.suppress(OSError):
                    while True:
                        held.append(os.open("/dev/null", os.O_RDONLY))
                answers = await asyncio.gather(*(_call(mesh, client) for client in clients[:-1]))
                assert answers == [b""] * (_CLIENTS - 1)
                (server,) = mesh.worker.listeners._servers["listener"]
                assert (
                    select.select([server.sockets[0].fileno()], [], [], 0)[0] == []
                )  # nothing is left to do
                for file in held:
                    os.close(file)
                assert await _call(mesh, clients[-1]) == b"ready"
