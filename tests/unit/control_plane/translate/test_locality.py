"""Where endpoints are, and what that means to a client's priorities and weights."""

from collections.abc import Mapping

import pytest

from control_plane.api.envoy.config.endpoint.v3.endpoint_components_pb2 import LbEndpoint
from control_plane.discovery.model import EVERYONE, NOWHERE, Locality, ObjectName
from control_plane.index import Index
from control_plane.resources.locality import LocalityBalancing
from control_plane.resources.manifest import Manifest
from control_plane.translate.locality import grouped, is_weighted
from control_plane.translate.settings import Client, Node
from control_plane.translate.translator import Translator
from tests.unit.control_plane import manifest_builder as build
from tests.unit.control_plane.translate import mesh

A, B, C = Locality("eu", "a"), Locality("eu", "b"), Locality("us", "c")
HTTP = "outbound|8080||catalog.shop.svc.cluster.local"
Told = dict[tuple[str, str], tuple[int, int | None, int]]
"""By place: priority, weight, endpoints."""


def told(
    sizes: Mapping[Locality, int],
    balancing: Mapping[str, object] | None,
    client: Locality = A,
    clients: Mapping[Locality, int] | None = None,
) -> Told:
    hosts = [(place, LbEndpoint()) for place, size in sizes.items() for _ in range(size)]
    parsed = None if balancing is None else LocalityBalancing.model_validate(balancing)
    found: Told = {}
    for group in grouped(hosts, parsed, client, clients or {}):
        weight = group.load_balancing_weight.value if group.HasField("load_balancing_weight") else None
        place = (group.locality.region, group.locality.zone)
        found[place] = (group.priority, weight, len(group.lb_endpoints))
    return found


def test_without_a_policy_places_are_named_and_mean_nothing() -> None:
    assert told({A: 2, B: 1, NOWHERE: 1}, None) == {A: (0, None, 2), B: (0, None, 1), NOWHERE: (0, None, 1)}
    assert told({}, None) == {}


def test_failover_goes_from_the_zone_to_the_region_and_on() -> None:
    nearest = {A: (0, None, 1), B: (1, None, 1), C: (2, None, 1), NOWHERE: (2, None, 1)}
    assert told({A: 1, B: 1, C: 1, NOWHERE: 1}, {"failover": {}}) == nearest
    assert told({B: 1, C: 1}, {"failover": {}}) == {B: (0, None, 1), C: (1, None, 1)}, "none is left out"
    assert told({A: 1, C: 1}, {"failover": {}}, NOWHERE) == {A: (0, None, 1), C: (0, None, 1)}
    asia = Locality("asia", "d")
    regions = {"failover": {"regions": [{"from": "us", "to": "asia"}]}}
    assert told({A: 1, C: 1, asia: 1}, regions, C) == {C: (0, None, 1), asia: (1, None, 1), A: (2, None, 1)}


def test_zones_mean_something_to_clusters_that_are_big_enough() -> None:
    clients = {A: 1, B: 1}
    aware: dict[str, object] = {"zoneAware": {}}
    assert told({A: 3, B: 3}, aware, A, clients) == {A: (0, 3, 3), B: (1, 3, 3)}
    same = {A: (0, 3, 3), B: (0, 2, 2)}
    assert told({A: 3, B: 2}, aware, A, clients) == same, "five endpoints are too few"
    assert told({A: 3, B: 3}, aware, C, clients) == {A: (0, 3, 3), B: (0, 3, 3)}, "nobody is here"
    assert told({A: 3, B: 3}, aware, NOWHERE, clients) == {A: (0, 3, 3), B: (0, 3, 3)}
    assert told({A: 6}, aware, A, clients) == {A: (0, 6, 6)}


def test_what_does_not_fit_into_the_own_zone_goes_where_there_is_room() -> None:
    # Half of the clients are here, a quarter of the endpoints: every second request must leave.
    sizes, clients = {A: 2, B: 4, C: 2}, {A: 2, B: 1, C: 1}
    found = told(sizes, {"zoneAware": {}}, A, clients)
    assert found == {A: (0, 5000, 2), B: (0, 5000, 4), C: (1, 2, 2)}, "what is full already is spared"


def test_distribution_is_as_written() -> None:
    rules: dict[str, object] = {
        "distribute": [
            {"from": "eu/a", "to": {"eu/a": 70, "eu/*": 20, "*": 10}},
            {"from": "eu/*", "to": {"us/c": 100}},
        ]
    }
    found = told({A: 1, B: 1, C: 3, NOWHERE: 1}, rules)
    assert found == {A: (0, 7000, 1), B: (0, 2000, 1), C: (0, 750, 3), NOWHERE: (0, 250, 1)}
    assert told({A: 1, C: 1}, rules, B) == {C: (0, 10_000, 1)}, "who is not named gets nothing"
    assert told({A: 2, C: 1}, rules, C) == {A: (0, 2, 2), C: (0, 1, 1)}, "no rule is for this client"


