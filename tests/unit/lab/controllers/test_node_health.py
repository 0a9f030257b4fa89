"""Nodes whose kubelet is silent."""

from pathlib import Path

from control_plane.resources.manifest import Manifest, objects, section
from control_plane.resources.timestamp import rfc3339
from tests.unit.lab.builders import pod_manifest
from tests.unit.lab.controllers.world import World, world


async def beat(lab: World) -> None:
    now = rfc3339(lab.now())
    ready = {"type": "Ready", "status": "True", "lastHeartbeatTime": now, "lastTransitionTime": now}
    status = {"conditions": [ready], "nodeInfo": {"kubeletVersion": "v1.33.0-lab"}}
    await lab.client.patch("Node", "node", "", {"status": status}, "status")
    await lab.settle()


async def readiness(lab: World) -> Manifest:
    [found] = objects(section(await lab.client.get("Node", "node"), "status"), "conditions")
    return found


async def look(lab: World, later: float) -> None:
    lab.later += later
    lab.controllers.cache.assume(await lab.client.get("Node", "node"))
    await lab.controllers.settle()
    await lab.settle()


async def test_a_silent_node_is_unknown_gets_no_pods_and_is_ready_when_it_speaks_again(
    tmp_path: Path,
) -> None:
    async with world(tmp_path) as lab:
        await beat(lab)
        await look(lab, 30.0)
        assert (await readiness(lab))["status"] == "True"
        await look(lab, 12.0)
        said = await readiness(lab)
        assert (said["status"], said["reason"]) == ("Unknown", "NodeStatusUnknown")
        await lab.client.create(pod_manifest("late"))
        await lab.settle()
        assert (await lab.pods())[0].spec.node_name == ""
        await beat(lab)
        assert (await lab.pods())[0].spec.node_name == "node"
