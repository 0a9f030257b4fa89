"""Counting probe results, and what an answer means."""

import asyncio
from pathlib import Path

import pytest

from control_plane.resources.container import Container
from control_plane.resources.container_probe import Probe
from lab import netns
from lab.environment import PodStartError
from lab.probe import Ended, ProbeState, port_number, run_probe
from tests.unit.lab.builders import pod

HERE = Path("/proc/self/ns/net")


def app(**fields: object) -> Container:
    [made] = pod(containers=[{"name": "app", **fields}]).spec.containers
    return made


def probe(**fields: object) -> Probe:
    made = app(readinessProbe=fields).readiness_probe
    assert made is not None
    return made


def test_a_verdict_is_given_once_the_threshold_is_reached() -> None:
    state = ProbeState(probe(tcpSocket={"port": 80}, failureThreshold=3, successThreshold=2))
    assert [state.on_result(result) for result in (True, True, True)] == [None, True, True]
    assert [state.on_result(result) for result in (False, False, False)] == [None, None, False]


def test_one_success_forgets_the_failures() -> None:
    state = ProbeState(probe(tcpSocket={"port": 80}, failureThreshold=2))
    assert [state.on_result(result) for result in (False, True, False)] == [None, True, None]


def test_a_port_may_be_named() -> None:
    made = app(ports=[{"name": "web", "containerPort": 8080}])
    assert port_number(made, 80) == 80
    assert port_number(made, "web") == 8080
    with pytest.raises(PodStartError, match="'other'"):
        port_number(made, "other")


async def never(command: list[str], limit: float) -> Ended:
    raise AssertionError("not an exec probe")


async def test_an_unknown_port_name_fails_the_probe_and_says_so() -> None:
    result = await run_probe(probe(tcpSocket={"port": "web"}), app(), HERE, "127.0.0.1", never)
    assert not result.success
    assert "'web'" in result.message


@pytest.mark.parametrize(("status", "success"), [(0, True), (2, False)])
async def test_an_exec_probe_succeeds_with_status_zero(status: int, success: bool) -> None:
    async def execute(command: list[str], limit: float) -> Ended:
        assert (command, limit) == (["check"], 2.0)
        return Ended(status, "said\n")

    made = probe(exec={"command": ["check"]}, timeoutSeconds=2)
    result = await run_probe(made, app(), HERE, "127.0.0.1", execute)
    assert (result.success, result.message) == (success, f"command ended with {status}: said")


@pytest.fixture
def _here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sockets in this very namespace, which needs no privileges."""
    import socket

    monkeypatch.setattr(netns, "open_socket", lambda path, family, kind: socket.socket(family, kind))


@pytest.mark.usefixtures("_here")
@pytest.mark.parametrize(
    ("answer", "success", "said"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n", True, "200"),
        (b"HTTP/1.1 302 Found\r\n\r\n", True, "302"),
        (b"HTTP/1.1 503 Sorry\r\n\r\n", False, "503"),
        (b"SSH-2.0-x\r\n", False, "not an HTTP answer"),
        (b"", False, "not an HTTP answer"),
    ],
)
async def test_an_http_probe_judges_the_status(answer: bytes, success: bool, said: str) -> None:
    import asyncio

    seen: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    made = probe(httpGet={"port": port, "path": "/up", "httpHeaders": [{"name": "X-A", "value": "b"}]})
    result = await run_probe(made, app(), HERE, "127.0.0.1", never)
    server.close()
    assert (result.success, said in result.message) == (success, True)
    assert seen[0].startswith(b"GET /up HTTP/1.1\r\n")
    assert b"X-A: b\r\n" in seen[0]


@pytest.mark.usefixtures("_here")
async def test_a_tcp_probe_succeeds_when_the_port_is_open() -> None:
    import asyncio

    server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    assert (await run_probe(probe(tcpSocket={"port": port}), app(), HERE, "127.0.0.1", never)).success
    server.close()
    await server.wait_closed()
    assert not (await run_probe(probe(tcpSocket={"port": port}), app(), HERE, "127.0.0.1", never)).success


async def test_a_probe_sends_one_request_whatever_the_pod_says() -> None:
    """Not what the pod would have the node say to somebody else's server (`host`)."""
    asked: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    path = "/a b HTTP/1.1\r\n\r\nFLUSHALL\r\n#part"
    made = probe(httpGet={"port": port, "path": path})
    assert (await run_probe(made, app(), HERE, "127.0.0.1", never)).success
    assert asked[0].startswith(b"GET /a%20b%20HTTP/1.1%0D%0A%0D%0AFLUSHALL%0D%0A HTTP/1.1\r\nHost: ")
    headers = [{"name": "X", "value": "1\r\n\r\nFLUSHALL"}]
    made = probe(httpGet={"port": port, "httpHeaders": headers})
    result = await run_probe(made, app(), HERE, "127.0.0.1", never)
    assert (result.success, "the end of a line" in result.message, len(asked)) == (False, True, 1)
    server.close()


async def test_a_command_that_cannot_be_started_fails_the_probe() -> None:
    async def execute(command: list[str], limit: float) -> Ended:
        raise ValueError("embedded null byte")

    result = await run_probe(probe(exec={"command": ["a\0b"]}), app(), HERE, "127.0.0.1", execute)
    assert (result.success, result.message) == (False, "embedded null byte")
