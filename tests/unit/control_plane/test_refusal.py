"""Objects that cannot be understood: what their status says, and when it says it."""

from pathlib import Path

import pytest

from control_plane.index import Index
from control_plane.refusal import refusal_of, with_refusal, write_refusal
from control_plane.resources.invalid import Cause, InvalidResource
from control_plane.resources.manifest import Manifest, objects, section
from control_plane.store.sqlite import SqliteStore
from tests.unit.control_plane import manifest_builder as build

NOW = "2026-01-01T12:00:00Z"
ERROR = InvalidResource("X", "x", [Cause("spec.a", "is odd"), Cause("", "whole")])
CONDITION = {
    "type": "Accepted",
    "status": "False",
    "reason": "Invalid",
    "message": "spec.a: is odd; whole",
    "observedGeneration": 3,
    "lastTransitionTime": NOW,
}
OTHERS = {"controllerName": "example.com/other", "parentRef": {"name": "x"}, "conditions": []}


def stored(kind: str, spec: Manifest, status: Manifest | None = None, version: str = "v1") -> Manifest:
    return {
        "apiVersion": f"example.com/{version}",
        "kind": kind,
        "metadata": {"name": "odd", "namespace": "shop", "generation": 3},
        "spec": spec,
        "status": status or {},
    }


def told(manifest: Manifest, *known: Manifest) -> Manifest | None:
    index = Index()
    for each in known:
        index.apply(each)
    found = with_refusal(manifest, refusal_of(manifest, ERROR), index.registry, NOW)
    return None if found is None else section(found, "status")


def test_a_route_is_told_at_each_parent_of_ours_and_others_keep_their_word():
    parents = [{"group": "", "kind": "Service", "name": "catalog"}, {"name": "somebodys"}, {"port": 1}, "x"]
    status = told(stored("HTTPRoute", {"parentRefs": parents}, {"parents": [OTHERS]}))
    own = {"parentRef": parents[0], "controllerName": "meshproxy.io/control-plane", "conditions": [CONDITION]}
    assert status == {"parents": [OTHERS, own]}
    again = stored("HTTPRoute", {"parentRefs": parents}, status)
    assert told(again) is None


def test_a_policy_is_told_at_each_target():
    target = {"group": "", "kind": "Service", "name": "catalog"}
    status = told(stored("TrafficPolicy", {"targetRefs": [target]}))
    assert status is not None
    [entry] = objects(status, "ancestors")
    assert (entry["ancestorRef"], entry["conditions"]) == (target, [CONDITION])
    assert told(stored("TrafficPolicy", {"targetRefs": "x"})) is None


def test_others_are_told_in_their_own_conditions():
    before = {
        "conditions": [{"type": "Programmed", "status": "True"}, {"type": "Accepted", "status": "True"}]
    }
    status = told(stored("ServiceEntry", {}, before))
    assert status == {"conditions": [CONDITION, {"type": "Programmed", "status": "True"}]}


@pytest.mark.parametrize(
    ("kind", "spec", "is_ours"),
    [
        ("GatewayClass", {"controllerName": "meshproxy.io/gateway-controller"}, True),
        ("GatewayClass", {"controllerName": "example.com/other"}, False),
        ("Gateway", {"gatewayClassName": "ours"}, True),
        ("Gateway", {"gatewayClassName": "theirs"}, False),
    ],
)
def test_gateways_of_others_are_left_alone(kind: str, spec: Manifest, *, is_ours: bool):
    ours: Manifest = {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "GatewayClass",
        "metadata": {"name": "ours"},
        "spec": {"controllerName": "meshproxy.io/gateway-controller"},
    }
    assert (told(stored(kind, spec), ours) is not None) is is_ours


async def test_only_the_version_that_was_read_is_told(tmp_path: Path):
    store = await SqliteStore.open(tmp_path / "state.db")
    await store.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}})
    made = await store.create(build.route("split"))
    older = {**made, "metadata": {**section(made, "metadata"), "generation": 0}}
    for manifest, expected in ((older, ""), (made, "Invalid")):
        assert await write_refusal(refusal_of(manifest, ERROR), Index().registry, store, lambda: 0.0)
        status = section(await store.get("HTTPRoute", "shop", "split"), "status")
        found = [
            one["reason"] for entry in objects(status, "parents") for one in objects(entry, "conditions")
        ]
        assert found == ([expected] if expected else [])
    await store.close()
