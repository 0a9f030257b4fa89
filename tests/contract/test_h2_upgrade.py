"""HTTP/1.1 said over HTTP/2 to our sidecar and to stock Envoy, as the control plane configures both sides."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.contract.emitted_sides import INBOUND, Side, envoy_called, ours_called, ours_calling
from tests.unit.meshproxy.identity.mesh import CATALOG, WEB, issue, new_authority
from tests.unit.meshproxy.proxy.harness import Upstream
from tests.unit.meshproxy.proxy.test_h2_upgrade import CLIENTS, all_at_once, ask
from tests.unit.meshproxy.proxy.test_upgrade import converse, echo_server

CALLED = {"ours": ours_called, "Envoy": envoy_called}


@asynccontextmanager
async def sides(called: str, app: int, directory: Path) -> AsyncIterator[tuple[Side, Side]]:
    authority = new_authority()
    async with (
        CALLED[called](issue(authority, CATALOG), app, directory, upgraded=True) as peer,
        ours_calling(issue(authority, WEB), peer.port, directory, upgraded=True) as calling,
    ):
        yield calling, peer


@pytest.mark.parametrize("called", CALLED)
async def test_requests_share_a_connection_and_websockets_have_their_own(called: str, tmp_path: Path) -> None:
    seen: list[bytes] = []
    app = await Upstream(all_at_once(CLIENTS, seen)).start()
    async with asyncio.timeout(60), sides(called, app.port, tmp_path) as (calling, peer):
        answers = await asyncio.gather(*(ask(calling.port) for _ in range(CLIENTS)))
        assert all(answer.endswith(b"hello") for answer in answers)
        assert {head.split(b"\r\n")[0] for head in seen} == {b"GET /x HTTP/1.1"}
        assert f"URI={WEB}".encode() in seen[0]
        if peer.envoy is not None:
            stats = await peer.envoy.stats()
            assert stats["http.inbound_0.0.0.0_8080.downstream_cx_http2_total"] == 1
            assert stats["http.inbound_0.0.0.0_8080.downstream_cx_http1_total"] == 0
            assert stats[f"cluster.{INBOUND}.upstream_cx_http1_total"] == CLIENTS
    await app.stop()
    async with (
        asyncio.timeout(60),
        echo_server() as port,
        sides(called, port, tmp_path) as (calling, peer),
    ):
        await converse(calling.port, 100)
        if peer.envoy is not None:
            stats = await peer.envoy.stats()
            assert stats["http.inbound_0.0.0.0_8080.downstream_cx_http1_total"] == 1
            assert stats["http.inbound_0.0.0.0_8080.downstream_cx_http2_total"] == 0
