"""The beginning and the end of Namespaces."""

from pathlib import Path

import pytest

from control_plane.client import ApiClient, NotFound, ObjectList
from control_plane.resources.manifest import Manifest, section
from lab.controllers.namespaces import ROOT_CONFIG_MAP
from tests.unit.lab.controllers.world import world


async def test_each_namespace_knows_the_api_servers_root_and_gets_it_back(tmp_path: Path) -> None:
    async with world(tmp_path) as lab:
        found = await lab.client.get("ConfigMap", ROOT_CONFIG_MAP, "shop")
        assert found["data"] == {"ca.crt": "the root"}
        await lab.client.patch(
            "ConfigMap", ROOT_CONFIG_MAP, "shop", {"data": {"ca.crt": "forged", "more": "x"}}
        )
        await lab.settle()
        assert (await lab.client.get("ConfigMap", ROOT_CONFIG_MAP, "shop"))["data"] == {"ca.crt": "the root"}
        await lab.client.delete("ConfigMap", ROOT_CONFIG_MAP, "shop")
        await lab.settle()
        assert (await lab.client.get("ConfigMap", ROOT_CONFIG_MAP, "shop"))["data"] == {"ca.crt": "the root"}


async def test_a_namespace_that_waits_for_controllers_is_emptied_and_let_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world(tmp_path) as lab:
        finalized: list[Manifest] = []
        listed = ApiClient.list

        async def finalize(self: ApiClient, namespace: Manifest) -> Manifest:
            finalized.append(namespace)
            return namespace

        async def partial(self: ApiClient, kind: str, namespace: str = "", **more: str) -> ObjectList:
            if kind == "TrafficPolicy":
                raise NotFound(404, "NotFound", "the server could not find the requested resource")
            return await listed(self, kind, namespace, **more)

        monkeypatch.setattr(ApiClient, "finalize", finalize)
        monkeypatch.setattr(ApiClient, "list", partial)
        gone = {"apiVersion": "v1", "kind": "Namespace", "spec": {"finalizers": ["kubernetes"]}}
        meta = {
            "name": "shop",
            "uid": "u",
            "resourceVersion": "9999",
            "deletionTimestamp": "2026-01-01T00:00:00Z",
        }
        manifest: Manifest = {**gone, "metadata": meta}
        lab.controllers.cache.assume(manifest)
        await lab.controllers.settle()
        assert await lab.of("ConfigMap") == await lab.of("ServiceAccount") == []
        assert section(finalized[0], "spec")["finalizers"] == []
