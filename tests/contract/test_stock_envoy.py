"""Stock Envoy as a sidecar of this control plane: it accepts everything, and speaks mesh TLS on both
sides."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator

import pytest

from tests.contract.one_pod_mesh import (
    POD_IP,
    Mesh,
    running_mesh,
    split,
    without_bookkeeping,
)

pytestmark = pytest.mark.privileged


@pytest.fixture
async def mesh() -> AsyncIterator[Mesh]:
    async with running_mesh() as running:
        yield running


def _assert_nothing_was_rejected(mesh: Mesh) -> None:
    rejected = mesh.stats(r"update_rejected$")
    assert {"listener_manager.lds.update_rejected", "cluster_manager.cds.update_rejected"} <= rejected.keys()
    assert any("rds" in name for name in rejected)
    assert not any(rejected.values()), rejected


async def test_envoy_accepts_everything(mesh: Mesh) -> None:
    await mesh.api.apply(without_bookkeeping(split(0, 1)))
    await mesh.until(lambda: mesh.get_many("/split", 20)["v2"] == 20, "the new weights had no effect")
    _assert_nothing_was_rejected(mesh)
    accepted = mesh.stats(r"update_success$")
    assert accepted["cluster_manager.cds.update_success"] > 0
    assert accepted["listener_manager.lds.update_success"] > 0
    assert any(name.endswith("update_success") and "outbound|8080||v1" in name for name in accepted)


async def test_envoy_speaks_mesh_tls_to_meshed_endpoints_only(mesh: Mesh) -> None:
    _, body = await asyncio.to_thread(mesh.get, "/", "v1.shop")
    answer = json.loads(body)
    assert answer["name"] == "v1"
    assert "uri=spiffe://cluster.local/ns/shop/sa/catalog" in answer["caller"]
    handshakes = mesh.stats("ssl.handshake")
    assert sum(count for name, count in handshakes.items() if "outbound|8080||v1" in name) > 0
    assert sum(count for name, count in handshakes.items() if "outbound|8080||v2" in name) == 0


async def test_strict_refuses_plaintext_that_reaches_envoys_inbound_side(mesh: Mesh) -> None:
    def call() -> bytes:
        with mesh.network.connect(POD_IP, 8080) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: v1\r\n\r\n")
            return connection.recv(100)

    with contextlib.suppress(ConnectionResetError):
        assert await asyncio.to_thread(call) == b""
    missed = mesh.stats("no_filter_chain_match")
    assert sum(missed.values()) >= 1
