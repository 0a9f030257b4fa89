"""Events: told once, counted when they happen again, removed when they are old."""

import asyncio
from collections.abc import Mapping
from typing import cast

import pytest

from control_plane.client import ApiClient, ApiError, NotFound
from control_plane.resources.event import Event
from control_plane.resources.manifest import Manifest, name_of
from lab import event_recorder
from lab.event_recorder import NORMAL, WARNING, EventRecorder
from tests.unit.lab.builders import pod_manifest


class FakeApi:
    """Keeps Events, and refuses once what it is told to."""

    def __init__(self) -> None:
        self.events: dict[str, Manifest] = {}
        self.refusals: list[ApiError] = []
        self.calls = asyncio.Semaphore(0)

    def _answer(self) -> None:
        self.calls.release()
        if self.refusals:
            raise self.refusals.pop()

    async def create(self, manifest: Manifest) -> Manifest:
        self._answer()
        self.events[name_of(manifest)] = manifest
        return manifest

    async def patch(self, kind: str, name: str, namespace: str, patch: Mapping[str, object]) -> Manifest:
        self._answer()
        self.events[name] = {**self.events[name], **patch}
        return self.events[name]

    async def delete(self, kind: str, name: str, namespace: str) -> None:
        self._answer()
        if self.events.pop(name, None) is None:
            raise NotFound(404, "NotFound", "gone already")


class Recording:
    """A recorder at work."""

    def __init__(self) -> None:
        self.api = FakeApi()
        self.recorder = EventRecorder(cast(ApiClient, self.api), "kubelet", "node")
        self.about: Manifest = {"apiVersion": "v1", "kind": "Pod", **pod_manifest()}

    async def tell(self, *reasons: str, calls: int = 0) -> list[Manifest]:
        """The Events there are once the server was asked `calls` times; 0: as often as something was told."""
        for reason in reasons:
            self.recorder.tell(self.about, NORMAL, reason, "message", field_path="spec.containers{app}")
        task = asyncio.ensure_future(self.recorder.run())
        for _ in range(calls or len(reasons)):
            await asyncio.wait_for(self.api.calls.acquire(), 30)
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return list(self.api.events.values())


async def test_an_event_is_kubernetes_and_names_its_pod() -> None:
    [event] = await Recording().tell("Started")
    found = Event.parse(event)
    assert (found.reason, found.type, found.message, found.count) == ("Started", NORMAL, "message", 1)
    assert (found.involved_object.kind, found.involved_object.name) == ("Pod", "web-1")
    assert (found.involved_object.uid, found.involved_object.field_path) == (
        "uid-web-1",
        "spec.containers{app}",
    )
    assert (found.source.component, found.source.host) == ("kubelet", "node")
    assert found.metadata.namespace == "shop"


async def test_what_happens_again_is_counted() -> None:
    events = await Recording().tell("Created", "Started", "Created", "Created")
    assert [(event["reason"], event["count"]) for event in events] == [("Created", 3), ("Started", 1)]


async def test_an_event_that_went_is_made_anew_and_a_refusal_loses_only_one() -> None:
    recording = Recording()
    await recording.tell("Created")
    recording.api.events.clear()
    recording.api.refusals.append(NotFound(404, "NotFound", "gone"))
    assert len(await recording.tell("Created", calls=2)) == 1
    recording.api.refusals.append(ApiError(500, "InternalError", "no"))
    events = await recording.tell("Lost", "Kept")
    assert [event["reason"] for event in events] == ["Created", "Kept"]


async def test_old_events_are_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    recording = Recording()
    await recording.tell("Old")
    monkeypatch.setattr(event_recorder, "_LIFETIME", -1.0)
    recording.api.events.clear()  # of the old one somebody else has taken care
    assert await recording.tell("New", calls=3) == []


async def test_cluster_wide_objects_are_told_of_in_the_default_namespace() -> None:
    recording = Recording()
    recording.about = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n", "uid": "u"}}
    recording.recorder.tell(recording.about, WARNING, "Rebooted", "x" * 2000)
    [event] = await recording.tell(calls=1)
    assert Event.parse(event).metadata.namespace == "default"
    assert len(str(event["message"])) == 1024
