"""What is known of all Pods together is kept up to date pod by pod: always what counting anew would give."""

import random

from control_plane.index import Index
from tests.unit.control_plane import manifest_builder as build


def _pod(name: str, zone: str, *, meshed: bool, excluded: bool) -> dict[str, object]:
    labels = {"topology.kubernetes.io/zone": zone} if zone else {}
    pod = build.pod(name, ip=f"10.0.0.{name[1:]}", labels=labels, meshed=meshed)
    if excluded:
        metadata = pod["metadata"]
        assert isinstance(metadata, dict)
        metadata["annotations"] = {"meshproxy.io/exclude-inbound-ports": "9000"}
    pod["spec"] = {**pod["spec"], "nodeName": "n1"}  # type: ignore[dict-item]
    return pod


def _node(zone: str) -> dict[str, object]:
    labels = {"topology.kubernetes.io/zone": zone}
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1", "labels": labels}}


def test_counts_and_addresses_follow_every_change():
    rng = random.Random(3)
    kept: dict[str, dict[str, object]] = {}
    index = Index()
    for _ in range(300):
        name = f"p{rng.randrange(1, 12)}"
        match rng.randrange(5):
            case 0:
                kept.pop(name, None)
                index.delete("Pod", "shop", name)
            case 1:
                kept["node"] = _node(rng.choice("abc"))
                index.apply(kept["node"])
            case _:
                pod = _pod(
                    name, rng.choice(["", "a", "b"]), meshed=rng.random() < 0.7, excluded=rng.random() < 0.3
                )
                kept[name] = pod
                index.apply(pod)
        anew = Index()
        for manifest in kept.values():
            anew.apply(manifest)
        assert index.registry.clients == anew.registry.clients
        assert index.registry.mesh_pods == anew.registry.mesh_pods


def test_counts_that_stay_are_the_same_object():
    index = Index()
    index.apply(_pod("p1", "a", meshed=True, excluded=False))
    before = index.registry.clients
    index.apply(_pod("p1", "a", meshed=True, excluded=True))
    index.apply(_pod("p2", "a", meshed=False, excluded=False))
    assert index.registry.clients is before
    index.apply(_pod("p2", "a", meshed=True, excluded=False))
    assert index.registry.clients != before
