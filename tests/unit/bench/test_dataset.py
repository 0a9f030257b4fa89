"""The measured mesh: accepted by the API's own models, and as big as it says."""

from __future__ import annotations

from collections import Counter
from typing import cast

import pytest

from bench import dataset
from control_plane.resources.manifest import Manifest, kind_of, labels_of, metadata
from control_plane.resources.registry import BY_KIND


def everything(*, meshed: bool = True, count: int = 100) -> list[Manifest]:
    return [*dataset.foundation(meshed=meshed), *dataset.services(0, count, count)]


def test_there_are_as_many_services_slices_and_routes_as_asked_for():
    kinds = Counter(kind_of(manifest) for manifest in everything())
    assert (kinds["Service"], kinds["EndpointSlice"], kinds["HTTPRoute"]) == (101, 101, 100)


@pytest.mark.parametrize("manifest", everything(count=1), ids=lambda manifest: kind_of(manifest))
def test_the_api_accepts_each_kind(manifest):
    BY_KIND[kind_of(manifest)].model.model_validate(manifest)


def test_addresses_are_unique_up_to_a_thousand():
    assert len({dataset.service_address(index) for index in range(1000)} | {dataset.RELAY_ADDRESS}) == 1001


def test_each_route_has_two_weighted_backends_that_exist():
    names = {metadata(one)["name"] for one in everything() if kind_of(one) == "Service"}
    for index in (0, 99):
        rules = cast("list[Manifest]", cast("Manifest", dataset.route(index, 100)["spec"])["rules"])
        backends = cast("list[Manifest]", rules[1]["backendRefs"])
        assert [one["weight"] for one in backends] == [80, 20]
        assert len({one["name"] for one in backends} & names) == 2


def test_only_meshed_servers_end_tls():
    def labels(meshed: bool) -> set[bool]:
        pods = [one for one in everything(meshed=meshed) if kind_of(one) == "Pod"]
        servers = [one for one in pods if metadata(one)["name"] in dataset.SERVER_PODS]
        return {"meshproxy.io/tls-mode" in labels_of(one) for one in servers}

    assert labels(True) == {True}
    assert labels(False) == {False}


def test_more_services_are_added_behind_those_there_are():
    names = [metadata(one)["name"] for one in dataset.services(100, 2, 102)]
    assert names[0] == "svc-100"
    assert len(names) == 6
