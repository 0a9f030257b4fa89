"""Clients that users have, over HTTP/2 through two sidecars to servers of either HTTP."""

from __future__ import annotations

import asyncio
import re
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.contract.sidecar_pair import sidecar_processes
from tests.unit.meshproxy.proxy.h2_peer import H2Upstream, echo
from tests.unit.meshproxy.proxy.harness import Upstream, answering, ok


@asynccontextmanager
async def web(*, http2: bool) -> AsyncIterator[int]:
    """The port of a sidecar behind which, by another one, is a server."""
    server = await (H2Upstream(echo) if http2 else Upstream(answering(ok(b"hello")))).start()
    try:
        async with sidecar_processes(server.endpoint, http2=http2) as pair:
            yield pair.web.port
    finally:
        await server.stop()


async def run(*command: str) -> str:
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    async with asyncio.timeout(60):
        output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
    return output.decode()


@pytest.mark.parametrize("http2", [True, False])
async def test_curl(http2: bool) -> None:
    async with web(http2=http2) as port:
        answer = await run("curl", "-sv", "--http2-prior-knowledge", f"http://127.0.0.1:{port}/x")
        assert "< HTTP/2 200" in answer
        if http2:
            sent = await run(
                "curl", "-s", "--http2-prior-knowledge", "--data-binary", "body", f"http://127.0.0.1:{port}/x"
            )
            assert sent == "body"


async def test_nghttp_sees_trailers() -> None:
    async with web(http2=True) as port:
        answer = await run("nghttp", "-nv", f"http://127.0.0.1:{port}/", "-H", "te: trailers")
        assert "x-size: 0" in answer
        assert "error_code=NO_ERROR" in answer


@pytest.mark.parametrize("http2", [True, False])
async def test_h2load(http2: bool) -> None:
    async with web(http2=http2) as port:
        answer = await run("h2load", "-n", "2000", "-c", "4", "-m", "50", f"http://127.0.0.1:{port}/")
        assert re.search(r"2000 succeeded, 0 failed, 0 errored, 0 timeout", answer), answer
        assert "status codes: 2000 2xx" in answer
