"""Who a stored change concerns."""

import pytest

from control_plane.discovery.model import EVERYONE, NOBODY, Affected, ObjectName
from control_plane.index import Index
from control_plane.resources.invalid import InvalidResource
from control_plane.resources.manifest import Manifest, ObjectKey
from tests.unit.control_plane import manifest_builder as build

CATALOG_POD = ObjectName("shop", "catalog-1")
OTHER_POD = ObjectName("other", "web-1")
JOB = ObjectName("shop", "job-1")
SPLIT = ObjectKey("HTTPRoute", "shop", "split")


@pytest.fixture
def index() -> Index:
    """A Service with one meshed pod behind it and a producer route."""
    index = Index()
    for manifest in (
        build.service("catalog"),
        build.pod("catalog-1", app="catalog"),
        build.endpoint_slice("catalog", build.endpoint("10.244.0.7", "catalog-1")),
        build.route("split", build.rule(build.backend("catalog"))),
    ):
        index.apply(manifest)
    return index


def _changed(manifest: Manifest, **metadata: object) -> Manifest:
    return {**manifest, "metadata": {**manifest["metadata"], **metadata}}  # type: ignore[dict-item]


def test_a_service_is_everyones(index: Index) -> None:
    assert index.apply(build.service("new", vip="10.96.0.9")).affected == EVERYONE
    assert index.delete("Service", "shop", "new").affected == EVERYONE


def test_endpoints_are_everyones_when_a_service_has_them(index: Index) -> None:
    two = [build.endpoint("10.244.0.7", "catalog-1"), build.endpoint("10.244.0.8")]
    assert index.apply(build.endpoint_slice("catalog", *two)).affected == EVERYONE
    assert index.delete("EndpointSlice", "shop", "catalog-1").affected == EVERYONE


def test_endpoints_of_no_service_are_nobodys(index: Index) -> None:
    slice_of_nothing = build.endpoint_slice("ghost", build.endpoint("10.244.0.9"), name="ghost-1")
    assert not index.apply(slice_of_nothing).affected


def test_a_slice_that_loses_its_label_is_taken_out(index: Index) -> None:
    unlabelled = build.endpoint_slice("", build.endpoint("10.244.0.7"), name="catalog-1")
    assert index.apply(unlabelled).affected == EVERYONE


def test_a_new_pod_is_its_own_sidecars_only(index: Index) -> None:
    change = index.apply(build.pod("web-1", namespace="other", ip=""))
    assert change.affected == Affected(pods=frozenset({OTHER_POD}))
    assert change.affected.includes(OTHER_POD)
    assert not change.affected.includes(CATALOG_POD)


def test_a_pod_behind_a_service_is_everyones_when_clients_must_know(index: Index) -> None:
    assert index.apply(build.pod("catalog-1", app="catalog", account="other")).affected == EVERYONE
    assert index.delete("Pod", "shop", "catalog-1").affected == EVERYONE


def test_the_address_of_a_pod_with_a_sidecar_is_everyones(index: Index) -> None:
    job = build.pod("job-1", ip="10.244.0.9")
    assert index.apply(job).affected == EVERYONE
    ended = {**job, "status": {"podIP": "10.244.0.9", "phase": "Succeeded"}}
    assert index.apply(ended).affected == EVERYONE, "the address may be given to another pod"
    assert index.apply(_changed(ended, labels={})).affected == Affected(pods=frozenset({JOB}))
    assert index.delete("Pod", "shop", "job-1").affected == Affected(pods=frozenset({JOB}))
    assert index.apply(build.pod("plain", ip="10.244.0.9", meshed=False)).affected != EVERYONE


def test_producer_routes_are_everyones_consumer_routes_their_namespaces(index: Index) -> None:
    assert index.apply(build.route("more")).affected == EVERYONE
    consumer = build.route("mine", namespace="other", parent_namespace="shop")
    affected = index.apply(consumer).affected
    assert affected == Affected(namespaces=frozenset({"other"}))
    assert affected.includes(OTHER_POD)
    assert not affected.includes(CATALOG_POD)
    assert index.delete("HTTPRoute", "other", "mine").affected == affected
    assert index.delete("HTTPRoute", "shop", "split").affected == EVERYONE


def test_a_route_that_changes_sides_concerns_both(index: Index) -> None:
    index.apply(build.route("mine", namespace="other", parent_namespace="shop"))
    own = build.route("mine", namespace="other", parent_namespace="other", generation=2)
    assert index.apply(own).affected == EVERYONE


@pytest.mark.parametrize(
    "manifest",
    [
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": build.meta("catalog"), "spec": {}},
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}},
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": build.meta("catalog")},
        {},
        _changed(build.service("catalog"), annotations={"note": "x"}, resourceVersion="8"),
        {**build.pod("catalog-1", app="catalog"), "status": {"podIP": "10.244.0.7", "phase": "Unknown"}},
        _changed(
            build.endpoint_slice("catalog", build.endpoint("10.244.0.7", "catalog-1")), resourceVersion="8"
        ),
    ],
)
def test_an_unrelated_change_concerns_nobody(index: Index, manifest: Manifest) -> None:
    assert not index.apply(manifest).affected
    assert not index.apply(manifest).routes


def test_another_status_of_a_route_concerns_its_status_alone(index: Index) -> None:
    route = {**build.route("split", build.rule(build.backend("catalog"))), "status": {"parents": []}}
    change = index.apply(route)
    assert not change.affected
    assert change.routes == {SPLIT}


def test_deleting_what_is_not_there_or_not_watched_concerns_nobody(index: Index) -> None:
    for kind in ("Service", "EndpointSlice", "Pod", "HTTPRoute", "Deployment"):
        change = index.delete(kind, "shop", "ghost")
        assert change.affected == NOBODY
        assert not change.routes


def test_a_change_of_readiness_without_an_identity_is_a_change_of_endpoints(index: Index) -> None:
    unready = build.endpoint_slice("catalog", build.endpoint("10.244.0.7", "catalog-1", ready=False))
    assert index.apply(unready).affected == EVERYONE
    other_unready = [
        build.endpoint("10.244.0.7", "catalog-1", ready=False),
        build.endpoint("10.244.0.8", ready=False),
    ]
    assert index.apply(build.endpoint_slice("catalog", *other_unready)).affected == NOBODY


def test_statuses_to_look_at_are_of_routes_that_refer_to_the_change(index: Index) -> None:
    assert index.delete("Service", "shop", "catalog").routes == {SPLIT}
    assert index.apply(build.service("catalog")).routes == {SPLIT}
    assert index.apply(build.service("unrelated", vip="10.96.0.8")).routes == frozenset()
    assert index.apply(build.route("split", generation=2)).routes == {SPLIT}


def test_what_cannot_be_read_is_refused_by_name(index: Index) -> None:
    with pytest.raises(InvalidResource, match="catalog"):
        index.apply({**build.service("catalog"), "spec": {"bogus": 1}})


def test_affected_sets_add_up() -> None:
    one, two = Affected(namespaces=frozenset({"a"})), Affected(pods=frozenset({OTHER_POD}))
    assert one | two == Affected(namespaces=frozenset({"a"}), pods=frozenset({OTHER_POD}))
    assert one | EVERYONE == EVERYONE
    assert not NOBODY
    assert str(OTHER_POD) == "other/web-1"
