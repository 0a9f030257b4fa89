"""Five thousand Pods of five hundred Services: a change costs what it concerns, not what there is."""

from typing import cast

from control_plane.client import ApiClient, WatchEvent
from control_plane.resources.manifest import Manifest, section, with_metadata
from lab.controllers.process import Controllers

SERVICES, PODS = 500, 5_000


class CountingApi:
    """Answers every write with the object as stored."""

    def __init__(self) -> None:
        self.writes: list[Manifest] = []

    async def write(self, manifest: Manifest) -> Manifest:
        self.writes.append(manifest)
        number = str(1_000_000 + len(self.writes))
        known = section(manifest, "metadata")
        name, uid = known.get("name", f"made-{number}"), known.get("uid", number)
        return with_metadata(manifest, name=name, uid=uid, resourceVersion=number)

    create = update = update_status = write


def service(number: int) -> Manifest:
    meta = {"name": f"s{number}", "namespace": "shop", "uid": f"s{number}", "resourceVersion": "1"}
    spec = {"clusterIP": "10.96.0.1", "selector": {"app": f"s{number}", "tier": "x"}, "ports": [{"port": 80}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": spec}


def pod(number: int, *, ready: bool = True, version: int = 1) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"p{number}",
            "namespace": "shop",
            "uid": f"p{number}",
            "resourceVersion": str(version),
            "labels": {"app": f"s{number % SERVICES}", "tier": "x"},
        },
        "spec": {"nodeName": "node", "containers": [{"name": "app"}]},
        "status": {
            "phase": "Running",
            "podIP": f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}",
            "conditions": [{"type": "Ready", "status": str(ready)}],
        },
    }


async def test_the_change_of_one_pod_looks_at_one_service_and_writes_one_slice() -> None:
    api = CountingApi()
    controllers = Controllers(cast("ApiClient", api))
    namespace = {"name": "shop", "uid": "ns", "resourceVersion": "1"}
    controllers.on_event(
        WatchEvent("ADDED", {"apiVersion": "v1", "kind": "Namespace", "metadata": namespace})
    )
    for number in range(SERVICES):
        controllers.on_event(WatchEvent("ADDED", service(number)))
    for number in range(PODS):
        controllers.on_event(WatchEvent("ADDED", pod(number)))
    await controllers.settle()
    slices = [one for one in api.writes if one["kind"] == "EndpointSlice"]
    assert len(slices) == SERVICES
    assert {len(cast("list[object]", one["endpoints"])) for one in slices} == {PODS // SERVICES}
    api.writes.clear()
    controllers.on_event(WatchEvent("MODIFIED", pod(7, ready=False, version=2)))
    assert {worker.name: len(worker.queue) for worker in controllers.workers if len(worker.queue)} == {
        "endpointslice": 1
    }
    await controllers.settle()
    assert [one["kind"] for one in api.writes] == ["EndpointSlice"]
