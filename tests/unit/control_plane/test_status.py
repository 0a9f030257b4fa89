"""What an HTTPRoute is told about itself, and when it is written."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from control_plane.attachment.condition import RouteCondition
from control_plane.discovery.model import ObjectName
from control_plane.discovery.route import Backend, HttpRoute, ObjectRef, RouteRule
from control_plane.index import Index
from control_plane.resources.manifest import Manifest, ObjectKey, section
from control_plane.resources.route_reference import MAX_PARENTS
from control_plane.status import CONTROLLER_NAME, StatusWriter, parent_statuses
from control_plane.store.api import ObjectNotFound, VersionConflict
from control_plane.store.sqlite import SqliteStore
from tests.unit.control_plane import manifest_builder as build

SPLIT = ObjectKey("HTTPRoute", "shop", "split")
NOON, LATER = 1_767_268_800.0, 1_767_272_400.0


def _conditions(*manifests: Manifest) -> tuple[tuple[RouteCondition, ...], ...]:
    """Of route `split`, given these objects."""
    index = Index()
    for manifest in manifests:
        index.apply(manifest)
    route = index.registry.routes.get(SPLIT)
    assert route is not None
    return parent_statuses(route, index.registry)


def _only(*manifests: Manifest) -> dict[str, RouteCondition]:
    (conditions,) = _conditions(*manifests)
    return {condition.type: condition for condition in conditions}


def test_a_route_with_parent_and_backends_is_accepted_and_resolved() -> None:
    found = _only(build.service("catalog"), build.route("split"))
    assert (found["Accepted"].status, found["Accepted"].reason) == (True, "Accepted")
    assert (found["ResolvedRefs"].status, found["ResolvedRefs"].reason) == (True, "ResolvedRefs")


@pytest.mark.parametrize(
    ("service", "port", "message"),
    [
        (build.service("web"), None, "spec.parentRefs[0].name: Service shop/catalog does not exist"),
        (
            build.service("catalog"),
            9090,
            "spec.parentRefs[0].port: Service shop/catalog has no TCP port 9090; it has 8080",
        ),
        (
            build.service("catalog", {"name": "tcp", "port": 7000}),
            None,
            "spec.parentRefs[0]: port 7000 of Service shop/catalog is opaque",
        ),
        (
            build.service("catalog", {"name": "dns", "port": 53, "protocol": "UDP"}),
            53,
            "spec.parentRefs[0].port: Service shop/catalog has no TCP port 53; it has none",
        ),
        (
            build.service("catalog", {"name": "any", "port": 9000}, vip="None"),
            None,
            "spec.parentRefs[0]: Service shop/catalog is headless and its port 9000 undeclared",
        ),
    ],
)
def test_a_parent_that_cannot_be_attached_to_is_named(
    service: Manifest, port: int | None, message: str
) -> None:
    accepted = _only(service, build.route("split", port=port))["Accepted"]
    assert (accepted.status, accepted.reason) == (False, "NoMatchingParent")
    assert accepted.message.startswith(message)


def test_backends_that_do_not_exist_are_named_with_their_field() -> None:
    rules = [
        build.rule(build.backend("catalog")),
        build.rule(build.backend("catalog"), build.backend("gone"), build.backend("catalog", port=1)),
    ]
    resolved = _only(build.service("catalog"), build.route("split", *rules))["ResolvedRefs"]
    assert (resolved.status, resolved.reason) == (False, "BackendNotFound")
    assert resolved.message == (
        "spec.rules[1].backendRefs[1].name: Service shop/gone does not exist; "
        "spec.rules[1].backendRefs[2].port: Service shop/catalog has no port 1; it has 8080; "
        "their share of requests answers 500"
    )


def test_other_kinds_are_no_backends_and_no_parents_of_ours() -> None:
    index = Index()
    for manifest in (build.service("catalog"), build.route("split")):
        index.apply(manifest)
    route = index.registry.routes.get(SPLIT)
    assert isinstance(route, HttpRoute)
    foreign = ObjectRef("example.com", "Bucket", ObjectName("shop", "b"), None)
    rule = RouteRule(route.rules[0].matches, (Backend(foreign, 1),))
    (conditions,) = parent_statuses(
        replace(route, parents=(foreign, *route.parents), rules=(rule,)), index.registry
    )
    accepted, resolved = conditions
    assert accepted.message.startswith("spec.parentRefs[1]")
    assert resolved.reason == "InvalidKind"
    assert resolved.message.startswith("spec.rules[0].backendRefs[0].kind: Bucket shop/b")


def test_each_parent_is_judged_by_itself() -> None:
    route = build.route("split")
    refs = [{"group": "", "kind": "Service", "name": name} for name in ("gone", "catalog")]
    route["spec"]["parentRefs"] = refs  # type: ignore[index]
    first, second = _conditions(build.service("catalog"), route)
    assert [conditions[0].status for conditions in (first, second)] == [False, True]
    assert second[0].message.startswith("spec.parentRefs[1]")


# --- writing ------------------------------------------------------------------------------------------------


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    store = await SqliteStore.open(tmp_path / "state.db")
    await store.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}})
    yield store
    await store.close()


class _Desk:
    """A store, an index of it, and a writer between them."""

    def __init__(self, store: SqliteStore) -> None:
        self.store = store
        self.index = Index()
        self.now = NOON
        self.writer = StatusWriter(store, lambda: self.now)

    async def create(self, manifest: Manifest) -> None:
        metadata = {key: section(manifest, "metadata")[key] for key in ("name", "namespace")}
        self.index.apply(await self.store.create({**manifest, "metadata": metadata}))

    async def write(self) -> Mapping[str, Mapping[str, object]]:
        """Conditions of the first parent, as stored after writing."""
        assert not await self.writer.write([SPLIT], self.index.registry)
        (parent,) = await self.parents()
        conditions = parent["conditions"]
        assert isinstance(conditions, list)
        return {condition["type"]: condition for condition in conditions}

    async def parents(self) -> list[Manifest]:
        parents = section(await self.store.get("HTTPRoute", "shop", "split"), "status")["parents"]
        assert isinstance(parents, list)
        return parents


async def test_the_stored_status_names_parent_controller_and_generation(store: SqliteStore) -> None:
    desk = _Desk(store)
    await desk.create(build.service("catalog"))
    await desk.create(build.route("split"))
    accepted = (await desk.write())["Accepted"]
    assert accepted["status"] == "True"
    assert accepted["observedGeneration"] == 1
    assert accepted["lastTransitionTime"] == "2026-01-01T12:00:00Z"
    (parent,) = await desk.parents()
    assert parent["controllerName"] == CONTROLLER_NAME
    assert parent["parentRef"] == {"group": "", "kind": "Service", "name": "catalog"}


async def test_a_status_that_is_right_is_not_written_again(store: SqliteStore) -> None:
    desk = _Desk(store)
    await desk.create(build.service("catalog"))
    await desk.create(build.route("split"))
    await desk.write()
    version, desk.now = store.resource_version, LATER
    await desk.write()
    assert (store.resource_version, desk.writer.writes) == (version, 1)


async def test_the_transition_time_moves_only_with_the_condition(store: SqliteStore) -> None:
    desk = _Desk(store)
    await desk.create(build.service("catalog"))
    await desk.create(build.route("split", build.rule(build.backend("gone"))))
    await desk.write()
    desk.now = LATER
    await desk.create(build.service("gone", vip="10.96.0.8"))
    after = await desk.write()
    assert after["ResolvedRefs"]["lastTransitionTime"] == "2026-01-01T13:00:00Z"
    assert after["Accepted"]["lastTransitionTime"] == "2026-01-01T12:00:00Z"


async def test_other_controllers_entries_are_kept(store: SqliteStore) -> None:
    desk = _Desk(store)
    await desk.create(build.service("catalog"))
    await desk.create(build.route("split"))
    stored = await store.get("HTTPRoute", "shop", "split")
    foreign: Manifest = {"parentRef": {"name": "x"}, "controllerName": "other/one", "conditions": []}
    await store.update_status({**stored, "status": {"parents": [foreign]}})
    assert not await desk.writer.write([SPLIT], desk.index.registry)
    assert [parent["controllerName"] for parent in await desk.parents()] == ["other/one", CONTROLLER_NAME]


async def test_a_route_that_changed_meanwhile_is_left_to_its_next_event(store: SqliteStore) -> None:
    desk = _Desk(store)
    await desk.create(build.service("catalog"))
    await desk.create(build.route("split"))
    stored = await store.get("HTTPRoute", "shop", "split")
    other = section(build.route("split", build.rule(build.backend("other"))), "spec")
    await store.update({**stored, "spec": other})
    assert not await desk.writer.write([SPLIT], desk.index.registry)
    assert desk.writer.writes == 0


async def test_a_route_that_was_made_anew_is_left_to_its_next_event(store: SqliteStore) -> None:
    """Same name and generation, other parents: what is known of the old one says nothing about it."""
    desk = _Desk(store)
    await desk.create(build.service("catalog"))
    await desk.create(build.route("split"))
    await store.delete("HTTPRoute", "shop", "split")
    anew = build.route("split")
    section(anew, "spec")["parentRefs"] = [
        {"group": "", "kind": "Service", "name": name} for name in ("a", "b")
    ]
    anew["metadata"] = {"name": "split", "namespace": "shop"}
    await store.create(anew)
    assert not await desk.writer.write([SPLIT], desk.index.registry)
    assert desk.writer.writes == 0


async def test_as_many_entries_are_written_as_a_status_may_hold(store: SqliteStore) -> None:
    desk = _Desk(store)
    await desk.create(build.service("catalog"))
    await desk.create(build.route("split"))
    stored = await store.get("HTTPRoute", "shop", "split")
    foreign = [
        {"parentRef": {"name": f"x{n}"}, "controllerName": "other/one", "conditions": []}
        for n in range(MAX_PARENTS)
    ]
    await store.update_status({**stored, "status": {"parents": foreign}})
    assert not await desk.writer.write([SPLIT], desk.index.registry)
    parents = await desk.parents()
    assert len(parents) == MAX_PARENTS
    assert parents[-1]["controllerName"] == CONTROLLER_NAME


async def test_a_stored_route_that_cannot_be_read_ends_nothing(store: SqliteStore) -> None:
    desk = _Desk(store)
    await desk.create(build.route("split"))
    stored = await store.get("HTTPRoute", "shop", "split")
    await store.update_status({**stored, "status": {"bogus": 1}})
    assert not await desk.writer.write([SPLIT], desk.index.registry)


async def test_a_route_that_is_gone_is_nobodys_business(store: SqliteStore) -> None:
    desk = _Desk(store)
    await desk.create(build.route("split"))
    await store.delete("HTTPRoute", "shop", "split")
    assert not await desk.writer.write(
        [SPLIT, ObjectKey("HTTPRoute", "shop", "never-was")], desk.index.registry
    )
    with pytest.raises(ObjectNotFound):
        await store.get("HTTPRoute", "shop", "split")


async def test_a_conflict_is_tried_again_later(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    desk = _Desk(store)
    await desk.create(build.route("split"))

    async def conflict(manifest: Manifest) -> Manifest:
        raise VersionConflict(("HTTPRoute", "shop", "split"), "changed")  # type: ignore[arg-type]

    monkeypatch.setattr(store, "update_status", conflict)
    assert await desk.writer.write([SPLIT], desk.index.registry) == {SPLIT}