def test_weights_are_heeded_where_there_are_any() -> None:
    assert not is_weighted(None)
    assert not is_weighted(LocalityBalancing.model_validate({"failover": {}}))
    assert is_weighted(LocalityBalancing.model_validate({"zoneAware": {}}))


# --- where they come from -----------------------------------------------------------------------------------


def node(name: str, zone: str, region: str = "eu") -> Manifest:
    labels = {"topology.kubernetes.io/region": region, "topology.kubernetes.io/zone": zone}
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}}


def on_node(pod: Manifest, name: str) -> Manifest:
    spec = pod["spec"]
    assert isinstance(spec, dict)
    return {**pod, "spec": {**spec, "nodeName": name}}


def failover(**spec: object) -> Manifest:
    target = {"group": "", "kind": "Service", "name": "catalog"}
    return {
        "apiVersion": "meshproxy.io/v1alpha1",
        "kind": "TrafficPolicy",
        "metadata": build.meta("zones"),
        "spec": {"targetRefs": [target], "loadBalancer": {"locality": {"failover": {}, **spec}}},
    }


def _places(index: Index, client: Node) -> dict[str, int]:
    groups = mesh.endpoints(mesh.translate(index, client), HTTP).endpoints
    return {f"{group.locality.region}/{group.locality.zone}": group.priority for group in groups}


@pytest.fixture
def index() -> Index:
    """Pods on two nodes, one address in a zone that its slice names, and clients on each node."""
    pods = [
        on_node(build.pod(f"catalog-{n}", app="catalog", ip=f"10.244.0.{n}"), f"node-{n}") for n in (1, 2)
    ]
    web = [on_node(build.pod(f"web-{n}", ip=f"10.244.1.{n}"), f"node-{n}") for n in (1, 2)]
    outside = {**build.endpoint("10.9.9.9"), "zone": "c"}
    endpoints = [build.endpoint(f"10.244.0.{n}", f"catalog-{n}") for n in (1, 2)]
    return mesh.shop(
        node("node-1", "a"),
        node("node-2", "b"),
        *pods,
        *web,
        build.endpoint_slice("catalog", *endpoints, outside),
    )


WEB_1, WEB_2 = (
    Node(build_name, Client("shop"))
    for build_name in (ObjectName("shop", "web-1"), ObjectName("shop", "web-2"))
)


def test_clients_fail_over_from_where_they_are(index: Index) -> None:
    assert set(_places(index, WEB_1).values()) == {0}
    index.apply(failover())
    assert _places(index, WEB_1) == {"eu/a": 0, "eu/b": 1, "/c": 2}
    assert _places(index, WEB_2) == {"eu/a": 1, "eu/b": 0, "/c": 2}
    unknown = Node(ObjectName("shop", "x"), Client("shop", locality=Locality("", "c")))
    assert _places(index, unknown) == {"eu/a": 1, "eu/b": 1, "/c": 0}, "by its own word"


def test_a_node_that_moves_takes_its_pods_along(index: Index) -> None:
    index.apply(failover())
    assert index.apply(node("node-2", "b")).affected != EVERYONE
    assert index.apply(node("node-2", "a")).affected == EVERYONE
    assert _places(index, WEB_2) == {"eu/a": 0, "/c": 1}
    assert index.delete("Node", "", "node-2").affected == EVERYONE
    assert _places(index, WEB_1) == {"eu/a": 0, "/": 1, "/c": 1}
    assert not index.delete("Node", "", "node-2").affected


def test_a_pod_that_has_its_nodes_labels_needs_no_node() -> None:
    labels = {"topology.kubernetes.io/zone": "z"}
    index = mesh.shop(build.pod("catalog-1", app="catalog", labels=labels))
    assert _places(index, WEB_1) == {"/z": 0}
    assert index.registry.clients == {Locality("", "z"): 1}


def test_a_slice_names_the_zone_of_its_node(index: Index) -> None:
    outside = {**build.endpoint("10.9.9.9"), "nodeName": "node-1", "zone": "x"}
    index.apply(build.endpoint_slice("catalog", outside))
    assert _places(index, WEB_1) == {"eu/a": 0}


def test_weights_follow_the_clients_that_come(index: Index) -> None:
    policy = failover()
    spec = policy["spec"]
    assert isinstance(spec, dict)
    spec["loadBalancer"] = {"locality": {"zoneAware": {"minClusterSize": 0}}}
    index.apply(policy)
    translator = Translator(index.registry, mesh.STRICT)

    def weights() -> dict[str, int]:
        assignment = mesh.endpoints(translator.snapshot(WEB_1), HTTP)
        return {one.locality.zone: one.load_balancing_weight.value for one in assignment.endpoints}

    before = weights()
    assert weights() == before
    assert mesh.cluster(translator.snapshot(WEB_1), HTTP).common_lb_config.HasField(
        "locality_weighted_lb_config"
    )
    for number in range(5):
        index.apply(on_node(build.pod(f"more-{number}", ip=f"10.244.2.{number}"), "node-1"))
    assert weights() != before
    translator.keep_only([Client("shop")])
    translator.keep_only([])
