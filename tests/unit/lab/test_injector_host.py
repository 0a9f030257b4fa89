"""The injector in a lab: objects that any Kubernetes takes, and the way to the API from its namespace."""

import asyncio
import socket
from ipaddress import IPv4Address
from pathlib import Path

from control_plane.resources.manifest import section
from control_plane.resources.registry import parse
from lab.injector_host import InjectorHost, injector_objects, injector_pod, pod_status
from lab.network import PodNetwork
from lab.relay import Relay

ADDRESS = IPv4Address("10.244.0.3")


def test_its_objects_are_valid_and_belong_together():
    account, service, endpoints = map(parse, injector_objects(ADDRESS))
    pod = parse({**injector_pod(), "status": pod_status(ADDRESS, "2026-01-01T00:00:00Z")})
    names = {(one.metadata.namespace, one.metadata.name) for one in (account, service, endpoints, pod)}
    assert names == {("meshproxy-system", "injector")}
    assert section(injector_pod(), "spec")["serviceAccountName"] == "injector"


def test_it_is_started_in_its_own_namespace(tmp_path: Path):
    network = PodNetwork("injector", ADDRESS, tmp_path / "netns")
    host = InjectorHost(tmp_path / "injector", network, tmp_path / "kubeconfig", IPv4Address("10.244.0.2"))
    command = host.command()
    assert command[:2] == ["nsenter", f"--net={tmp_path}/netns"]
    assert "--pdeathsig=KILL" in command
    assert command[command.index("--signing-address") + 1] == "10.244.0.2:15011"


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(await reader.read())
    await writer.drain()
    writer.close()


async def test_a_relay_carries_both_directions_and_their_ends():
    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    listener = socket.create_server(("127.0.0.1", 0))
    relay = Relay(listener, server.sockets[0].getsockname())
    running = asyncio.ensure_future(relay.run())
    reader, writer = await asyncio.open_connection(*listener.getsockname())
    sent = b"x" * 300_000
    writer.write(sent)
    writer.write_eof()
    assert await reader.read() == sent
    writer.close()
    await writer.wait_closed()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    server.close()


async def test_a_relay_ends_connections_that_nobody_takes_and_goes_on():
    closed = socket.create_server(("127.0.0.1", 0))
    target = closed.getsockname()
    closed.close()
    listener = socket.create_server(("127.0.0.1", 0))
    address = listener.getsockname()
    relay = Relay(listener, target)
    await relay.start()
    for _ in range(2):
        reader, writer = await asyncio.open_connection(*address)
        try:
            assert await reader.read() == b""
        except ConnectionResetError:
            pass
        writer.close()
    await relay.stop()
