"""PeerAuthentication at work: modes change while traffic comes, on stock Envoy and on this sidecar alike."""

import asyncio
import http.client

import pytest

from control_plane.resources.manifest import Manifest, objects, section
from tests.contract.one_pod_mesh import DATA_PLANES, POD_IP, Mesh, running_mesh

pytestmark = pytest.mark.privileged

V1 = {"matchLabels": {"version": "v1"}}


def peer(mode: str, name: str = "default", **spec: object) -> Manifest:
    return {
        "apiVersion": "meshproxy.io/v1alpha1",
        "kind": "PeerAuthentication",
        "metadata": {"name": name, "namespace": "shop"},
        "spec": {"mtls": {"mode": mode}, **spec},
    }


def is_plaintext_taken(mesh: Mesh) -> bool:
    """By the pod, dialled by its address past every outbound listener."""
    try:
        return mesh.get_from(POD_IP, 8080, "/", "v1")[0] == 200
    except (OSError, http.client.HTTPException):
        return False


def caller(mesh: Mesh) -> str:
    """What the pod is told of a client of the Service; empty when it came in plaintext."""
    status, body = mesh.get("/", "v1.shop")
    assert status == 200
    return body.partition("spiffe://")[2]


@pytest.mark.parametrize("data_plane", DATA_PLANES)
async def test_modes_change_while_traffic_comes(data_plane: str) -> None:
    async with running_mesh(data_plane=data_plane) as mesh:

        async def becomes(taken: bool, *manifests: Manifest) -> None:
            for manifest in manifests:
                await mesh.api.apply(manifest)
            await mesh.until(lambda: is_plaintext_taken(mesh) == taken, f"plaintext: {taken}, by {manifests}")

        assert not await asyncio.to_thread(is_plaintext_taken, mesh)
        await becomes(True, peer("PERMISSIVE"))
        assert await asyncio.to_thread(caller, mesh), "clients with sidecars use mesh TLS all the same"
        await becomes(False, peer("UNSET", "v1", selector=V1, portLevelMtls={"8080": {"mode": "STRICT"}}))
        await becomes(True, peer("STRICT", "v1", selector=V1, portLevelMtls={"8080": {"mode": "DISABLE"}}))
        await mesh.until(lambda: not caller(mesh), "clients send plaintext to a port that wants it")
        await mesh.api.delete("PeerAuthentication", "v1", "shop")
        if data_plane == "meshproxy":  # Envoy goes on with the connections that it has
            await mesh.until(lambda: bool(caller(mesh)), "mesh TLS again")
        await becomes(False, peer("STRICT"))
        await mesh.until(lambda: bool(caller(mesh)), "mesh TLS in a strict namespace")
        assert await mesh.sync_states() == {"SYNCED"}
        stored = await mesh.api.get("PeerAuthentication", "default", "shop")
        (condition,) = objects(section(stored, "status"), "conditions")
        assert (condition["status"], condition["observedGeneration"]) == (
            "True",
            section(stored, "metadata")["generation"],
        )
