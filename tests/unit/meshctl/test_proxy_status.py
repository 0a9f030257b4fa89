"""The account of `/debug/syncz`, one row a sidecar, and who is asked for it."""

import json
from pathlib import Path
from typing import cast

import click
import pytest

from control_plane.client import ApiClient, ApiError, NotFound
from lab.state import LabOptions, LabState, write_state
from meshctl import proxy_status
from meshctl.proxy_status import is_synced, node_name, rejections, status_row, sync_states
from meshctl.sidecar_admin import PodUnreachable

NODE_ID = "sidecar~10.244.0.5~web-1.shop~shop.svc.cluster.local"


def node(node_id: str = NODE_ID, **states: str) -> dict[str, object]:
    types = {
        kind: {"state": state, "nackedReason": "bad" if state == "NACKED" else ""}
        for kind, state in states.items()
    }
    return {"nodeId": node_id, "types": types}


def test_a_sidecar_is_named_by_pod_and_namespace():
    assert node_name(node()) == "web-1.shop"
    assert node_name(node("another")) == "another"


def test_a_type_that_is_not_there_is_a_dash():
    assert status_row(node(cds="SYNCED", lds="STALE")) == ["web-1.shop", "SYNCED", "STALE", "-", "-"]


def test_rejections_are_told_in_the_sidecars_words():
    assert rejections([node(cds="SYNCED"), node(lds="NACKED")]) == ["web-1.shop refused lds: bad"]


def test_synced_is_every_type_that_was_asked_for():
    assert is_synced(node(cds="SYNCED", lds="SYNCED", eds="NOT SENT"))
    assert not is_synced(node(cds="SYNCED", lds="STALE"))
    assert not is_synced(node(cds="NACKED"))
    assert not is_synced(node(cds="NOT SENT"))
    assert not is_synced(node())


class Server:
    """An API server that answers some paths."""

    server = "https://api.example"

    def __init__(self, refusal: ApiError | None, page: dict[str, object] | None = None) -> None:
        self._refusal = refusal
        self._page = page
        self.asked: list[str] = []

    async def read(self, path: str) -> dict[str, object]:
        self.asked.append(path)
        if self._refusal is not None and path == "/debug/syncz":
            raise self._refusal
        return self._page or {"nodes": [node()]}


async def states_of(server: Server) -> list[str]:
    return [node_name(one) for one in await sync_states(cast("ApiClient", server))]


@pytest.mark.parametrize("refusal", [None, NotFound(404, "", ""), ApiError(403, "Forbidden", "")])
async def test_who_serves_the_api_is_asked_first_and_then_the_cluster(
    refusal: ApiError | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(proxy_status, "LABS", tmp_path)
    server = Server(refusal)
    assert await states_of(server) == ["web-1.shop"]
    beside = "/api/v1/namespaces/meshproxy-system/services/control-plane:http-metrics/proxy/debug/syncz"
    assert server.asked == ["/debug/syncz", *([beside] if refusal else [])]


async def test_another_refusal_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(proxy_status, "LABS", tmp_path)
    with pytest.raises(ApiError):
        await states_of(Server(ApiError(500, "InternalError", "")))


async def test_the_lab_that_uses_the_api_server_is_asked_in_its_namespace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(proxy_status, "LABS", tmp_path)
    for name, url in (("other", "https://other"), ("ours", Server.server)):
        (tmp_path / name).mkdir()
        state = LabState(LabOptions(kubeconfig="/k"), url)
        write_state(tmp_path / name / "state.json", state)
    asked: list[tuple[Path, str, int]] = []

    def answer(network: Path, what: str, path: str, port: int) -> tuple[int, str]:
        asked.append((network, path, port))
        return 200, json.dumps({"nodes": [node()]})

    monkeypatch.setattr(proxy_status, "fetch_in", answer)
    assert await states_of(Server(NotFound(404, "", ""))) == ["web-1.shop"]
    assert asked == [(tmp_path / "ours" / "netns" / "control-plane", "/debug/syncz", 15014)]

    def silent(network: Path, what: str, path: str, port: int) -> tuple[int, str]:
        raise PodUnreachable(f"{what}: nobody")

    monkeypatch.setattr(proxy_status, "fetch_in", silent)
    with pytest.raises(click.ClickException, match="control plane of lab ours: nobody"):
        await states_of(Server(NotFound(404, "", "")))
