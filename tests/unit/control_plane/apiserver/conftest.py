"""A whole API server in memory: real store, real application, requests without a socket."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from control_plane.apiserver.app import RestApp, create_app
from control_plane.apiserver.system_object import ensure_system_objects
from control_plane.resources.invalid import Cause
from control_plane.resources.manifest import Manifest
from control_plane.store.sqlite import SqliteStore
from tests.unit.control_plane.apiserver.minter import RecordingMinter

ADMIN_TOKEN = "of-the-administrator"


@dataclass
class Api:
    """What a test talks to."""

    http: httpx.AsyncClient
    store: SqliteStore
    app: RestApp
    minter: RecordingMinter

    async def call(self, method: str, path: str, body: object = None, **params: str) -> tuple[int, Manifest]:
        """Status code and JSON answer."""
        response = await self.http.request(method, path, json=body, params=params)
        return response.status_code, response.json()


def _refuse_forbidden_names(wanted: object, current: object) -> list[Cause]:
    name = getattr(getattr(wanted, "metadata", None), "name", "")
    return [Cause("metadata.name", "is forbidden here")] if name == "forbidden" else []


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    store = await SqliteStore.open(tmp_path / "state.db")
    await ensure_system_objects(store)
    minter = RecordingMinter()
    app = create_app(
        store,
        admin_token=ADMIN_TOKEN,
        token_minter=minter,
        now=lambda: 1000.0,
        checks=[_refuse_forbidden_names],
    )
    transport = httpx.ASGITransport(app.asgi, raise_app_exceptions=False)
    headers = {"Authorization": f"Bearer {ADMIN_TOKEN}"}
    async with httpx.AsyncClient(transport=transport, base_url="http://api", headers=headers) as http:
        yield Api(http, store, app, minter)
    await store.close()
