"""What the controllers know."""

import logging

import pytest

from control_plane.resources.manifest import Manifest, ObjectKey, key_of
from control_plane.resources.pod import Pod
from lab.controllers import cache as module
from lab.controllers.cache import Change, ObjectCache
from tests.unit.lab.builders import pod_manifest

ONE = ObjectKey("Pod", "shop", "one")


def versioned(version: int, uid: str = "u", **meta: object) -> Manifest:
    manifest = pod_manifest("one")
    base = {"name": "one", "namespace": "shop", "uid": uid, "resourceVersion": str(version)}
    return {**manifest, "metadata": {**base, **meta}}


def test_what_is_older_than_what_is_known_is_ignored() -> None:
    seen: list[Change] = []
    cache = ObjectCache(seen.append)
    cache.put(versioned(2, labels={"app": "new"}))
    cache.put(versioned(1, labels={"app": "old"}))
    cache.put(versioned(2, labels={"app": "same"}))
    assert cache.labelled("Pod", "shop", {"app": "new"}) == [ONE]
    assert cache.labelled("Pod", "shop", {"app": "old"}) == []
    assert len(seen) == 1


def test_what_is_gone_does_not_come_back_but_another_of_its_name_may() -> None:
    cache = ObjectCache()
    cache.put(versioned(1))
    cache.forget(ONE, "u")
    cache.put(versioned(2))
    assert cache.manifest(ONE) is None
    cache.put(versioned(4, uid="another"))
    cache.drop(versioned(3))
    assert cache.by_uid("another") == ONE


def test_the_memory_of_what_is_gone_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_GONE", 1)
    cache = ObjectCache()
    cache.forget(ONE, "first")
    cache.forget(ONE, "second")
    cache.put(versioned(1, uid="first"))
    assert cache.manifest(ONE) is not None


def test_what_is_not_valid_is_left_alone_and_said_once(caplog: pytest.LogCaptureFixture) -> None:
    cache = ObjectCache()
    cache.put({**versioned(1), "spec": {"containers": []}})
    with caplog.at_level(logging.WARNING):
        assert list(cache.both(Pod, [ONE, ONE])) == []
    assert len(caplog.records) == 1
    assert cache.typed(Pod, ObjectKey("Pod", "shop", "nobody")) is None


def test_selectors_are_found_by_one_of_their_pairs() -> None:
    def selecting(name: str, kind: str, selector: Manifest) -> Manifest:
        meta = {"name": name, "namespace": "shop", "uid": name, "resourceVersion": "1"}
        return {"apiVersion": "v1", "kind": kind, "metadata": meta, "spec": {"selector": selector}}

    cache = ObjectCache()
    service = selecting("web", "Service", {"app": "web", "tier": "front"})
    expressions = selecting("any", "ReplicaSet", {"matchExpressions": [{"key": "app", "operator": "Exists"}]})
    for one in (service, selecting("none", "Service", {}), expressions):
        cache.put(one)
    assert cache.selecting("Service", "shop", {"app": "web"}) == [key_of(service)]
    assert cache.selecting("Service", "shop", {"tier": "front"}) == []
    assert cache.selecting("Service", "other", {"app": "web"}) == []
    assert cache.selecting("ReplicaSet", "shop", {}) == [key_of(expressions)]


def test_labels_are_all_to_be_there_and_none_asks_for_everything() -> None:
    cache = ObjectCache()
    cache.put(versioned(1, labels={"app": "web", "version": "v1"}))
    assert cache.labelled("Pod", "shop", {"app": "web", "version": "v1"}) == [ONE]
    assert cache.labelled("Pod", "shop", {"app": "web", "version": "v2"}) == []
    assert cache.labelled("Pod", "shop", {}) == [ONE]


def test_pods_that_ended_take_up_no_place_on_their_node() -> None:
    cache = ObjectCache()
    owner = {"apiVersion": "v1", "kind": "ReplicaSet", "name": "r", "uid": "r", "controller": True}
    running = {**versioned(1, ownerReferences=[owner]), "spec": {"nodeName": "a"}}
    cache.put(running)
    assert (cache.count_on_node("a"), cache.count_on_node("a", "r"), cache.count_on_node("a", "s")) == (
        1,
        1,
        0,
    )
    assert cache.on_node("a") == [ONE]
    cache.assume({**running, "status": {"phase": "Succeeded"}})
    assert cache.count_on_node("a") == 0
    assert cache.unbound() == []
